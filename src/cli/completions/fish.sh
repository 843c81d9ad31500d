
# Names of groups, users, images … of the running box, where one is asked for.
function __breakwater_names
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -g __breakwater_found ($words[1] complete -- $words (commandline --current-token --cut-at-cursor) 2>/dev/null)
    test (count $__breakwater_found) -gt 0
end
complete -c breakwater -n __breakwater_names -f -a '$__breakwater_found'
