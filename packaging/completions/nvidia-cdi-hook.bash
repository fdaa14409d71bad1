_nvidia-cdi-hook() {
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
            nvidia-cdi-hook | */nvidia-cdi-hook)
                cmd="nvidia-cdi-hook"
                ;;
            update-ldcache)
                cmd="nvidia-cdi-hook_update-ldcache"
                ;;
            create-symlinks)
                cmd="nvidia-cdi-hook_create-symlinks"
                ;;
            chmod)
                cmd="nvidia-cdi-hook_chmod"
                ;;
            enable-cuda-compat)
                cmd="nvidia-cdi-hook_enable-cuda-compat"
                ;;
            disable-device-node-modification)
                cmd="nvidia-cdi-hook_disable-device-node-modification"
                ;;
            update-application-profile)
                cmd="nvidia-cdi-hook_update-application-profile"
                ;;
            create-soname-symlinks)
                cmd="nvidia-cdi-hook_create-soname-symlinks"
                ;;
            apply)
                cmd="nvidia-cdi-hook_apply"
                ;;
        esac
    done

    case "${cmd}" in
        nvidia-cdi-hook)
            opts="--help --strict"
            cmds="update-ldcache create-symlinks chmod enable-cuda-compat disable-device-node-modification update-application-profile create-soname-symlinks apply"
            case "${prev}" in
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        nvidia-cdi-hook_update-ldcache)
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
        nvidia-cdi-hook_create-symlinks)
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
        nvidia-cdi-hook_chmod)
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
        nvidia-cdi-hook_enable-cuda-compat)
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
        nvidia-cdi-hook_disable-device-node-modification)
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
        nvidia-cdi-hook_update-application-profile)
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
        nvidia-cdi-hook_create-soname-symlinks)
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
        nvidia-cdi-hook_apply)
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
    esac
}

complete -F _nvidia-cdi-hook -o bashdefault -o default nvidia-cdi-hook
