
# Names of groups, users, images … of the running box, where one is asked for; otherwise words and options.
_breakwater() {
    local -a names open whole
    names=(${(f)"$("${words[1]}" complete -- "${(@)words[1,CURRENT]}" 2>/dev/null)"})
    if (( ! $#names )); then
        _breakwater_words "$@"
        return
    fi
    open=(${(M)names:#*/})
    whole=(${names:#*/})
    (( $#whole )) && compadd -- $whole
    (( $#open )) && compadd -S '' -- $open
    return 0
}

