# shellcheck shell=bash
# podman and buildah: the box as a mirror in registries.conf. Sourced.

# In namespaces without systemd: files for events, cgroupfs, and no overlay on overlay.
podman_configure() {
    cat >/etc/containers/containers.conf <<CONFIG
[engine]
events_logger = "file"
cgroup_manager = "cgroupfs"
CONFIG
    cat >/etc/containers/storage.conf <<CONFIG
[storage]
driver = "vfs"
graphroot = "$WORK/podman/graph"
runroot = "$WORK/podman/run"
CONFIG
}

flow_podman() {
    podman_configure
    recipe_to podman-mirror /etc/containers/registries.conf
    box_new
    # A crash, where the other flows stop the box in good order.
    in_three_phases KILL podman_pull_all
}

podman_pull_all() {
    local phase=$1 name
    podman_empty
    check "$phase: the README's recipe" recipe_run podman-pull
    for name in "${HUB_IMAGES[@]}"; do
        check "$phase: podman pull docker.io/library/$name" podman pull --quiet "docker.io/library/$name:latest"
        check_contains "$phase: $name has the upstream's digest" "@${HUB_DIGESTS[$name]}" \
            "$(podman image inspect --format '{{.RepoDigests}}' "docker.io/library/$name:latest" 2>&1)"
    done
    podman_empty
    check "$phase: podman pull --arch arm64" podman pull --quiet --arch arm64 docker.io/library/multi:latest
    check_equal "$phase: ... is for arm64" arm64 \
        "$(podman image inspect --format '{{.Architecture}}' docker.io/library/multi:latest 2>&1)"
    check "$phase: podman login and pull by the group's path" podman_group
    check "$phase: buildah pull" buildah pull --quiet docker.io/library/small:latest
}

podman_empty() {
    rm -rf "$WORK/podman"
}

podman_group() {
    podman login --tls-verify=false --username ci --password-stdin "$BOX" <<<"$TOKEN" &&
        podman pull --quiet --tls-verify=false "$BOX/acme/dependency_proxy/containers/schema2:latest" &&
        podman logout "$BOX"
}
