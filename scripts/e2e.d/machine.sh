# shellcheck shell=bash
# A machine to install on: systemd as the first process of namespaces of its own, on a layer over
# this machine's files that is lost when it stops. Its network is that of the run. Sourced after
# lib.sh.

MACHINE=

# machine_start: boots it, and waits until it has.
machine_start() {
    mkdir -p "$WORK/machine" "$WORK/exchange" "$WORK/cgroups"
    # Not the machine's own control groups: one for this, which namespace_clean removes.
    mountpoint --quiet "$WORK/cgroups" || mount -n -t cgroup2 cgroup2 "$WORK/cgroups"
    mkdir -p "$WORK/cgroups/${WORK##*/}"
    start machine bash "$ROOT/scripts/e2e.d/machine-boot.sh" "$WORK" "$ROOT"
    wait_for machine machine_has_booted
    MACHINE=$(machine_first_process)
}

# machine-boot.sh has one child, unshare, and that has one.
machine_first_process() {
    local process=${PIDS[machine]}
    for _ in 1 2; do
        process=$(<"/proc/$process/task/$process/children") && process=${process%% *}
        [[ -n $process ]] || return 1
    done
    echo "$process"
}

machine_has_booted() {
    MACHINE=$(machine_first_process) && [[ $(machine systemctl is-system-running) =~ ^(running|degraded)$ ]]
}

# machine COMMAND...: runs it there, as root, in a bare environment. $WORK/exchange is /mnt there,
# and this source tree is where it is here.
machine() {
    nsenter --target "$MACHINE" --mount --uts --pid --cgroup --root --wd -- \
        env --ignore-environment PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive "$@" </dev/null
}

# machine_reads FILE: its text there.
machine_reads() {
    machine cat "$1"
}
