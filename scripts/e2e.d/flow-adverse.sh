# shellcheck shell=bash
# Real clients while the upstream is cut, slowed and restarted under them. Sourced.

# Of the other flows: how each client gets an empty storage.
# shellcheck source=scripts/e2e.d/flow-docker.sh
source "$HERE/flow-docker.sh"
# shellcheck source=scripts/e2e.d/flow-podman.sh
source "$HERE/flow-podman.sh"
# shellcheck source=scripts/e2e.d/flow-containerd.sh
source "$HERE/flow-containerd.sh"

WIRE_PORT=5002
# What is pulled: `line` is quick; of `six` a layer does not fit into the buffers between the registry and the box.
IMAGE=line

flow_adverse() {
    recipe_to docker-mirror /etc/docker/daemon.json
    recipe_to podman-mirror /etc/containers/registries.conf
    podman_configure
    recipe_to containerd-mirror /etc/containerd/certs.d/docker.io/hosts.toml
    docker_empty
    containerd_empty
    local client
    for client in skopeo podman docker ctr; do
        adverse_pull "$client" "every second connection is cut after 1.4 MB" 0 1400000
        adverse_pull "$client" "the line is slow" 4000000 0
        adverse_restart "$client"
    done
    stop wire
    check "verify finds nothing damaged" breakwater verify
}

# adverse_box RATE CUT: an empty box behind a line like that.
adverse_box() {
    stop wire
    start wire python3 "$HERE/wire.py" "$WIRE_PORT" "${HUB##*:}" "$1" "$2"
    wait_for wire curl -fs "http://127.0.0.1:$WIRE_PORT/v2/"
    BOX_UPSTREAM=127.0.0.1:$WIRE_PORT box_new
}

adverse_pull() {
    local client=$1 what=$2
    adverse_box "$3" "$4"
    check "$client: cold pull of $IMAGE, where $what" "adverse_$client"
    check_equal "$client: ... has the upstream's digest" "${HUB_DIGESTS[$IMAGE]}" "$("adverse_${client}_digest")"
}

# The registry goes away in the middle of a cold pull, and comes back two seconds later.
adverse_restart() {
    local client=$1 pull
    IMAGE=six
    adverse_box 9000000 0
    "adverse_$client" >"$WORK/adverse.log" 2>&1 &
    pull=$!
    adverse_await "$client"
    # In flight begins with the question: by then each has an answer, and a third of its bytes.
    sleep 0.7
    hub_stop
    sleep 2
    hub_start
    # Not by `check`: its subshell cannot wait for a process that is not its own.
    if wait "$pull"; then
        pass "$client: cold pull of $IMAGE while the upstream is restarted"
    else
        fail "$client: cold pull of $IMAGE while the upstream is restarted" "$(cat "$WORK/adverse.log" "$WORK/log/box.log")"
    fi
    check_equal "$client: ... has the upstream's digest" "${HUB_DIGESTS[$IMAGE]}" "$("adverse_${client}_digest")"
    IMAGE=line
}

# Until the client's layers are on their way, each of which takes 2 s: skopeo copies one after the other into a
# directory, podman asks for all six at once, the others for three.
adverse_await() {
    local wanted=3 count attempt
    case $1 in skopeo) wanted=1 ;; podman) wanted=6 ;; esac
    for attempt in {1..60}; do
        count=$(curl -fs "http://$BOX/metrics" | awk '$1 == "breakwater_fetches_in_flight" { print $2 }')
        [[ ${count:-0} -lt $wanted ]] || return 0
        sleep 0.05
    done
    echo "after $attempt looks only ${count:-0} layers of $wanted are on their way"
}

adverse_skopeo() {
    rm -rf "$HOME/adverse"
    skopeo copy --quiet --preserve-digests --src-tls-verify=false "docker://$BOX/library/$IMAGE:latest" "dir:$HOME/adverse"
}
adverse_skopeo_digest() {
    echo "sha256:$(sha256sum <"$HOME/adverse/manifest.json" | cut -d' ' -f1)"
}

adverse_podman() {
    podman_empty
    podman pull --quiet "docker.io/library/$IMAGE:latest"
}
adverse_podman_digest() {
    podman image inspect --format '{{.Digest}}' "docker.io/library/$IMAGE:latest" 2>&1
}

adverse_docker() {
    docker image rm --force "$IMAGE" >/dev/null 2>&1 || true
    docker pull --quiet "$IMAGE"
}
adverse_docker_digest() {
    docker image inspect --format '{{index .RepoDigests 0}}' "$IMAGE" 2>&1 | cut -d@ -f2
}

adverse_ctr() {
    ctr images rm --sync "docker.io/library/$IMAGE:latest" >/dev/null 2>&1 || true
    ctr images pull --hosts-dir /etc/containerd/certs.d "docker.io/library/$IMAGE:latest"
}
adverse_ctr_digest() {
    ctr images ls "name==docker.io/library/$IMAGE:latest" | awk 'NR == 2 {print $3}'
}
