# shellcheck shell=bash
# The recipes of README.md and of the manual in src/help, taken out of them word for word, so that what
# they tell people to do is what runs here. Sourced.
#
# A recipe is a fenced block that follows a line `<!-- e2e: NAME -->`. Of one that is in several documents
# the first is taken; tests/suite/readme holds them equal.

DOCUMENTS=("$ROOT/README.md" "$ROOT"/src/help/*.md)
: >"$WORK/recipes-used"

# recipe NAME: prints the block.
recipe() {
    local text
    text=$(awk -v marker="<!-- e2e: $1 -->" '
        $0 == marker { armed = 1; next }
        armed && /^```/ { if (inside) exit; inside = 1; next }
        inside { print }
        armed && !inside && NF { exit }
    ' "${DOCUMENTS[@]}")
    if [[ -z $text ]]; then
        echo "neither README.md nor src/help has a recipe named $1" >&2
        return 1
    fi
    echo "$1" >>"$WORK/recipes-used"
    printf '%s\n' "$text"
}

# recipe_to NAME FILE: writes the block to the file that the text names for it.
recipe_to() {
    mkdir -p "$(dirname "$2")"
    recipe "$1" >"$2"
}

# recipe_run NAME: runs the block as a shell script, in the home directory of this run.
recipe_run() {
    local script
    script=$(recipe "$1") || return 1
    (cd "$HOME" && bash -euo pipefail -c "$script")
}

# recipes_all_used: every recipe was run or written somewhere.
recipes_all_used() {
    local unused
    unused=$(comm -23 \
        <(sed -n 's/^<!-- e2e: \(.*\) -->$/\1/p' "${DOCUMENTS[@]}" | sort -u) \
        <(sort -u "$WORK/recipes-used"))
    check_equal "every recipe of README and manual was used" "" "$unused"
}
