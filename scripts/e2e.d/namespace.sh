# shellcheck shell=bash
# Runs a script in namespaces of its own, and takes everything away afterwards. Sourced.

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
    trap namespace_clean EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    chmod 0755 "$namespace_work"
    WORK=$namespace_work unshare --net --mount --ipc --pid --fork --mount-proc --kill-child -- \
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
