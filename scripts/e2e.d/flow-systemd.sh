# shellcheck shell=bash
# The service under a real systemd, on a machine of its own (machine.sh): how it starts, restarts, loads
# certificates and is watched. Sourced.

flow_systemd() {
    local results=$WORK/systemd-results
    machine_start
    cp -- "$BINARY" "$WORK/exchange/breakwater"
    recipe sockets >"$WORK/exchange/sockets"
    machine bash "$ROOT/scripts/e2e.d/systemd-inside.sh" "$ROOT" /mnt >"$results" 2>&1
    local verdict text detail
    while IFS=$'\t' read -r verdict text detail; do
        case $verdict in
        PASS) pass "$text" ;;
        FAIL) fail "$text" "$detail" ;;
        *) printf '     %s\n' "$verdict" ;;
        esac
    done <"$results"
    check "everything inside was done" grep -qx finished "$results"
}
