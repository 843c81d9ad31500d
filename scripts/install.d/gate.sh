# shellcheck shell=sh
# The service while its program and its databases are replaced: it does not run, and its sockets go on
# listening, so that a connection that comes meanwhile waits and is answered by the version that comes.
# Sourced by scripts/install, and copied word for word into the package's scripts: POSIX sh. Whoever has it
# has say_error.

# What an upgrade that is under way has left for its next step; a restart of the machine forgets it.
RUN=/run/breakwater-upgrade
GATE=$RUN/gate
GATE_UNIT=/run/systemd/system/breakwater.service.d/upgrade.conf

# began PROCESS: when it began, in the kernel's ticks: with that a process is known from a later one of the
# same number.
began() {
    cut -d ' ' -f 22 "/proc/$1/stat"
}

# hold_service PROCESS: stops the service. Started again by a connection, or here, if it ran, it waits before
# its first step until release_service, or until PROCESS, which does the upgrade, is no more: killed, it keeps
# no service down.
hold_service() {
    mkdir -p "$RUN" "${GATE_UNIT%/*}" && echo "$1 $(began "$1")" >"$GATE" || return 1
    cat >"$GATE_UNIT" <<UNIT || return 1
[Service]
TimeoutStartSec=infinity
ExecStartPre=-+/bin/sh -c 'exec 2>/dev/null; while read -r process began <$GATE && [ "\$\$(cut -d " " -f 22 /proc/\$\$process/stat)" = "\$\$began" ]; do sleep 0.1; done'
UNIT
    systemctl daemon-reload || return 1
    held_state=$(systemctl is-active breakwater.service) || true
    # What it says about sockets that can still start it is what is wanted.
    systemctl --quiet stop breakwater.service 2>/dev/null || return 1
    case $held_state in
    active | activating | reloading) systemctl start --no-block breakwater.service ;;
    esac
}

# release_service: lets the service start, also one that waits already, as the units on the disk say it.
release_service() {
    systemctl daemon-reload || return 1
    [ -e "$GATE" ] || [ -e "$GATE_UNIT" ] || return 0
    rm -f "$GATE" "$GATE_UNIT"
    rmdir "$RUN" "${GATE_UNIT%/*}" 2>/dev/null || true
    systemctl daemon-reload
}

# running_units DIRECTORY: those of our units there that run, sockets first: a connection must not wake
# a service that is stopped.
running_units() {
    for unit in "$1"/breakwater*.socket "$1"/breakwater*.timer "$1"/breakwater*.service; do
        [ -e "$unit" ] || continue
        case $(systemctl is-active "${unit##*/}") in
        active | activating | reloading) echo "${unit##*/}" ;;
        esac
    done
}

# resume_units UNIT...: releases the service, starts what ran before, and waits until it is ready and stays so
# for 3 seconds. `Type=notify` makes systemctl wait.
resume_units() {
    release_service || return 1
    [ $# -gt 0 ] || return 0
    systemctl start "$@" || return 1
    for second in 1 2 3; do
        sleep 1
        for unit in "$@"; do
            if ! systemctl --quiet is-active "$unit"; then
                say_error "$unit: ended within $second seconds"
                return 1
            fi
        done
    done
}
