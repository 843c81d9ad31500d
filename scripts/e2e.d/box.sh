# shellcheck shell=bash
# Breakwater itself: one box at a time, at the address that the README uses. Sourced after
# lib.sh, recipes.sh and hub.sh.

BOX=127.0.0.1:5000

# box_new: an empty box whose Docker Hub is the one of hub.sh, with the group, the user
# and the token of the README's recipes; the token's secret is in $TOKEN.
box_new() {
    stop box
    rm -rf "$WORK/box"
    mkdir -p "$WORK/box"
    # The short tag_ttl makes every tag due for revalidation in the phases without
    # upstream: that is the harder case.
    cat >"$WORK/box/breakwater.toml" <<CONFIG
data = "$WORK/box/data"

[server]
listen = ["$BOX"]

[cache]
tag_ttl = "1s"

[upstreams."docker.io"]
url = "http://${BOX_UPSTREAM:-$HUB}"

[upstreams."registry.example"]
url = "http://$HUB"

[log]
format = "json"
CONFIG
    export BREAKWATER_DATA=$WORK/box/data
    box_start
    check "users, groups and tokens are made while the box serves" recipe_run token
    TOKEN=$(tail -n 1 <<<"$OUTPUT")
    export TOKEN
    check_equal "token create prints a personal token's secret" bwp_ "${TOKEN:0:4}"
}

box_start() {
    start box breakwater serve --config "$WORK/box/breakwater.toml"
    wait_for box curl -fs "http://$BOX/-/readiness"
}

# box_restart SIGNAL: ends the box by that signal and starts it again.
box_restart() {
    stop box "$1"
    if [[ $1 == TERM ]]; then
        check_equal "the box ends with 0 on SIGTERM" 0 "$STOPPED"
    fi
    box_start
    pass "the box starts after SIG$1 while its upstream is down"
}

# in_three_phases SIGNAL FUNCTION: calls FUNCTION with "cold" (the box is new), with
# "upstream down", and, after a restart by SIGNAL, with "restarted, upstream down".
# FUNCTION empties its client's storage itself.
in_three_phases() {
    local signal=$1 function=$2
    "$function" "cold"
    hub_stop
    # Let every tag's time to live run out.
    sleep 1.5
    "$function" "upstream down"
    box_restart "$signal"
    "$function" "restarted, upstream down"
}
