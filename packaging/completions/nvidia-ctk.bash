_nvidia-ctk() {
    local i cur prev opts cmds
    COMPREPLY=()
    cur="${COMP_WORDS[COMP_CWORD]}"
    if [[ $COMP_CWORD -ge 1 ]]; then
        prev="${COMP_WORDS[COMP_CWORD-1]}"
    else
        prev=""
    fi
    cmd=""
    opts=""

    for i in ${COMP_WORDS[@]}; do
        case "${i}" in
            nvidia-ctk | */nvidia-ctk)
                cmd="nvidia-ctk"
                ;;
            hook)
                cmd="nvidia-ctk_hook"
                ;;
            update-ldcache)
                cmd="nvidia-ctk_hook_update-ldcache"
                ;;
            create-symlinks)
                cmd="nvidia-ctk_hook_create-symlinks"
                ;;
            chmod)
                cmd="nvidia-ctk_hook_chmod"
                ;;
            enable-cuda-compat)
                cmd="nvidia-ctk_hook_enable-cuda-compat"
                ;;
            disable-device-node-modification)
                cmd="nvidia-ctk_hook_disable-device-node-modification"
                ;;
            update-application-profile)
                cmd="nvidia-ctk_hook_update-application-profile"
                ;;
            create-soname-symlinks)
                cmd="nvidia-ctk_hook_create-soname-symlinks"
                ;;
            apply)
                cmd="nvidia-ctk_hook_apply"
                ;;
            runtime)
                cmd="nvidia-ctk_runtime"
                ;;
            configure)
                cmd="nvidia-ctk_runtime_configure"
                ;;
            unconfigure)
                cmd="nvidia-ctk_runtime_unconfigure"
                ;;
            cdi)
                cmd="nvidia-ctk_cdi"
                ;;
            generate)
                cmd="nvidia-ctk_cdi_generate"
                ;;
            list)
                cmd="nvidia-ctk_cdi_list"
                ;;
            check)
                cmd="nvidia-ctk_cdi_check"
                ;;
            transform)
                cmd="nvidia-ctk_cdi_transform"
                ;;
            root)
                cmd="nvidia-ctk_cdi_transform_root"
                ;;
            config)
                cmd="nvidia-ctk_config"
                ;;
            default)
                cmd="nvidia-ctk_config_default"
                ;;
            doctor)
                cmd="nvidia-ctk_doctor"
                ;;
            info)
                cmd="nvidia-ctk_info"
                ;;
            install)
                cmd="nvidia-ctk_install"
                ;;
            uninstall)
                cmd="nvidia-ctk_uninstall"
                ;;
            system)
                cmd="nvidia-ctk_system"
                ;;
            create-device-nodes)
                cmd="nvidia-ctk_system_create-device-nodes"
                ;;
            create-dev-char-symlinks)
                cmd="nvidia-ctk_system_create-dev-char-symlinks"
                ;;
            print-ldcache)
                cmd="nvidia-ctk_system_print-ldcache"
                ;;
        esac
    done

    case "${cmd}" in
        nvidia-ctk)
            opts="--help --debug -d --quiet --version -v --list"
            cmds="hook runtime cdi config doctor info install uninstall system"
            case "${prev}" in
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_hook)
            opts="--help --strict"
            cmds="update-ldcache create-symlinks chmod enable-cuda-compat disable-device-node-modification update-application-profile create-soname-symlinks apply"
            case "${prev}" in
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_hook_update-ldcache)
            opts="--help --folder --find-driver --ldconfig-path --container-spec"
            case "${prev}" in
                --folder)
                    COMPREPLY=()
                    return 0
                    ;;
                --ldconfig-path)
                    COMPREPLY=()
                    return 0
                    ;;
                --container-spec)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_hook_create-symlinks)
            opts="--help --link --csv-filename --host-root --container-spec"
            case "${prev}" in
                --link)
                    COMPREPLY=()
                    return 0
                    ;;
                --csv-filename)
                    COMPREPLY=()
                    return 0
                    ;;
                --host-root)
                    COMPREPLY=()
                    return 0
                    ;;
                --container-spec)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_hook_chmod)
            opts="--help --path --mode --container-spec"
            case "${prev}" in
                --path)
                    COMPREPLY=()
                    return 0
                    ;;
                --mode)
                    COMPREPLY=()
                    return 0
                    ;;
                --container-spec)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_hook_enable-cuda-compat)
            opts="--help --host-driver-version --host-cuda-version --cuda-compat-container-root --container-spec"
            case "${prev}" in
                --host-driver-version)
                    COMPREPLY=()
                    return 0
                    ;;
                --host-cuda-version)
                    COMPREPLY=()
                    return 0
                    ;;
                --cuda-compat-container-root)
                    COMPREPLY=()
                    return 0
                    ;;
                --container-spec)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_hook_disable-device-node-modification)
            opts="--help --container-spec"
            case "${prev}" in
                --container-spec)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_hook_update-application-profile)
            opts="--help --container-spec"
            case "${prev}" in
                --container-spec)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_hook_create-soname-symlinks)
            opts="--help --folder --ldconfig-path --container-spec"
            case "${prev}" in
                --folder)
                    COMPREPLY=()
                    return 0
                    ;;
                --ldconfig-path)
                    COMPREPLY=()
                    return 0
                    ;;
                --container-spec)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_hook_apply)
            opts="--help --host-driver-version --host-cuda-version --cuda-compat-container-root --link --link-if-target --chmod --folder --find-driver --disable-device-node-modification --update-application-profile --container-spec"
            case "${prev}" in
                --host-driver-version)
                    COMPREPLY=()
                    return 0
                    ;;
                --host-cuda-version)
                    COMPREPLY=()
                    return 0
                    ;;
                --cuda-compat-container-root)
                    COMPREPLY=()
                    return 0
                    ;;
                --link)
                    COMPREPLY=()
                    return 0
                    ;;
                --link-if-target)
                    COMPREPLY=()
                    return 0
                    ;;
                --chmod)
                    COMPREPLY=()
                    return 0
                    ;;
                --folder)
                    COMPREPLY=()
                    return 0
                    ;;
                --container-spec)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_runtime)
            opts="--help"
            cmds="configure unconfigure"
            case "${prev}" in
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_runtime_configure)
            opts="--help --runtime --config --drop-in-config --nvidia-runtime-name --nvidia-runtime-path --nvidia-set-as-default --enable-cdi --config-source --executable-path --config-mode --oci-hook-path --nvidia-runtime-hook-path --remove --dry-run --diff"
            case "${prev}" in
                --runtime)
                    COMPREPLY=()
                    return 0
                    ;;
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                --drop-in-config)
                    COMPREPLY=()
                    return 0
                    ;;
                --nvidia-runtime-name)
                    COMPREPLY=()
                    return 0
                    ;;
                --nvidia-runtime-path)
                    COMPREPLY=()
                    return 0
                    ;;
                --config-source)
                    COMPREPLY=()
                    return 0
                    ;;
                --executable-path)
                    COMPREPLY=()
                    return 0
                    ;;
                --config-mode)
                    COMPREPLY=()
                    return 0
                    ;;
                --oci-hook-path)
                    COMPREPLY=()
                    return 0
                    ;;
                --nvidia-runtime-hook-path)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_runtime_unconfigure)
            opts="--help --runtime --config --drop-in-config --nvidia-runtime-name --config-mode --oci-hook-path --nvidia-runtime-hook-path --dry-run --diff"
            case "${prev}" in
                --runtime)
                    COMPREPLY=()
                    return 0
                    ;;
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                --drop-in-config)
                    COMPREPLY=()
                    return 0
                    ;;
                --nvidia-runtime-name)
                    COMPREPLY=()
                    return 0
                    ;;
                --config-mode)
                    COMPREPLY=()
                    return 0
                    ;;
                --oci-hook-path)
                    COMPREPLY=()
                    return 0
                    ;;
                --nvidia-runtime-hook-path)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_cdi)
            opts="--help"
            cmds="generate list check transform"
            case "${prev}" in
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_cdi_generate)
            opts="--help --output --format --mode --device-name-strategy --device-id --no-all-device --vendor --class --hooks --nvidia-cdi-hook-path --disable-hook --enable-hook --ldconfig-path --nvidia-smi-list --root --driver-root --dev-root --library-search-path --config-search-path --csv-file --csv-ignore-pattern --csv-compat-container-root --feature-flag --create-devices --init-devices --strict --dry-run --diff --watch"
            case "${prev}" in
                --output)
                    COMPREPLY=()
                    return 0
                    ;;
                --format)
                    COMPREPLY=()
                    return 0
                    ;;
                --mode)
                    COMPREPLY=()
                    return 0
                    ;;
                --device-name-strategy)
                    COMPREPLY=()
                    return 0
                    ;;
                --device-id)
                    COMPREPLY=()
                    return 0
                    ;;
                --vendor)
                    COMPREPLY=()
                    return 0
                    ;;
                --class)
                    COMPREPLY=()
                    return 0
                    ;;
                --hooks)
                    COMPREPLY=()
                    return 0
                    ;;
                --nvidia-cdi-hook-path)
                    COMPREPLY=()
                    return 0
                    ;;
                --disable-hook)
                    COMPREPLY=()
                    return 0
                    ;;
                --enable-hook)
                    COMPREPLY=()
                    return 0
                    ;;
                --ldconfig-path)
                    COMPREPLY=()
                    return 0
                    ;;
                --nvidia-smi-list)
                    COMPREPLY=()
                    return 0
                    ;;
                --root)
                    COMPREPLY=()
                    return 0
                    ;;
                --driver-root)
                    COMPREPLY=()
                    return 0
                    ;;
                --dev-root)
                    COMPREPLY=()
                    return 0
                    ;;
                --library-search-path)
                    COMPREPLY=()
                    return 0
                    ;;
                --config-search-path)
                    COMPREPLY=()
                    return 0
                    ;;
                --csv-file)
                    COMPREPLY=()
                    return 0
                    ;;
                --csv-ignore-pattern)
                    COMPREPLY=()
                    return 0
                    ;;
                --csv-compat-container-root)
                    COMPREPLY=()
                    return 0
                    ;;
                --feature-flag)
                    COMPREPLY=()
                    return 0
                    ;;
                --watch)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_cdi_list)
            opts="--help --spec-dir --json --root"
            case "${prev}" in
                --spec-dir)
                    COMPREPLY=()
                    return 0
                    ;;
                --root)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_cdi_check)
            opts="--help --spec-dir --json --root --driver-root --dev-root"
            case "${prev}" in
                --spec-dir)
                    COMPREPLY=()
                    return 0
                    ;;
                --root)
                    COMPREPLY=()
                    return 0
                    ;;
                --driver-root)
                    COMPREPLY=()
                    return 0
                    ;;
                --dev-root)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_cdi_transform)
            opts="--help"
            cmds="root"
            case "${prev}" in
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_cdi_transform_root)
            opts="--help --from --to --relative-to --input --output"
            case "${prev}" in
                --from)
                    COMPREPLY=()
                    return 0
                    ;;
                --to)
                    COMPREPLY=()
                    return 0
                    ;;
                --relative-to)
                    COMPREPLY=()
                    return 0
                    ;;
                --input)
                    COMPREPLY=()
                    return 0
                    ;;
                --output)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_config)
            opts="--help --config-file -c --set --set-list-separator --in-place -i --output -o"
            cmds="default"
            case "${prev}" in
                --config-file | -c)
                    COMPREPLY=()
                    return 0
                    ;;
                --set)
                    COMPREPLY=()
                    return 0
                    ;;
                --set-list-separator)
                    COMPREPLY=()
                    return 0
                    ;;
                --output | -o)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_config_default)
            opts="--help --output -o"
            case "${prev}" in
                --output | -o)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_doctor)
            opts="--help --json --root --driver-root --dev-root"
            case "${prev}" in
                --root)
                    COMPREPLY=()
                    return 0
                    ;;
                --driver-root)
                    COMPREPLY=()
                    return 0
                    ;;
                --dev-root)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_info)
            opts="--help --json --root --driver-root --dev-root"
            case "${prev}" in
                --root)
                    COMPREPLY=()
                    return 0
                    ;;
                --driver-root)
                    COMPREPLY=()
                    return 0
                    ;;
                --dev-root)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_install)
            opts="--help --root --bindir --libexecdir --hooksdir --with-runtime-hook --dry-run --wait --uninstall-at-exit"
            case "${prev}" in
                --root)
                    COMPREPLY=()
                    return 0
                    ;;
                --bindir)
                    COMPREPLY=()
                    return 0
                    ;;
                --libexecdir)
                    COMPREPLY=()
                    return 0
                    ;;
                --hooksdir)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_uninstall)
            opts="--help --root --bindir --libexecdir --hooksdir --only-specs --dry-run"
            case "${prev}" in
                --root)
                    COMPREPLY=()
                    return 0
                    ;;
                --bindir)
                    COMPREPLY=()
                    return 0
                    ;;
                --libexecdir)
                    COMPREPLY=()
                    return 0
                    ;;
                --hooksdir)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_system)
            opts="--help"
            cmds="create-device-nodes create-dev-char-symlinks print-ldcache"
            case "${prev}" in
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_system_create-device-nodes)
            opts="--help --control-devices --load-kernel-modules --driver-root --dev-root --dry-run"
            case "${prev}" in
                --driver-root)
                    COMPREPLY=()
                    return 0
                    ;;
                --dev-root)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_system_create-dev-char-symlinks)
            opts="--help --dev-char-path --driver-root --create-all --load-kernel-modules --create-device-nodes --watch --dry-run"
            case "${prev}" in
                --dev-char-path)
                    COMPREPLY=()
                    return 0
                    ;;
                --driver-root)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-ctk_system_print-ldcache)
            opts="--help --root --json --check"
            case "${prev}" in
                --root)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
    esac
}

complete -F _nvidia-ctk -o bashdefault -o default nvidia-ctk
