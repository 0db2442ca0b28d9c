#compdef dlcli
# dlcli completion for zsh. Put this into ~/.zshrc, after compinit:  eval "$(dlcli completion zsh)"
_dlcli() {
    local value text
    local -a values shown open open_shown
    while IFS=$'\t' read -r value text; do
        # A group or a section goes on without a space.
        if [[ $value == *[=./] ]]; then
            open+=("$value"); open_shown+=("$value${text:+  -- $text}")
        else
            values+=("$value"); shown+=("$value${text:+  -- $text}")
        fi
    done < <(_DLCLI_COMPLETE=zsh dlcli "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)
    (( $#values + $#open )) || { _files; return }
    (( $#values )) && compadd -l -d shown -a -- values
    (( $#open )) && compadd -S '' -l -d open_shown -a -- open
}
compdef _dlcli dlcli
