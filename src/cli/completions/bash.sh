
# Names of groups, users, images … of the running box, where one is asked for; otherwise words and options.
_breakwater() {
    local line words names last behind
    if [[ -n "${COMP_LINE-}" ]]; then
        line="${COMP_LINE:0:COMP_POINT}"
        read -ra words <<<"$line"
        [[ "$line" == *[[:space:]] ]] && words+=("")
    else
        words=("${COMP_WORDS[@]:0:COMP_CWORD+1}")
    fi
    mapfile -t names < <("$1" complete -- "${words[@]}" 2>/dev/null)
    if [[ ${#names[@]} -eq 0 ]]; then
        _breakwater_words "$@"
        return
    fi
    # bash replaces only what is behind the last character that parts words for it.
    last="${words[${#words[@]} - 1]}"
    behind="$last"
    [[ "${COMP_WORDBREAKS-}" == *:* ]] && behind="${behind##*:}"
    [[ "${COMP_WORDBREAKS-}" == *=* ]] && behind="${behind##*=}"
    COMPREPLY=("${names[@]#"${last%"$behind"}"}")
    if [[ ${#names[@]} -eq 1 && "${names[0]}" == */ ]]; then
        compopt -o nospace 2>/dev/null
    fi
}

