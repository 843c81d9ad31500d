# shellcheck shell=bash
# The service under a real systemd: a container of this machine's own system, whose changes
# go to memory and are forgotten, boots to a target that runs systemd-inside.sh. Sourced.

flow_systemd() {
    local shared=$WORK/systemd status=0
    mkdir -p "$shared/machine"
    # Not recursive: of this machine nothing but its root's files, read-only.
    mount -n --bind / "$shared/machine"
    cat >"$shared/e2e.target" <<UNIT
[Unit]
Requires=basic.target e2e.service
After=basic.target
AllowIsolate=yes
UNIT
    cat >"$shared/e2e.service" <<UNIT
[Unit]
After=basic.target
[Service]
Type=oneshot
Environment=HOME=/root
ExecStart=/bin/bash /run/source/scripts/e2e.d/systemd-inside.sh
ExecStopPost=/bin/systemctl --no-block poweroff
StandardOutput=file:/run/shared/results
StandardError=inherit
TimeoutStartSec=200
UNIT
    recipe sockets >"$shared/sockets"
    timeout --kill-after=10 240 systemd-nspawn --quiet --directory="$shared/machine" --volatile=overlay --private-network \
        --register=no --keep-unit --link-journal=no --console=pipe --hostname=box \
        --bind-ro="$ROOT:/run/source" --bind-ro="$BINARY:/run/breakwater" --bind="$shared:/run/shared" \
        --bind-ro="$shared/e2e.target:/etc/systemd/system/e2e.target" \
        --bind-ro="$shared/e2e.service:/etc/systemd/system/e2e.service" \
        --boot systemd.unit=e2e.target >"$WORK/log/nspawn.log" 2>&1 </dev/null || status=$?
    umount -n "$shared/machine"
    check_equal "systemd boots in a container and ends" 0 "$status"
    if ((status)); then
        tail -n 20 "$WORK/log/nspawn.log"
    fi
    local verdict text detail
    while IFS=$'\t' read -r verdict text detail; do
        case $verdict in
        PASS) pass "$text" ;;
        FAIL) fail "$text" "$detail" ;;
        *) printf '     %s\n' "$verdict" ;;
        esac
    done < <(cat "$shared/results" 2>&1)
    check "everything inside was done" grep -qx finished "$shared/results"
}
