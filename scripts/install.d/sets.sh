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

# complete_set DATA: the databases. Nobody may use them meanwhile, and none starts who takes the lock. Fails
# where a server still runs that is not the service.
complete_set() {
    if ! under_lock "$1" find "$1/" -maxdepth 1 -type f -name '*.sqlite*' -exec cp -p --reflink=auto -t "$SET/databases" -- {} +; then
        under_lock "$1" true || say_error "a server still runs on $1, and is not the service: stop it first"
        return 1
    fi
    [ -e "$SET/databases/access.sqlite" ]
}

# under_lock DATA COMMAND...: with the lock that a server holds; only a server makes the file.
under_lock() {
    set_lock=$1/lock
    shift
    if [ -e "$set_lock" ]; then flock --nonblock "$set_lock" "$@"; else "$@"; fi
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

# restore_databases DATA: those of $SET in the place of the present ones, which stay where there is no room for
# both; no server may run.
restore_databases() {
    set_copies=$1/restored
    [ -e "$SET/databases/access.sqlite" ] && rm -rf -- "$set_copies" && mkdir -m 0700 "$set_copies" || return 1
    if ! find "$SET/databases" -type f -exec cp -p --reflink=auto -t "$set_copies" -- {} +; then
        rm -rf -- "$set_copies"
        return 1
    fi
    find "$1/" -maxdepth 1 -type f -name '*.sqlite*' -delete &&
        find "$set_copies" -type f -exec mv -f -t "$1" -- {} + && rmdir "$set_copies"
}
