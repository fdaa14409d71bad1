function __fish_nvidia-ctk_using_command
    set -l cmd (commandline -xpc)
    set -e cmd[1]
    set -l target_cmd $argv

    set -l known_value_flags 'bindir' 'c' 'chmod' 'config' 'config-file' 'config-mode' 'config-source' 'container-spec' 'csv-filename' 'cuda-compat-container-root' 'dev-root' 'driver-root' 'drop-in-config' 'executable-path' 'folder' 'from' 'hooksdir' 'host-cuda-version' 'host-driver-version' 'host-root' 'input' 'ldconfig-path' 'libexecdir' 'link' 'mode' 'nvidia-runtime-hook-path' 'nvidia-runtime-name' 'nvidia-runtime-path' 'o' 'oci-hook-path' 'output' 'path' 'relative-to' 'root' 'runtime' 'set' 'set-list-separator' 'spec-dir' 'to' 

    set -l i 1
    set -l cleaned_cmd
    while test $i -le (count $cmd)
        set -l arg $cmd[$i]
        if string match -q -- "-*" $arg
            set -l pure_flag (string replace -r '^--?' '' -- $arg)
            if contains -- $pure_flag $known_value_flags
                set -l next_i (math $i + 1)
                if test $next_i -le (count $cmd)
                    if not string match -q -- "-*" $cmd[$next_i]
                        set i $next_i
                    end
                end
            end
        else
            set -a cleaned_cmd $arg
        end
        set i (math $i + 1)
    end

    set -l count_cleaned (count $cleaned_cmd)
    set -l count_target (count $target_cmd)
    
    if test $count_cleaned -ne $count_target
        return 1
    end
    
    for i in (seq $count_target)
        if test $cleaned_cmd[$i] != $target_cmd[$i]
            return 1
        end
    end
    
    return 0
end

complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command' -f -l debug -s d -d 'log what is done, too'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command' -f -l quiet -d 'log errors only'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command' -f -l version -s v -d 'print the version'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command' -f -l list -d 'print the names under which this program can be called'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command' -f -a 'hook' -d 'Run one of the hooks that container runtimes call, with the OCI state on standard input.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command' -f -a 'runtime' -d 'Tell container engines of the NVIDIA runtime, or no longer.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command' -f -a 'config' -d 'Print the toolkit\'s configuration file, or set keys in it. Where the file does not exist, the default stands in for it.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command' -f -a 'cdi' -d 'Look at the CDI specs of this host, compare them with it, and change them.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command' -f -a 'doctor' -d 'Tell what is wrong on this host, why, and what helps. The exit code is 0 if all is well, 1 for warnings, 2 for errors.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command' -f -a 'info' -d 'Tell what there is on this host: driver, GPUs, device nodes, libraries, container engines, CDI specs, hooks.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command' -f -a 'install' -d 'Put this program, its links and the hooks.d files in place. A second run changes nothing.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command' -f -a 'uninstall' -d 'Remove what install put in place, and nothing else.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command' -f -a 'system' -d 'Look at the libraries that a system\'s loader knows of.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook' -f -l strict -d 'fail where a warning is given'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook' -f -a 'update-ldcache' -d 'Update the container\'s ld.so.cache and SONAME links, as its own ldconfig would. The driver\'s libraries come before others of the same name.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook' -f -a 'create-symlinks' -d 'Create symbolic links in the container, and the SONAME links that these lead to. Without any option: the links that NVIDIA\'s installer would make for the driver libraries in it.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook' -f -a 'chmod' -d 'Set the mode of files in the container, following symbolic links inside its root.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook' -f -a 'enable-cuda-compat' -d 'Prefer the container\'s CUDA compatibility libraries where the host\'s driver can carry them. update-ldcache comes after this.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook' -f -a 'disable-device-node-modification' -d 'Tell the driver\'s programs in the container not to make or change device nodes.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook' -f -a 'update-application-profile' -d 'Tell EGL in the container which of the host\'s GPUs it has, by a profile of the driver.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook' -f -a 'create-soname-symlinks' -d 'Create SONAME links in directories of the container, as its own ldconfig would.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook' -f -a 'apply' -d 'Do the work of several hooks in one call, in the order in which they depend on each other.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook update-ldcache' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook update-ldcache' -f -l folder -r -d 'library directory in the container to add to its ld.so.conf.d; may be repeated'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook update-ldcache' -f -l find-driver -d 'add the directories in which driver libraries lie; do nothing in a container that has none'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook update-ldcache' -f -l ldconfig-path -r -d 'ignored: no ldconfig of the host is needed'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook update-ldcache' -f -l container-spec -r -d 'file that holds the OCI state; "-" is standard input, the default'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook create-symlinks' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook create-symlinks' -f -l link -r -d 'link to make, as `TARGET::LINK`; may be repeated'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook create-symlinks' -f -l csv-filename -r -d 'CSV file whose "sym" lines name links of the host to make in the container; may be repeated'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook create-symlinks' -f -l host-root -r -d 'where the links that --csv-filename names are found on the host (default: /)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook create-symlinks' -f -l container-spec -r -d 'file that holds the OCI state; "-" is standard input, the default'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook chmod' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook chmod' -f -l path -r -d 'file in the container; may be repeated; a missing one is skipped'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook chmod' -f -l mode -r -d 'mode to set, in octal, up to 7777'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook chmod' -f -l container-spec -r -d 'file that holds the OCI state; "-" is standard input, the default'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook enable-cuda-compat' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook enable-cuda-compat' -f -l host-driver-version -r -d 'version of the host\'s driver, such as 570.133.20'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook enable-cuda-compat' -f -l host-cuda-version -r -d 'version of CUDA that the host\'s driver supports, such as 12.8'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook enable-cuda-compat' -f -l cuda-compat-container-root -r -d 'directory of the compatibility libraries in the container (default: /usr/local/cuda/compat)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook enable-cuda-compat' -f -l container-spec -r -d 'file that holds the OCI state; "-" is standard input, the default'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook disable-device-node-modification' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook disable-device-node-modification' -f -l container-spec -r -d 'file that holds the OCI state; "-" is standard input, the default'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook update-application-profile' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook update-application-profile' -f -l container-spec -r -d 'file that holds the OCI state; "-" is standard input, the default'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook create-soname-symlinks' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook create-soname-symlinks' -f -l folder -r -d 'library directory in the container; may be repeated'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook create-soname-symlinks' -f -l ldconfig-path -r -d 'ignored: no ldconfig of the host is needed'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook create-soname-symlinks' -f -l container-spec -r -d 'file that holds the OCI state; "-" is standard input, the default'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook apply' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook apply' -f -l host-driver-version -r -d 'version of the host\'s driver, as for enable-cuda-compat'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook apply' -f -l host-cuda-version -r -d 'version of CUDA that the host\'s driver supports, as for enable-cuda-compat'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook apply' -f -l cuda-compat-container-root -r -d 'directory of the compatibility libraries in the container (default: /usr/local/cuda/compat)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook apply' -f -l link -r -d 'link to make, as `TARGET::LINK`; may be repeated'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook apply' -f -l chmod -r -d 'mode to set and the file in the container, as `OCTAL:PATH`; may be repeated'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook apply' -f -l folder -r -d 'library directory in the container, as for update-ldcache; may be repeated'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook apply' -f -l disable-device-node-modification -d 'do what the hook of this name does'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook apply' -f -l update-application-profile -d 'do what the hook of this name does'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command hook apply' -f -l container-spec -r -d 'file that holds the OCI state; "-" is standard input, the default'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime' -f -a 'configure' -d 'Add the NVIDIA runtime to the configuration of a container engine. Only the lines that this needs change, a second run changes nothing, and unconfigure takes it back.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime' -f -a 'unconfigure' -d 'Take back what configure did: the runtime goes, the default is again what it was. A file that nobody edited since is restored byte for byte.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime configure' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime configure' -f -l runtime -r -d 'engine: docker, containerd, crio or podman (default: docker)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime configure' -f -l config -r -d 'configuration file of the engine (default: that of the system, such as /etc/docker/daemon.json)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime configure' -f -l drop-in-config -r -d 'file that the engine reads besides, for containerd and crio; "" to edit the configuration file itself'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime configure' -f -l nvidia-runtime-name -r -d 'name of the runtime (default: nvidia)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime configure' -f -l nvidia-runtime-path -r -d 'program of the runtime (default: the one that is configured already, if it is there, else nvidia-container-runtime); also --runtime-path'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime configure' -f -l nvidia-set-as-default -d 'make it the runtime of containers that name none; also --set-as-default'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime configure' -f -l enable-cdi -d 'let the engine resolve CDI devices; also --cdi.enabled'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime configure' -f -l config-source -r -d 'where the settings of the new runtime come from: file, or command, which asks the engine (default: file)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime configure' -f -l executable-path -r -d 'program of the engine, for its version and for --config-source=command'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime configure' -f -l config-mode -r -d 'what to write: config-file, or oci-hook, a file for hooks.d (default: config-file)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime configure' -f -l oci-hook-path -r -d 'file to write with --config-mode=oci-hook (default: standard output); for podman, a file in the directory of the hooks'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime configure' -f -l nvidia-runtime-hook-path -r -d 'program of that hook (default: /usr/bin/nvidia-container-runtime-hook)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime configure' -f -l remove -d 'take back what configure did'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime configure' -f -l dry-run -d 'print the new documents and write nothing'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime configure' -f -l diff -d 'print what would change, as diff -u does, and write nothing'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime unconfigure' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime unconfigure' -f -l runtime -r -d 'engine: docker, containerd, crio or podman (default: docker)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime unconfigure' -f -l config -r -d 'configuration file of the engine (default: that of the system, such as /etc/docker/daemon.json)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime unconfigure' -f -l drop-in-config -r -d 'file that the engine reads besides, for containerd and crio; "" if the configuration file itself was edited'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime unconfigure' -f -l nvidia-runtime-name -r -d 'name of the runtime (default: nvidia)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime unconfigure' -f -l config-mode -r -d 'what was written: config-file, or oci-hook, a file for hooks.d (default: config-file)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime unconfigure' -f -l oci-hook-path -r -d 'file that --config-mode=oci-hook wrote; for podman, a file in the directory of the hooks'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime unconfigure' -f -l nvidia-runtime-hook-path -r -d 'program of that hook (default: /usr/bin/nvidia-container-runtime-hook)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime unconfigure' -f -l dry-run -d 'print the new documents and write nothing'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command runtime unconfigure' -f -l diff -d 'print what would change, as diff -u does, and write nothing'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command config' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command config' -f -l config-file -s c -r -d 'file to read (default: nvidia-container-runtime/config.toml in $XDG_CONFIG_HOME or /etc; also: --config; NVIDIA_CTK_CONFIG_FILE_PATH)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command config' -f -l set -r -d 'set a key; a bool needs no value, the value nil takes a key of features out; may be repeated'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command config' -f -l set-list-separator -r -d 'what separates the elements of a list that is set (default: a colon, or else a comma)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command config' -f -l in-place -s i -d 'write to the file that was read'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command config' -f -l output -s o -r -d 'write to this file (default: standard output)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command config' -f -a 'default' -d 'Print the default configuration for this host.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command config default' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command config default' -f -l output -s o -r -d 'write to this file (default: standard output)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi' -f -a 'list' -d 'Print the qualified names of the devices that containers can ask for.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi' -f -a 'check' -d 'Tell what is wrong with CDI specs and what in them does not fit this host, why, and what helps. The exit code is 0 if all is well, 1 for warnings, 2 for errors.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi' -f -a 'transform' -d 'Write a CDI spec anew with other paths.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi list' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi list' -f -l spec-dir -r -d 'directory with specs, of which a later one has precedence; may be repeated (default: /etc/cdi and /var/run/cdi; also: NVIDIA_CTK_CDI_SPEC_DIRS)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi list' -f -l json -d 'print JSON, with the file of each device'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi list' -f -l root -r -d 'root directory of the host (default: /)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi check' -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi check' -l spec-dir -r -d 'directory with specs, of which a later one has precedence; may be repeated (default: /etc/cdi and /var/run/cdi; also: NVIDIA_CTK_CDI_SPEC_DIRS)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi check' -l json -d 'print JSON'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi check' -l root -r -d 'root directory of the host (default: /)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi check' -l driver-root -r -d 'root directory of the driver on the host, as /run/nvidia/driver (default: where one is found)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi check' -l dev-root -r -d 'directory on the host whose dev has the driver\'s nodes (default: that of the driver if it has them, or /)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi transform' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi transform' -f -a 'root' -d 'Write a CDI spec anew in which paths below one directory are below another one.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi transform root' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi transform root' -f -l from -r -d 'directory that paths are below (default: /)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi transform root' -f -l to -r -d 'directory that takes its place (default: /)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi transform root' -f -l relative-to -r -d 'whose paths are meant: host or container (default: host)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi transform root' -f -l input -r -d 'spec to read (default: -, which is standard input)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command cdi transform root' -f -l output -r -d 'file to write, as its name says: .yaml, which is added where none is, or .json (default: standard output, as YAML)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command doctor' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command doctor' -f -l json -d 'print JSON'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command doctor' -f -l root -r -d 'root directory of the host (default: /)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command doctor' -f -l driver-root -r -d 'root directory of the driver on the host, as /run/nvidia/driver (default: where one is found)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command doctor' -f -l dev-root -r -d 'directory on the host whose dev has the driver\'s nodes (default: that of the driver if it has them, or /)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command info' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command info' -f -l json -d 'print JSON, with everything in it'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command info' -f -l root -r -d 'root directory of the host (default: /)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command info' -f -l driver-root -r -d 'root directory of the driver on the host, as /run/nvidia/driver (default: where one is found)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command info' -f -l dev-root -r -d 'directory on the host whose dev has the driver\'s nodes (default: that of the driver if it has them, or /)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command install' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command install' -f -l root -r -d 'root directory of the system to install into (default: /)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command install' -f -l bindir -r -d 'directory of the program (default: /usr/bin)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command install' -f -l libexecdir -r -d 'directory of the hooks\' names (default: /usr/libexec)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command install' -f -l hooksdir -r -d 'directory of the hooks.d files (default: /usr/share/containers/oci/hooks.d)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command install' -f -l dry-run -d 'tell what would be done, and do nothing'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command install' -f -l wait -d 'stay when it is done, until a signal SIGTERM or SIGINT: for a container that a cluster runs on each of its hosts'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command install' -f -l uninstall-at-exit -d 'with --wait: remove everything again at the end'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command uninstall' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command uninstall' -f -l root -r -d 'root directory of the system to remove from (default: /)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command uninstall' -f -l bindir -r -d 'directory of the program (default: /usr/bin)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command uninstall' -f -l libexecdir -r -d 'directory of the hooks\' names (default: /usr/libexec)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command uninstall' -f -l hooksdir -r -d 'directory of the hooks.d files (default: /usr/share/containers/oci/hooks.d)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command uninstall' -f -l dry-run -d 'tell what would be done, and do nothing'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command system' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command system' -f -a 'print-ldcache' -d 'Print the libraries in /etc/ld.so.cache as ldconfig -p does, from any architecture and version of glibc.'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command system print-ldcache' -f -l help -d 'display usage information'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command system print-ldcache' -f -l root -r -d 'root directory of the system or container (default: /)'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command system print-ldcache' -f -l json -d 'print JSON'
complete -c nvidia-ctk -n '__fish_nvidia-ctk_using_command system print-ldcache' -f -l check -d 'print what is wrong with the cache instead: paths that lead nowhere, wrong order, what the root\'s loaders pass over'
