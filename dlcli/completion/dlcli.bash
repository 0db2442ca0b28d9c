# dlcli completion for bash. Put this into ~/.bashrc:  eval "$(dlcli completion bash)"
_dlcli() {
    local word
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("$word")
    done < <(_DLCLI_COMPLETE=bash dlcli "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
    # A group or a section goes on without a space. (bash 3.2 has no compopt.)
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=./] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -o bashdefault -o default -F _dlcli dlcli
