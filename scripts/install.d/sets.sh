# shellcheck shell=sh
# What is saved before an upgrade, so that it can be taken back: a set, which is a directory below
# /var/backups/breakwater (0700), named by time and version, with
#   access.sqlite   what `breakwater backup` wrote while the server ran
#   files/          the program, its units and what else an upgrade replaces, as they lay below /
#   databases/      all databases as they lay there while no server ran, because a newer version
#                   may change them all, and an older one then refuses them
# Sourced by scripts/install, and copied word for word into the package's preinst: POSIX sh. Whoever has
# it has say_error.

SETS=/var/backups/breakwater
SETS_KEPT=3
SET=

# data_directory: that of the service, else of the configuration, as far as their lines tell.
data_directory() {
    {
        if [ -d /run/systemd/system ]; then
            systemctl show --property=Environment --value breakwater.service 2>/dev/null |
                tr ' ' '\n' | sed -n 's/^BREAKWATER_DATA=//p'
        fi
        sed -n -e '/^[[:space:]]*\[/q' \
            -e "s/^[[:space:]]*data[[:space:]]*=[[:space:]]*[\"']\([^\"']*\)[\"'].*/\1/p" \
            /etc/breakwater/breakwater.toml 2>/dev/null || true
        echo /var/lib/breakwater
    } | sed -n 1p
}

# While this file is there, the service does not start: see hold_service.
HELD=/run/breakwater-upgrade

# hold_service: stops the service, and lets its sockets go on listening. A connection that comes meanwhile
# starts the service, which then waits before its first step until release_service: so no connection is
# refused, and nobody writes to the databases.
hold_service() {
    mkdir -p /run/systemd/system/breakwater.service.d && : >"$HELD" || return 1
    cat >/run/systemd/system/breakwater.service.d/upgrade.conf <<UNIT || return 1
[Service]
ExecStartPre=+/bin/sh -c 'while [ -e $HELD ]; do sleep 0.05; done'
UNIT
    systemctl daemon-reload && systemctl --quiet stop breakwater.service
}

# release_service: lets the service start, also one that waits already.
release_service() {
    rm -f "$HELD" /run/systemd/system/breakwater.service.d/upgrade.conf
    rmdir /run/systemd/system/breakwater.service.d 2>/dev/null || true
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

# begin_set PROGRAM: makes $SET, with the files whose names stand on standard input.
begin_set() {
    set_version=$("$1" --version) && mkdir -p "${SETS%/*}" || return 1
    [ -d "$SETS" ] || mkdir -m 0700 "$SETS" || return 1
    SET=$SETS/$(date -u +%Y%m%dT%H%M%SZ)-${set_version#breakwater }
    mkdir -m 0700 "$SET" "$SET/databases" && mkdir "$SET/files" &&
        (cd / && sed 's|^/*||' | xargs -r -d '\n' cp -p --parents -t "$SET/files" --)
}

# back_up_to_set PROGRAM DATA: the server may run.
back_up_to_set() {
    "$1" backup --data "$2" "$SET/access.sqlite" >/dev/null
}

# complete_set DATA: the databases. Fails where a server still runs that is not the service.
complete_set() {
    if [ -e "$1/lock" ] && ! flock --nonblock "$1/lock" true; then
        say_error "a server still runs on $1, and is not the service: stop it first"
        return 1
    fi
    find "$1" -maxdepth 1 -type f -name '*.sqlite*' -exec cp -p --reflink=auto -t "$SET/databases" -- {} +
}

# abandon_set: half a set is none.
abandon_set() {
    rm -rf -- "$SET"
    SET=
}

# prune_sets: keeps the newest.
prune_sets() {
    find "$SETS" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*T[0-9]*Z-*' | sort | head -n "-$SETS_KEPT" |
        while read -r set_old; do
            rm -rf -- "$set_old"
        done
}

# restore_databases DATA: those of $SET in the place of the present ones; no server may run.
restore_databases() {
    [ -e "$SET/databases/access.sqlite" ] &&
        find "$1" -maxdepth 1 -type f -name '*.sqlite*' -delete &&
        find "$SET/databases" -type f -exec cp -p -t "$1" -- {} +
}
