# shellcheck shell=bash
# The air gap: images are exported from a box, and the file is read by other tools. Sourced.

# shellcheck source=scripts/e2e.d/people.sh
source "$HERE/people.sh"
# shellcheck source=scripts/e2e.d/flow-containerd.sh
source "$HERE/flow-containerd.sh"
# shellcheck source=scripts/e2e.d/flow-docker.sh
source "$HERE/flow-docker.sh"
# shellcheck source=scripts/e2e.d/flow-podman.sh
source "$HERE/flow-podman.sh"
# shellcheck source=scripts/e2e.d/flow-skopeo.sh
source "$HERE/flow-skopeo.sh"

flow_airgap() {
    podman_configure
    box_new
    people_make
    rm -rf "$WORK"/{filled,read}
    mkdir -p "$WORK"/{filled,read}
    airgap_fill
    airgap_export
    airgap_skopeo
    airgap_podman
    airgap_docker
    airgap_containerd
    airgap_minisign
    airgap_import
    airgap_gap
}

# airgap_fill: both architectures of each image are cached, and one is pushed.
airgap_fill() {
    local name
    for name in "${HUB_IMAGES[@]}"; do
        check "$name is cached" skopeo copy --quiet --all --src-tls-verify=false \
            "docker://$BOX/library/$name:latest" "dir:$WORK/filled/$name"
    done
    check "an image is pushed" people_skopeo_push maintainer "$BOX" acme/api/app
}

airgap_export() {
    rm -f "$HOME"/bundles.key* "$HOME"/week48.*
    check "the manual's recipe for a key" recipe_run airgap-key
    check "the manual's recipe for an export" recipe_run airgap-export
    check_contains "... whose signature is good" "signature: good" "$OUTPUT"
    check_contains "... and that names what was pushed" "hosted:acme/api/app:1" "$OUTPUT"
    check "sha256sum takes its list" bash -c "cd '$HOME' && sha256sum --quiet -c week48.tar.sha256"
    check "every cached image is exported" breakwater export 'docker.io/library/*' 'hosted:acme/*' -o "$HOME/all.tar"
    check "... and once more" breakwater export 'docker.io/library/*' 'hosted:acme/*' -o "$HOME/again.tar"
    check "... with the same bytes" cmp "$HOME/all.tar" "$HOME/again.tar"
}

airgap_skopeo() {
    local name
    for name in small six line multi; do
        check "skopeo reads $name with all its blobs" skopeo copy --quiet --all --preserve-digests \
            "oci-archive:$HOME/all.tar:docker.io/library/$name:latest" "dir:$WORK/read/$name"
        check_equal "... byte for byte" "${HUB_DIGESTS[$name]}" \
            "sha256:$(sha256sum "$WORK/read/$name/manifest.json" 2>&1 | cut -d' ' -f1)"
    done
    check "skopeo reads what was pushed" skopeo copy --quiet --preserve-digests \
        "oci-archive:$HOME/all.tar:localhost/acme/api/app:1" "dir:$WORK/read/app"
    # Older skopeo finds only images of OCI's types by their names in an OCI layout.
    for name in schema2 alpine; do
        check "skopeo reads $name, of docker's own type, by docker's list" skopeo copy --quiet \
            "docker-archive:$HOME/all.tar:docker.io/library/$name:latest" "dir:$WORK/read/$name"
    done
}

airgap_podman() {
    local name loaded
    podman_empty
    check "podman loads all of it" podman load -i "$HOME/all.tar"
    loaded=$(podman image ls --format '{{.Repository}}:{{.Tag}}')
    for name in "${HUB_IMAGES[@]}"; do
        check_contains "... $name by its name" "docker.io/library/$name:latest" "$loaded"
    done
    check "podman gives an image another name" podman tag docker.io/library/small:latest docker.io/library/of-podman-save:1
    rm -f "$WORK/read/podman-save.tar"
    check "podman saves it" podman save --quiet -o "$WORK/read/podman-save.tar" docker.io/library/of-podman-save:1
    podman_empty
    check "podman pulls one image of it" podman pull --quiet "oci-archive:$HOME/all.tar:docker.io/library/multi:latest"
    podman_empty
    check "breakwater exports one image" breakwater export alpine -o "$HOME/one.tar"
    check "podman loads it" podman load -i "$HOME/one.tar"
    check_contains "... by its name" "docker.io/library/alpine:latest" \
        "$(podman image ls --format '{{.Repository}}:{{.Tag}}')"
}

airgap_docker() {
    local name loaded
    rm -f /etc/docker/daemon.json
    docker_empty
    check "docker loads all of it" docker load -i "$HOME/all.tar"
    loaded=$(docker image ls --format '{{.Repository}}:{{.Tag}}')
    for name in "${HUB_IMAGES[@]}"; do
        check_contains "... $name by its name" "$name:latest" "$loaded"
    done
    check_contains "... and what was pushed" "localhost/acme/api/app:1" "$loaded"
    check "docker gives an image another name" docker tag small:latest of-docker-save:1
    check "docker saves it" docker save -o "$WORK/read/docker-save.tar" of-docker-save:1
    stop dockerd
}

airgap_containerd() {
    local name
    containerd_empty
    check "containerd imports all of it" ctr images import "$HOME/all.tar"
    for name in "${HUB_IMAGES[@]}"; do
        check_equal "... $name with the upstream's digest" "${HUB_DIGESTS[$name]}" \
            "$(ctr images ls "name==docker.io/library/$name:latest" | awk 'NR == 2 {print $3}')"
    done
    stop containerd
}

# minisign verifies what breakwater signs, and breakwater takes its keys.
airgap_minisign() {
    tar -C "$WORK" -xf "$HOME/week48.tar" breakwater-bundle.json breakwater-bundle.json.minisig
    check "minisign verifies the signature" minisign -V -q -m "$WORK/breakwater-bundle.json" -p "$HOME/bundles.key.pub"
    check "minisign makes a key" minisign -G -W -f -p "$WORK/mini.pub" -s "$WORK/mini.key"
    check "breakwater signs by it" breakwater export alpine --sign "$WORK/mini.key" -o "$WORK/mini.tar"
    check "... and verifies that" breakwater bundle show "$WORK/mini.tar" --verify-key "$WORK/mini.pub"
}

# airgap_import: what was exported comes back to a box that has lost it, and archives of other tools come too.
airgap_import() {
    check "the cache is emptied" breakwater cache purge --all --pinned
    check "the manual's recipe for an import" recipe_run airgap-import
    check_contains "... that says what came" "docker.io/library/alpine:latest came" "$OUTPUT"
    check_contains "... and who had signed it" "signed by the key" "$OUTPUT"
    check "all images are imported" breakwater import "$HOME/all.tar"
    check "the box goes offline" breakwater offline on
    local name
    for name in small six line multi; do
        check "skopeo pulls $name offline" skopeo copy --quiet --all --preserve-digests --src-tls-verify=false \
            "docker://$BOX/library/$name:latest" "dir:$WORK/read/$name-again"
        check_equal "... with the upstream's digest" "${HUB_DIGESTS[$name]}" \
            "sha256:$(sha256sum "$WORK/read/$name-again/manifest.json" 2>&1 | cut -d' ' -f1)"
    done
    for name in oci-archive docker-archive; do
        rm -f "$WORK/read/$name.tar"
        check "skopeo writes an $name" skopeo copy --quiet --src-tls-verify=false \
            "docker://$BOX/library/small:latest" "$name:$WORK/read/$name.tar:docker.io/library/of-$name:1"
    done
    # The others were saved by docker and podman before.
    for name in oci-archive docker-archive docker-save podman-save; do
        check "the $name is imported" breakwater import "$WORK/read/$name.tar"
        check "... and pulled" skopeo copy --quiet --src-tls-verify=false \
            "docker://$BOX/library/of-$name:1" "dir:$WORK/read/of-$name"
    done
    check "the box goes online" breakwater offline off
}

# airgap_outside COMMAND...: runs it on the side that sees the hub, while PATH leads to the other one.
airgap_outside() {
    env BREAKWATER_DATA="$WORK/outside/data" PATH="$AIRGAP_PATH" "$@"
}

# airgap_warm: what a Dockerfile, a compose file and a Kubernetes manifest need is fetched ahead.
airgap_warm() {
    box_new
    python3 "$ROOT/scripts/e2e.d/images.py" "$WORK/images" six six_next
    airgap_publish six
    airgap_rebuild 1
    rm -rf "$WORK/warm"
    mkdir "$WORK/warm"
    printf '# syntax=docker.io/library/small\nARG BASE=six\nFROM ${BASE} AS build\nFROM scratch\nCOPY --from=line / /\n' \
        >"$WORK/warm/Dockerfile"
    printf 'services:\n  web:\n    image: ${IMAGE:-multi}\n' >"$WORK/warm/compose.yaml"
    cat >"$WORK/warm/pods.yaml" <<'YAML'
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  jobTemplate:
    spec:
      template:
        spec:
          initContainers: [{name: first, image: docker.io/library/schema2:latest}]
          containers: [{name: then, image: library/app}]
---
apiVersion: v1
kind: Pod
metadata: {name: one}
spec:
  containers: [{name: it, image: alpine}]
YAML
    check "all of them are warmed" breakwater warm --from "$WORK/warm/Dockerfile" \
        --from "$WORK/warm/compose.yaml" --from "$WORK/warm/pods.yaml"
    check "... which is seen the second time, without a fetch" breakwater warm --from "$WORK/warm/Dockerfile" \
        --from "$WORK/warm/compose.yaml" --from "$WORK/warm/pods.yaml"
    check "what is built each week is warmed too" breakwater warm by-docker by-buildah
}

# airgap_rebuild WEEK: images of the same tree, built anew each week by docker and by buildah, on the hub. In the second week
# all times are new, some files have changed and one has come.
airgap_rebuild() {
    local tree=$WORK/rebuilt/tree standard container name
    rm -rf "$WORK/rebuilt"
    mkdir -p "$tree"
    standard=$(python3 -c 'import os; print(os.path.dirname(os.__file__))')
    cp "$standard"/*.py "$tree"
    if [[ $1 = 2 ]]; then
        for name in ast.py os.py typing.py; do
            echo '# changed' >>"$tree/$name"
        done
        head -c 20000 /dev/urandom >"$tree/new"
        find "$tree" -exec touch -h -d '2026-02-01' {} +
    fi
    printf 'FROM scratch\nCOPY tree /\n' >"$WORK/rebuilt/Dockerfile"
    docker_empty
    check "week $1: docker builds an image" env DOCKER_BUILDKIT=0 \
        docker build --quiet --tag "$HUB/library/by-docker:latest" "$WORK/rebuilt"
    check "... and pushes it" docker push --quiet "$HUB/library/by-docker:latest"
    stop dockerd
    container=$(buildah from scratch)
    check "week $1: buildah copies a tree" buildah copy --quiet "$container" "$tree" /
    check "... commits" buildah commit --quiet --rm "$container" by-buildah
    check "... and pushes it" buildah push --quiet --tls-verify=false by-buildah "docker://$HUB/library/by-buildah:latest"
    for name in by-docker by-buildah; do
        HUB_DIGESTS[$name]=sha256:$(hub_manifest "$name" | sha256sum | cut -d' ' -f1)
    done
}

# airgap_rebuilt: of images that were built anew only what has changed in their layers is carried.
airgap_rebuilt() {
    local name whole part
    PATH=$AIRGAP_PATH airgap_rebuild 2
    check "the rebuilt images are warmed" airgap_outside breakwater warm by-docker by-buildah
    for name in by-docker by-buildah; do
        check "$name is exported" airgap_outside breakwater export "$name" --have "$HOME/site.have" -o "$HOME/$name.tar"
        check_contains "... as what has changed in it" "only what has changed is in it" "$OUTPUT"
        check "... and whole" airgap_outside breakwater export "$name" --have "$HOME/site.have" --deltas off \
            -o "$HOME/$name-whole.tar"
        whole=$(stat -c %s "$HOME/$name-whole.tar")
        part=$(stat -c %s "$HOME/$name.tar")
        echo "     $name: whole $whole bytes, what has changed $part"
        check "... beside which the rest is small" test "$part" -lt $((whole / 10))
        check "$name is imported" breakwater import "$HOME/$name.tar"
        rm -rf "$WORK/read/$name"
        check "skopeo pulls $name behind the gap" skopeo copy --quiet --all --preserve-digests --src-tls-verify=false \
            "docker://$BOX/library/$name:latest" "dir:$WORK/read/$name"
        check_equal "... with the upstream's digest" "${HUB_DIGESTS[$name]}" \
            "sha256:$(sha256sum "$WORK/read/$name/manifest.json" 2>&1 | cut -d' ' -f1)"
    done
    recipe_to docker-mirror /etc/docker/daemon.json
    docker_empty
    for name in by-docker by-buildah; do
        check "docker pulls $name behind the gap" docker pull --quiet "$name"
        check_contains "... with the upstream's digest" "@${HUB_DIGESTS[$name]}" \
            "$(docker image inspect --format '{{.RepoDigests}}' "$name" 2>&1)"
    done
    stop dockerd
}

# airgap_publish NAME: the hub's library/app:latest becomes this one.
airgap_publish() {
    skopeo copy --quiet --all --preserve-digests --dest-tls-verify=false \
        "oci:$WORK/images/$1:latest" "docker://$HUB/library/app:latest"
    HUB_DIGESTS[app]=sha256:$(hub_manifest app | sha256sum | cut -d' ' -f1)
}

# airgap_gap: a bundle goes to a site with a box of its own, whose network has no way out. Until airgap_home all clients,
# and the box, are those of the site.
airgap_gap() {
    local command
    airgap_warm
    rm -f "$HOME"/{first,second,whole,week,by-docker,by-buildah}*.tar* "$HOME"/site.*
    check "all that was warmed is exported" breakwater export 'docker.io/library/*' -o "$HOME/first.tar"
    stop box
    rm -rf "$WORK/outside"
    mv "$WORK/box" "$WORK/outside"
    sed -i "s|$WORK/box/|$WORK/outside/|" "$WORK/outside/breakwater.toml"
    AIRGAP_PATH=$PATH
    ip netns add site
    ip -n site link set lo up
    rm -rf "$WORK/site"
    mkdir "$WORK/site"
    for command in breakwater skopeo podman buildah docker dockerd containerd ctr curl; do
        printf '#!/bin/sh\nexec nsenter --net=/run/netns/site -- %s "$@"\n' "$(type -P "$command")" >"$WORK/site/$command"
        chmod +x "$WORK/site/$command"
    done
    PATH=$WORK/site:$PATH
    start outside env BREAKWATER_DATA="$WORK/outside/data" PATH="$AIRGAP_PATH" breakwater serve --config "$WORK/outside/breakwater.toml"
    wait_for outside airgap_outside curl -fs "http://$BOX/-/readiness"
    box_new
    check_fails "the hub is out of the site's reach" curl -fs --max-time 5 "http://$HUB/v2/"
    check "the site's box is offline" breakwater offline on
    check "the bundle is imported" breakwater import "$HOME/first.tar"
    recipe_to docker-mirror /etc/docker/daemon.json
    docker_pull_all "behind the gap"
    stop dockerd
    recipe_to podman-mirror /etc/containers/registries.conf
    podman_pull_all "behind the gap"
    recipe_to containerd-mirror /etc/containerd/certs.d/docker.io/hosts.toml
    containerd_pull_all "behind the gap"
    stop containerd
    skopeo_pull_all "behind the gap"
    airgap_difference
    airgap_home
}

# airgap_difference: of a changed image only what is new is carried, by the manual's routine.
airgap_difference() {
    local whole part
    check "the site says what it has" breakwater have -o "$HOME/site.have"
    airgap_rebuilt
    PATH=$AIRGAP_PATH airgap_publish six_next
    echo app >"$HOME/site.list"
    check "the manual's routine of a week, on the side that exports" \
        airgap_outside bash -euo pipefail -c "$(recipe airgap-week-outside)"
    check "the same image is exported as a whole" airgap_outside breakwater export app -o "$HOME/whole.tar"
    whole=$(stat -c %s "$HOME/whole.tar")
    part=$(stat -c %s "$HOME/week.tar")
    echo "     the whole image takes $whole bytes, the difference $part"
    check "... beside which the difference is small" test "$part" -lt $((whole / 20))
    cp "$HOME/week.tar" "$HOME/second.tar"
    check "the manual's routine of a week, at the site" recipe_run airgap-week-site
    check_equal "the changed image is served behind the gap" "${HUB_DIGESTS[app]}" \
        "$(skopeo_digest "$BOX/library/app:latest")"
    rm -rf "$WORK/read/app-next"
    check "... with all its blobs" skopeo copy --quiet --all --preserve-digests --src-tls-verify=false \
        "docker://$BOX/library/app:latest" "dir:$WORK/read/app-next"
    check_fails "a box that lacks the rest refuses the difference" airgap_elsewhere breakwater import "$HOME/second.tar"
    check_contains "... and names what it relies on" "sha256:" "$OUTPUT"
}

# airgap_elsewhere COMMAND...: with an empty data directory.
airgap_elsewhere() {
    rm -rf "$WORK/elsewhere"
    BREAKWATER_DATA=$WORK/elsewhere breakwater init &&
        BREAKWATER_DATA=$WORK/elsewhere "$@"
}

airgap_home() {
    stop box
    stop outside
    PATH=$AIRGAP_PATH
    ip netns del site
}
