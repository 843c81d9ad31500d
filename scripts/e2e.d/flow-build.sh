# shellcheck shell=bash
# docker build, by the classic builder and by BuildKit: FROM through registry-mirrors, and by a group's
# path. Sourced.

# Of the docker flow: a daemon without images.
# shellcheck source=scripts/e2e.d/flow-docker.sh
source "$HERE/flow-docker.sh"

flow_build() {
    recipe_to docker-mirror /etc/docker/daemon.json
    box_new
    in_three_phases TERM build_all
    hub_start
    stop box
    box_start
    build_mirrors_on_the_wire
}

build_all() {
    local phase=$1 builder
    for builder in 0 1; do
        build_with "$phase, DOCKER_BUILDKIT=$builder" "$builder"
    done
}

# build_with WHAT DOCKER_BUILDKIT
build_with() {
    local what=$1 context=$HOME/build
    export DOCKER_BUILDKIT=$2
    docker_empty
    rm -rf "$context"
    mkdir -p "$context"
    recipe_to dockerfile "$context/Dockerfile"
    echo "$what" >"$context/what"
    check "$what: docker build, FROM through registry-mirrors" docker build --quiet --tag mirrored "$context"
    check_equal "$what: ... by the mirror's path, of the upstream" docker.io "$(build_last_upstream /v2/library/alpine)"

    docker_login ci "$TOKEN" >/dev/null 2>&1
    check "$what: the README's recipe for a build by the group's path" build_recipe "$context"
    check_equal "$what: ... by the group's path" docker.io \
        "$(build_last_upstream /v2/acme/dependency_proxy/containers/alpine)"
    check_equal "$what: ... is built on the same layers" \
        "$(docker image inspect --format '{{index .RootFS.Layers 0}}' mirrored 2>&1)" \
        "$(docker image inspect --format '{{index .RootFS.Layers 0}}' app 2>&1)"
    unset DOCKER_BUILDKIT
}

build_recipe() {
    local script
    script=$(recipe docker-build) || return 1
    (cd "$1" && bash -euo pipefail -c "$script")
}

# build_last_upstream PATH: the upstream of the last manifest that the box gave at that path.
build_last_upstream() {
    jq -r --arg path "$1/manifests/" 'select((.path // "") | startswith($path)) | select(.status == 200) | .upstream' \
        "$WORK/log/box.log" | tail -n 1
}

# A buildkitd of its own is no Debian package. Its resolver is containerd's, and how that one asks a mirror
# is known: HEAD by tag and GET by digest with ns=, an anonymous or a personal token after a challenge. Here
# the README's buildkitd.toml says what is asked, and where.
build_mirrors_on_the_wire() {
    recipe_to buildkit "$WORK/buildkitd.toml"
    check "the README's buildkitd.toml: an image by its mirror" \
        python3 "$HERE/mirror_pull.py" "$WORK/buildkitd.toml" docker.io library/small latest
    check_equal "... has the upstream's digest" "${HUB_DIGESTS[small]}" "$(tail -n 1 <<<"$OUTPUT")"
    sed "s|mirrors = .*|mirrors = [\"$BOX/acme/dependency_proxy/containers\"]|" "$WORK/buildkitd.toml" >"$WORK/grouped.toml"
    check "... and by a group's path as the mirror, with credentials" \
        python3 "$HERE/mirror_pull.py" "$WORK/grouped.toml" docker.io library/small latest "ci:$TOKEN"
    check_equal "... has the upstream's digest" "${HUB_DIGESTS[small]}" "$(tail -n 1 <<<"$OUTPUT")"
    check_fails "... and not without" \
        python3 "$HERE/mirror_pull.py" "$WORK/grouped.toml" docker.io library/small latest
    check_contains "... which is a refusal" 401 "$OUTPUT"
}
