function __fish_nvidia-cdi-hook_using_command
    set -l cmd (commandline -xpc)
    set -e cmd[1]
    set -l target_cmd $argv

    set -l known_value_flags 'chmod' 'container-spec' 'csv-filename' 'cuda-compat-container-root' 'folder' 'host-cuda-version' 'host-driver-version' 'host-root' 'ldconfig-path' 'link' 'link-if-target' 'mode' 'path' 

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

complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command' -f -l help -d 'display usage information'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command' -f -l strict -d 'treat warnings as errors'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command' -f -a 'update-ldcache' -d 'Update the container\'s ld.so.cache and SONAME links, as its own ldconfig would. The driver\'s libraries take precedence over others of the same name.'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command' -f -a 'create-symlinks' -d 'Create symbolic links in the container, and the SONAME links that they lead to. Without options, create the links that NVIDIA\'s installer would make for the container\'s driver libraries.'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command' -f -a 'chmod' -d 'Set the mode of files in the container, following symbolic links within its root.'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command' -f -a 'enable-cuda-compat' -d 'Prefer the container\'s CUDA compatibility libraries if the host\'s driver supports them. Run update-ldcache afterwards.'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command' -f -a 'disable-device-node-modification' -d 'Keep the driver\'s programs in the container from creating or changing device nodes.'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command' -f -a 'update-application-profile' -d 'Write a profile of the driver that names the container\'s GPUs to EGL.'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command' -f -a 'create-soname-symlinks' -d 'Create SONAME links in directories of the container, as its own ldconfig would.'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command' -f -a 'apply' -d 'Do the work of several hooks in one call, in the order in which they depend on each other.'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command update-ldcache' -f -l help -d 'display usage information'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command update-ldcache' -f -l folder -r -d 'library directory in the container to add to its ld.so.conf.d; may be repeated'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command update-ldcache' -f -l find-driver -d 'add the directories that hold driver libraries; do nothing if the container has none'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command update-ldcache' -f -l ldconfig-path -r -d 'accepted without effect: no ldconfig of the host is needed'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command update-ldcache' -f -l container-spec -r -d 'file that holds the OCI state (default: -, standard input)'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command create-symlinks' -f -l help -d 'display usage information'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command create-symlinks' -f -l link -r -d 'link to create, as TARGET::LINK; may be repeated'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command create-symlinks' -f -l csv-filename -r -d 'CSV file whose "sym" lines name links of the host to create in the container; may be repeated'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command create-symlinks' -f -l host-root -r -d 'directory of the host below which the links of --csv-filename are looked up (default: /)'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command create-symlinks' -f -l container-spec -r -d 'file that holds the OCI state (default: -, standard input)'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command chmod' -f -l help -d 'display usage information'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command chmod' -f -l path -r -d 'file in the container, skipped if it is missing; may be repeated'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command chmod' -f -l mode -r -d 'mode to set, in octal, up to 7777'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command chmod' -f -l container-spec -r -d 'file that holds the OCI state (default: -, standard input)'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command enable-cuda-compat' -f -l help -d 'display usage information'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command enable-cuda-compat' -f -l host-driver-version -r -d 'version of the host\'s driver, such as 570.133.20'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command enable-cuda-compat' -f -l host-cuda-version -r -d 'version of CUDA that the host\'s driver supports, such as 12.8'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command enable-cuda-compat' -f -l cuda-compat-container-root -r -d 'directory of the compatibility libraries in the container (default: /usr/local/cuda/compat)'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command enable-cuda-compat' -f -l container-spec -r -d 'file that holds the OCI state (default: -, standard input)'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command disable-device-node-modification' -f -l help -d 'display usage information'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command disable-device-node-modification' -f -l container-spec -r -d 'file that holds the OCI state (default: -, standard input)'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command update-application-profile' -f -l help -d 'display usage information'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command update-application-profile' -f -l container-spec -r -d 'file that holds the OCI state (default: -, standard input)'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command create-soname-symlinks' -f -l help -d 'display usage information'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command create-soname-symlinks' -f -l folder -r -d 'library directory in the container; may be repeated'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command create-soname-symlinks' -f -l ldconfig-path -r -d 'accepted without effect: no ldconfig of the host is needed'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command create-soname-symlinks' -f -l container-spec -r -d 'file that holds the OCI state (default: -, standard input)'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command apply' -f -l help -d 'display usage information'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command apply' -f -l host-driver-version -r -d 'version of the host\'s driver, as for enable-cuda-compat'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command apply' -f -l host-cuda-version -r -d 'version of CUDA that the host\'s driver supports, as for enable-cuda-compat'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command apply' -f -l cuda-compat-container-root -r -d 'directory of the compatibility libraries in the container (default: /usr/local/cuda/compat)'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command apply' -f -l link -r -d 'link to create, as TARGET::LINK; may be repeated'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command apply' -f -l link-if-target -r -d 'link to create if its target exists in the container, as TARGET::LINK; may be repeated'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command apply' -f -l chmod -r -d 'mode to set and file in the container, as OCTAL:PATH; may be repeated'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command apply' -f -l folder -r -d 'library directory in the container, as for update-ldcache; may be repeated'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command apply' -f -l find-driver -d 'find the driver\'s libraries in the container, create the links that NVIDIA\'s installer would make for them, and add them to ld.so.cache; if config.json gives the container neither an NVIDIA device nor such a library, do no more than --disable-device-node-modification'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command apply' -f -l disable-device-node-modification -d 'do the work of the hook of this name'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command apply' -f -l update-application-profile -d 'do the work of the hook of this name'
complete -c nvidia-cdi-hook -n '__fish_nvidia-cdi-hook_using_command apply' -f -l container-spec -r -d 'file that holds the OCI state (default: -, standard input)'
