# dlcli completion for fish. Write it once:  dlcli completion fish > ~/.config/fish/completions/dlcli.fish
function __dlcli_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    _DLCLI_COMPLETE=fish dlcli $words[2..-1] "$current" 2>/dev/null
end
complete -c dlcli -a '(__dlcli_complete)'
