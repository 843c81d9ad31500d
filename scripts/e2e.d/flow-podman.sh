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
    podman_pull_partially
    # A crash, where the other flows stop the box in good order.
    in_three_phases KILL podman_pull_all
}

# Of an image in layers of zstd:chunked, podman fetches the files that it does not have: several ranges in one request, of
# a blob that the box does not have either.
podman_pull_partially() {
    local version log=$WORK/log/box.log whole part
    podman_empty
    mkdir "$WORK/podman" "$WORK/chunked"
    # Such layers need overlay, which is not at home on overlay.
    mount -n -t tmpfs tmpfs "$WORK/podman"
    cat >/etc/containers/storage.conf <<CONFIG
[storage]
driver = "overlay"
graphroot = "$WORK/podman/graph"
runroot = "$WORK/podman/run"
[storage.options]
pull_options = {enable_partial_images = "true", use_hard_links = "false", ostree_repos = ""}
CONFIG
    printf 'FROM scratch\nCOPY chunked /data\n' >"$WORK/Dockerfile"
    for number in {1..20}; do
        head -c 200000 /dev/urandom >"$WORK/chunked/$number"
    done
    for version in v1 v2; do
        head -c 200000 /dev/urandom >"$WORK/chunked/7"
        head -c 200000 /dev/urandom >"$WORK/chunked/13"
        check "an image of zstd:chunked, $version" podman_push_chunked "$version"
    done
    podman rmi --all --force >/dev/null
    check "podman pulls it by parts" podman pull --quiet docker.io/library/chunked:v1
    part=$(wc -l <"$log")
    check "... and another version of it" podman pull --quiet docker.io/library/chunked:v2
    whole=$(hub_manifest chunked v2 | jq '.layers[0].size')
    part=$(tail -n +"$((part + 1))" "$log" | jq -s --arg layer "$(hub_manifest chunked v2 | jq -r '.layers[0].digest')" \
        'map(select(.path // "" | endswith($layer)) | select(.status == 206) | .bytes) | add')
    check "... of which only what it does not have came: $part of $whole bytes" test "$part" -lt $((whole / 4))
    check "... and it is the same" podman_same_as "$WORK/chunked"
    # Overlay mounts its own directory below it.
    umount -n --lazy "$WORK/podman"
    podman_configure
}

podman_push_chunked() {
    buildah build --quiet --isolation chroot --tag "$1" --file "$WORK/Dockerfile" "$WORK" &&
        buildah push --quiet --compression-format zstd:chunked --tls-verify=false "$1" "docker://$HUB/library/chunked:$1"
}

# podman_same_as DIRECTORY: whether the image that was pulled last has these files.
podman_same_as() {
    local mounted
    mounted=$(podman image mount docker.io/library/chunked:v2) && diff -r "$1" "$mounted/data" &&
        podman image unmount docker.io/library/chunked:v2
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
