# shellcheck shell=bash
# docker: the box in registry-mirrors, and docker login with a group's path. Sourced.

flow_docker() {
    recipe_to docker-mirror /etc/docker/daemon.json
    box_new
    in_three_phases TERM docker_pull_all
    docker_not_cached "upstream down"
    hub_start
    # A new start asks the upstream at once, where a running box waits for its next probe.
    stop box
    box_start
    docker_not_cached "upstream up"
    docker_hub_credentials
    docker_wrong_password
    docker_scopes
    docker_doctor
}

# docker_empty: a daemon without images, and a command line without logins.
docker_empty() {
    stop dockerd
    rm -rf "$WORK/docker" "$HOME/.docker"
    mkdir -p "$WORK/docker"
    # Storage and network are this machine's affair. Everything about registries is in
    # the README's daemon.json, which dockerd reads from its usual place.
    start dockerd dockerd --data-root "$WORK/docker/data" --storage-driver=vfs \
        --iptables=false --ip6tables=false --bridge=none
    wait_for dockerd docker info
}

docker_pull_all() {
    local phase=$1 name
    docker_empty
    check "$phase: the README's recipe for the mirror" recipe_run docker-pull
    for name in "${HUB_IMAGES[@]}"; do
        check "$phase: docker pull $name through registry-mirrors" docker pull --quiet "$name"
        check_contains "$phase: $name has the upstream's digest" "@${HUB_DIGESTS[$name]}" \
            "$(docker image inspect --format '{{.RepoDigests}}' "$name" 2>&1)"
    done
    check "$phase: docker pull --platform linux/arm64" docker pull --quiet --platform linux/arm64 multi
    check_equal "$phase: ... is for arm64" arm64 "$(docker image inspect --format '{{.Architecture}}' multi 2>&1)"

    docker_empty
    check "$phase: the README's recipe for CI" recipe_run ci
    check "$phase: the README's recipe for login and group" recipe_run docker-group
    for name in "${HUB_IMAGES[@]}"; do
        check "$phase: docker pull $name by the group's path" docker pull --quiet \
            "$BOX/acme/dependency_proxy/containers/$name:latest"
        check_contains "$phase: $name has the upstream's digest" "@${HUB_DIGESTS[$name]}" \
            "$(docker image inspect --format '{{.RepoDigests}}' "$BOX/acme/dependency_proxy/containers/$name" 2>&1)"
    done
}

# docker_not_cached PHASE: an image that the box does not have ends in a sentence.
docker_not_cached() {
    local phase=$1
    docker_login ci "$TOKEN" >/dev/null 2>&1 || true
    check_fails "$phase: an image that is not cached fails" timeout 100 \
        docker pull --quiet "$BOX/acme/dependency_proxy/containers/absent:latest"
    echo "     docker says: $OUTPUT"
    check_lacks "$phase: ... with a message, not a parse error" "error parsing HTTP" "$OUTPUT"
    if [[ $phase == "upstream down" ]]; then
        check_contains "$phase: ... that names the upstream" docker.io "$OUTPUT"
    else
        check_contains "$phase: ... that names the image" absent "$OUTPUT"
    fi
}

# docker_doctor: what `breakwater doctor` says of the daemon that runs here.
docker_doctor() {
    docker_empty
    check_lacks "the doctor is content with a daemon that pulls through the box" docker_ "$(docker_findings)"
    cp /etc/docker/daemon.json "$WORK/daemon.json"
    echo '{"registry-mirrors": ["https://mirror.example"]}' >/etc/docker/daemon.json
    check_contains "... names another mirror, and the file" \
        "warning docker_elsewhere docker on this machine pulls through https://mirror.example, which is not this box; so it says in /etc/docker/daemon.json" \
        "$(docker_findings)"
    echo '{}' >/etc/docker/daemon.json
    stop dockerd
    start dockerd dockerd --data-root "$WORK/docker/data" --storage-driver=vfs \
        --iptables=false --ip6tables=false --bridge=none --registry-mirror https://flag.example
    wait_for dockerd docker info
    check_contains "... and the command line of a daemon that runs" \
        "https://flag.example, which is not this box; so it says in the command line of process ${PIDS[dockerd]}" \
        "$(docker_findings)"
    mv "$WORK/daemon.json" /etc/docker/daemon.json
    stop dockerd
}

# docker_findings: one a line: severity, check, sentence.
docker_findings() {
    breakwater doctor --json | jq -r '.findings[] | "\(.severity) \(.check) \(.what)"' | grep docker_
}

docker_wrong_password() {
    # The name of a user who exists, of one who does not, and a token with a typing error.
    local name
    for name in root nobody-such ci; do
        rm -rf "$HOME/.docker"
        check_fails "docker login as $name with a wrong password fails, from a trusted network too" \
            docker_login "$name" wrong-password
        echo "     docker says: $OUTPUT"
        check_contains "... says unauthorized" unauthorized "$OUTPUT"
        check_lacks "... and is no parse error" "error parsing HTTP" "$OUTPUT"
    done
    rm -rf "$HOME/.docker"
    check "docker login with root's initial password" \
        docker_login root "$(cat "$WORK/box/data/initial_root_password")"
}

# Whoever is logged in at Docker Hub sends that login to the mirror as well: it is none of
# ours, and must neither be refused nor kept.
docker_hub_credentials() {
    docker_empty
    mkdir -p "$HOME/.docker"
    jq -n --arg auth "$(printf 'hub-user:hub-secret' | base64)" \
        '{auths: {"https://index.docker.io/v1/": {auth: $auth}}}' >"$HOME/.docker/config.json"
    check "docker pull through registry-mirrors while logged in at Docker Hub" docker pull --quiet small
    check_fails "... and the box keeps nothing of that login" \
        grep -rlaE "hub-secret|$(printf 'hub-user:hub-secret' | base64)" "$WORK/box" "$WORK/log/box.log"
}

# A token that may read only: what docker says where that is not enough, and a revocation.
docker_scopes() {
    local made id secret
    if ! breakwater feature --help >/dev/null 2>&1; then
        echo "left out: this breakwater has no command feature"
        return
    fi
    made=$(breakwater token create --name reader --user ci --scope read_registry --json 2>&1) || true
    id=$(jq -r .id <<<"$made" 2>/dev/null) || true
    secret=$(jq -r .token <<<"$made" 2>/dev/null) || true
    docker_empty
    check "docker login with a token that may only read" docker_login ci "$secret"
    check "... pulls what is cached" docker pull --quiet "$BOX/acme/dependency_proxy/containers/small:latest"
    check "the older rule, a pair of abilities, is switched on" \
        breakwater feature disable dependency_proxy_split_abilities
    check_fails "... docker login with that token fails" docker_login ci "$secret"
    echo "     docker says: $OUTPUT"
    check_contains "... says denied" denied "$OUTPUT"
    check_contains "... and which ability the token lacks" create_container_image "$OUTPUT"
    check_lacks "... and is no parse error" "error parsing HTTP" "$OUTPUT"
    check "the older rule is switched off" breakwater feature enable dependency_proxy_split_abilities
    check "... docker login with that token works again" docker_login ci "$secret"
    docker rmi "$BOX/acme/dependency_proxy/containers/small:latest" >/dev/null 2>&1 || true
    check "the token is revoked" breakwater token revoke "$id"
    check_fails "... and pulls nothing any more" docker pull --quiet "$BOX/acme/dependency_proxy/containers/small:latest"
}

docker_login() {
    docker login "$BOX" --username "$1" --password-stdin <<<"$2"
}
