# shellcheck shell=bash
# Checks, and the processes that a run starts. Sourced; knows no registry and no client.

: "${WORK:?is set by run_in_namespace}"
PASSED=0
FAILED=0
FLOW=setup
declare -A PIDS=()

step() {
    FLOW=${1%%[ ,]*}
    printf '\n== %s (%d s)\n' "$*" "$SECONDS"
}

# prepare BINARY: the environment of everything that this run starts.
prepare() {
    mkdir -p "$WORK"/{bin,home,log}
    # containers/image refuses to pull without a policy.
    echo '{"default": [{"type": "insecureAcceptAnything"}]}' >/etc/containers/policy.json
    # cargo is found where it was.
    export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
    export HOME=$WORK/home
    export PATH=$WORK/bin:$PATH:/usr/sbin:/sbin
    # Debian's docker, even where another one comes earlier in PATH.
    [[ -x /usr/bin/docker ]] && ln -sf /usr/bin/docker "$WORK/bin/docker"
    ln -sf "$1" "$WORK/bin/breakwater"
    unset "${!BREAKWATER@}" DOCKER_HOST DOCKER_CONFIG DOCKER_CONTEXT CONTAINERS_CONF CONTAINERS_REGISTRIES_CONF \
        CONTAINERS_STORAGE_CONF CONTAINERD_ADDRESS CONTAINERD_NAMESPACE REGISTRY_AUTH_FILE \
        XDG_RUNTIME_DIR XDG_CONFIG_HOME XDG_DATA_HOME \
        http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
    cd "$HOME" || exit
}

pass() {
    PASSED=$((PASSED + 1))
    printf 'PASS %s: %s (%d s)\n' "$FLOW" "$1" "$SECONDS"
}

# fail TEXT [DETAIL]
fail() {
    FAILED=$((FAILED + 1))
    printf 'FAIL %s: %s\n' "$FLOW" "$1"
    [[ -z ${2-} ]] || printf '%s\n' "$2" | tail -n 25 | sed 's/^/     | /'
}

# check TEXT COMMAND...: passes if the command exits with 0. The command's output is in
# $OUTPUT afterwards.
check() {
    local text=$1 status=0
    shift
    OUTPUT=$("$@" 2>&1) || status=$?
    if ((status == 0)); then
        pass "$text"
    else
        fail "$text" "\$ $* (exit status $status)"$'\n'"$OUTPUT"
    fi
}

# check_fails TEXT COMMAND...: passes if the command ends with an error, and not by a
# signal or a deadline.
check_fails() {
    local text=$1 status=0
    shift
    OUTPUT=$("$@" 2>&1) || status=$?
    if ((status > 0 && status < 124)); then
        pass "$text"
    else
        fail "$text" "\$ $* (exit status $status)"$'\n'"$OUTPUT"
    fi
}

# check_equal TEXT EXPECTED ACTUAL
check_equal() {
    if [[ $2 == "$3" ]]; then
        pass "$1"
    else
        fail "$1" "expected: $2"$'\n'"actual:   $3"
    fi
}

# check_contains TEXT PART WHOLE
check_contains() {
    if [[ $3 == *"$2"* ]]; then
        pass "$1"
    else
        fail "$1" "expected to contain: $2"$'\n'"actual: $3"
    fi
}

# check_lacks TEXT PART WHOLE
check_lacks() {
    if [[ $3 != *"$2"* ]]; then
        pass "$1"
    else
        fail "$1" "expected not to contain: $2"$'\n'"actual: $3"
    fi
}

# start NAME COMMAND...: runs the command in the background; its log is $WORK/log/NAME.log.
start() {
    local name=$1
    shift
    "$@" >>"$WORK/log/$name.log" 2>&1 </dev/null &
    PIDS[$name]=$!
}

# stop NAME [SIGNAL]: ends what start began and waits for it; its exit status is in
# $STOPPED afterwards. After 30 seconds it is killed, which counts as a failure.
stop() {
    local name=$1 signal=${2:-TERM} pid=${PIDS[$1]-}
    STOPPED=0
    [[ -n $pid ]] || return 0
    unset "PIDS[$name]"
    # Without the redirection bash announces every process that dies by a signal.
    {
        kill "-$signal" "$pid" || true
        local deadline=$((SECONDS + 30)) late=no
        while kill -0 "$pid"; do
            if ((SECONDS > deadline)); then
                late=yes
                kill -KILL "$pid" || true
                break
            fi
            sleep 0.05
        done
        # shellcheck disable=SC2034 # read by whoever calls
        wait "$pid" || STOPPED=$?
    } 2>/dev/null
    if [[ $late == yes ]]; then
        fail "$name ends within 30 seconds of SIG$signal" "$(tail -n 20 "$WORK/log/$name.log")"
    fi
}

# forget_logins: what clients keep of them, where docker, skopeo, podman and buildah look.
forget_logins() {
    rm -rf "$HOME/.docker" "$HOME/.config/containers/auth.json" /run/containers/0/auth.json
}

stop_all() {
    local name
    for name in "${!PIDS[@]}"; do
        stop "$name"
    done
}

# wait_for NAME COMMAND...: waits until the command succeeds, and gives up after 30
# seconds or when the process NAME has ended.
wait_for() {
    local name=$1 deadline=$((SECONDS + 30))
    shift
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS > deadline)) || ! kill -0 "${PIDS[$name]}" 2>/dev/null; then
            echo "$name does not come up; the end of its log:" >&2
            tail -n 20 "$WORK/log/$name.log" >&2
            fail "$name starts"
            summary
        fi
        sleep 0.05
    done
}

summary() {
    printf '\n%d passed, %d failed (%d s)\n' "$PASSED" "$FAILED" "$SECONDS"
    ((FAILED == 0 && PASSED > 0)) || exit 1
    exit 0
}
