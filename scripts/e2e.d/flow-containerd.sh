# shellcheck shell=bash
# containerd: hosts.toml, which sends ns=docker.io to the box. Sourced.

flow_containerd() {
    recipe_to containerd-mirror /etc/containerd/certs.d/docker.io/hosts.toml
    # Another registry of the world, which the same box serves by the same file.
    recipe containerd-mirror | sed 's|registry-1.docker.io|registry.example|' >"$WORK/hosts.toml"
    install -D -m 0644 "$WORK/hosts.toml" /etc/containerd/certs.d/registry.example/hosts.toml
    box_new
    in_three_phases TERM containerd_pull_all
    hub_start
    check "by its name, which containerd sends as ns=, another upstream is reached" \
        ctr images pull --hosts-dir /etc/containerd/certs.d registry.example/library/small:latest
    check_equal "... and no other" registry.example \
        "$(jq -r 'select(.path == "/v2/library/small/manifests/latest") | .upstream' "$WORK/log/box.log" | tail -n 1)"
}

# containerd_empty: a containerd without content, at its usual socket.
containerd_empty() {
    stop containerd
    rm -rf "$WORK/containerd"
    mkdir -p "$WORK/containerd"
    cat >/etc/containerd/config.toml <<CONFIG
version = 2
root = "$WORK/containerd/root"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]

[plugins."io.containerd.internal.v1.opt"]
path = "$WORK/containerd/opt"
CONFIG
    start containerd containerd
    wait_for containerd ctr version
    # The usual snapshotter, overlayfs, is not at home on every filesystem of a test machine.
    export CONTAINERD_SNAPSHOTTER=native
}

containerd_pull_all() {
    local phase=$1 name
    containerd_empty
    check "$phase: the README's recipe" recipe_run containerd-pull
    for name in "${HUB_IMAGES[@]}"; do
        check "$phase: ctr images pull docker.io/library/$name" \
            ctr images pull --hosts-dir /etc/containerd/certs.d "docker.io/library/$name:latest"
        check_equal "$phase: $name has the upstream's digest" "${HUB_DIGESTS[$name]}" \
            "$(ctr images ls "name==docker.io/library/$name:latest" | awk 'NR == 2 {print $3}')"
    done
    check "$phase: ctr images pull --platform linux/arm64" \
        ctr images pull --hosts-dir /etc/containerd/certs.d --platform linux/arm64 docker.io/library/multi:latest
    check_contains "$phase: ... is there for arm64" linux/arm64 "$(ctr images check "name==docker.io/library/multi:latest"; ctr images ls)"
    check "$phase: by the group's path, with a token" \
        ctr images pull --plain-http --user "ci:$TOKEN" "$BOX/acme/dependency_proxy/containers/six:latest"
}
