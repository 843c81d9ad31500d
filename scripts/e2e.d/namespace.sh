# shellcheck shell=bash
# Runs a script in namespaces of its own, and takes everything away afterwards. Sourced.

# Directories that recipes and clients write to. SCRIPT finds them empty, and what it
# writes there lands below $WORK.
readonly NAMESPACE_DIRECTORIES=(/etc/docker /etc/containerd /etc/containers /etc/cni /etc/breakwater /etc/nginx
    /var/lib/containers /etc/ssl/certs /usr/local/share/ca-certificates)

# run_in_namespace KEEP SCRIPT ARGUMENT...
# SCRIPT finds an empty directory in $WORK. Its network is a loopback and nothing else;
# its processes end with it, because the kernel ends a process namespace with its first
# process; its mounts go with its mount namespace. Only $WORK is left, and is removed
# unless KEEP is yes.
run_in_namespace() {
    local keep=$1 script=$2 status=0
    shift 2
    # Not local: the trap outlives this function.
    namespace_work=$(mktemp -d "${TMPDIR:-/tmp}/breakwater-${script##*/}.XXXXXX")
    namespace_pid=
    namespace_keep=$keep
    namespace_made=()
    trap namespace_clean EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    chmod 0755 "$namespace_work"
    # What shall be covered by a mount has to exist outside.
    local directory
    for directory in "${NAMESPACE_DIRECTORIES[@]}"; do
        if [[ ! -d $directory ]]; then
            mkdir "$directory"
            namespace_made+=("$directory")
        fi
    done
    # If this shell is killed, the kernel kills unshare, and with it everything below.
    WORK=$namespace_work setpriv --pdeathsig KILL unshare --net --mount --ipc --pid --fork --mount-proc --kill-child -- \
        bash "$script" "$@" </dev/null &
    namespace_pid=$!
    wait "$namespace_pid" || status=$?
    namespace_pid=
    return "$status"
}

namespace_clean() {
    if [[ -n $namespace_pid ]]; then
        # unshare's death kills its child, and with it the whole process namespace.
        kill -KILL "$namespace_pid" 2>/dev/null || true
        wait "$namespace_pid" 2>/dev/null || true
    fi
    # The control groups of a machine (machine.sh): empty by now, or soon.
    if [[ -d $namespace_work/cgroups ]]; then
        # shellcheck disable=SC2016 # expanded there
        unshare --mount -- bash -c 'mount -n -t cgroup2 cgroup2 "$1/cgroups" && for attempt in 1 2 3 4 5; do
            find "$1/cgroups/${1##*/}" -depth -type d -exec rmdir -- {} + && exit
            sleep 0.2
        done' bash "$namespace_work" 2>/dev/null || true
    fi
    if ((${#namespace_made[@]})); then
        rmdir --ignore-fail-on-non-empty -- "${namespace_made[@]}"
    fi
    if [[ $namespace_keep == yes ]]; then
        echo "kept: $namespace_work"
        return
    fi
    # The last processes of the namespace may still be on their way out.
    local attempt
    for attempt in 1 2 3 4 5; do
        rm -rf --one-file-system -- "$namespace_work" 2>/dev/null && return
        sleep 0.$((attempt * 2))
    done
    rm -rf --one-file-system -- "$namespace_work"
}

# namespace_prepare: the first thing that SCRIPT calls.
namespace_prepare() {
    : "${WORK:?is set by run_in_namespace}"
    ip link set lo up
    # -n: writes no table of mounts below the /run outside.
    mount -n -t tmpfs -o mode=0755 tmpfs /run
    mkdir -p /run/lock
    local directory
    for directory in "${NAMESPACE_DIRECTORIES[@]}"; do
        mkdir -p "$WORK/root$directory"
        mount -n --bind "$WORK/root$directory" "$directory"
    done
}
