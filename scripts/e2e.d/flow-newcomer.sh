# shellcheck shell=bash
# A newcomer follows README.md from its first line, with its own commands: the first machine, a push, a second machine in a
# network namespace of its own, a denial, a lost upstream, and the next day. Prints a time line. Sourced.

# shellcheck source=scripts/e2e.d/flow-docker.sh
source "$HERE/flow-docker.sh"

# The address of the box that the README's lines for other machines name, and that of such a machine.
NEWCOMER_BOX=10.99.0.1
NEWCOMER_FARM=10.99.0.7

flow_newcomer() {
    NEWCOMER_BEGUN=$SECONDS
    NEWCOMER_TIMES=()
    unset BREAKWATER_DATA
    rm -rf "$HOME/breakwater-data"
    : >"$WORK/log/box.log"
    newcomer_first_machine
    newcomer_group_and_push
    newcomer_second_machine
    newcomer_denial
    newcomer_lost_upstream
    newcomer_second_day
    newcomer_tls
    printf '     time line:\n'
    printf '     | %s\n' "${NEWCOMER_TIMES[@]}"
    stop dockerd
    stop box
    ip netns del farm
    rm -rf "$HOME/breakwater-data"
}

# newcomer_did TEXT: a line of the time line.
newcomer_did() {
    NEWCOMER_TIMES+=("$(printf '%4d s  %s' "$((SECONDS - NEWCOMER_BEGUN))" "$1")")
}

# newcomer_serve ARGUMENT...: `breakwater serve` without a configuration, but for the Docker Hub of this run.
newcomer_serve() {
    start box env BREAKWATER_UPSTREAMS_DOCKER_IO_URL="http://$HUB" breakwater serve "$@"
    wait_for box curl -fs "http://$BOX/-/readiness"
}

newcomer_first_machine() {
    check_equal "the README's first command serves" "cargo run --release -- serve" "$(recipe first-run)"
    newcomer_serve
    check_contains "the box says what to put into daemon.json" "http://$BOX" "$(grep registry-mirrors "$WORK/log/box.log")"
    recipe_to docker-mirror /etc/docker/daemon.json
    docker_empty
    check "docker pulls through the mirror" recipe_run docker-pull
    check "... which the box has answered" grep -q '/v2/library/alpine/manifests/latest' "$WORK/log/box.log"
    newcomer_did "docker pulls through the box on the first machine"
}

newcomer_group_and_push() {
    check "a group with a token" recipe_run token
    TOKEN=$(tail -n 1 <<<"$OUTPUT")
    export TOKEN
    check "a login, and a pull by the group's path" recipe_run docker-group
    newcomer_did "a token pulls by the path of a group"
    check "a project and a push" recipe_run push
    newcomer_did "an image is pushed and pulled again"
}

# farm COMMAND...: runs it on the second machine.
farm() {
    nsenter --net=/run/netns/farm -- "$@"
}

newcomer_farm_docker() {
    stop dockerd
    rm -rf "$WORK/docker"
    mkdir -p "$WORK/docker"
    start dockerd nsenter --net=/run/netns/farm -- dockerd --data-root "$WORK/docker/data" --storage-driver=vfs \
        --iptables=false --ip6tables=false --bridge=none
    wait_for dockerd docker info
}

newcomer_second_machine() {
    local command
    stop dockerd
    forget_logins
    ip netns add farm
    ip link add farm-box type veth peer name farm-there netns farm
    ip address add "$NEWCOMER_BOX/24" dev farm-box
    ip link set farm-box up
    ip -n farm link set lo up
    ip -n farm address add "$NEWCOMER_FARM/24" dev farm-there
    ip -n farm link set farm-there up
    check_fails "a box that listens to its own machine is not reached from another" \
        farm breakwater client check "http://$NEWCOMER_BOX:5000"
    check_contains "... and the check says what to look at" "server.listen" "$OUTPUT"
    stop box
    newcomer_serve --listen 0.0.0.0:5000
    check_lacks "the hint at the start names an address that others can use" "http://0.0.0.0" \
        "$(grep registry-mirrors "$WORK/log/box.log")"
    breakwater client docker --json >"$WORK/client.json"
    check_contains "the lines for docker name the address of the box" "\"http://$NEWCOMER_BOX:5000\"" \
        "$(jq -r '.files[] | select(.path == "/etc/docker/daemon.json") | .text' "$WORK/client.json")"
    jq -r '.files[] | select(.path == "/etc/docker/daemon.json") | .text' "$WORK/client.json" >/etc/docker/daemon.json
    newcomer_farm_docker
    check_fails "docker on a second machine is refused by the mirror, and has no other way" timeout 100 docker pull --quiet six
    command=$(grep -o 'breakwater network add [^`]*' "$WORK/log/box.log" | head -n 1)
    check_equal "the log of the box has the command that lets it in" \
        "breakwater network add 10.99.0.0/24 --ability fill" "$command"
    check_equal "... in one WARN" 1 "$(grep -c 'WARN.*asks the mirror for' "$WORK/log/box.log")"
    OUTPUT=$(breakwater doctor 2>&1 || true)
    check_contains "... and so has the doctor" "$command" "$OUTPUT"
    check_fails "the check on the second machine says the same" farm bash -euo pipefail -c "$(recipe farm-check)"
    check_contains "... with the command" "$command" "$OUTPUT"
    newcomer_did "the second machine is refused, and the box says why"
    check "the command is run" bash -c "$command"
    check "the check on the second machine is content" farm bash -euo pipefail -c "$(recipe farm-check)"
    check "... with the program too" farm breakwater client check "http://$NEWCOMER_BOX:5000"
    check "docker on the second machine pulls through the box" docker pull --quiet six
    check_contains "... what the upstream has" "@${HUB_DIGESTS[six]}" \
        "$(docker image inspect --format '{{.RepoDigests}}' six 2>&1)"
    check_lacks "the doctor is content" network_refused "$(breakwater doctor --json || true)"
    newcomer_did "the second machine pulls through the box"
}

newcomer_denial() {
    local reader box=$NEWCOMER_BOX:5000
    check "the second machine logs in" docker login "$box" --username ci --password-stdin <<<"$TOKEN"
    check "... and pulls what was pushed on the first" docker pull --quiet "$box/acme/api/alpine:v1"
    reader=$(breakwater token create --name reader --user ci --scope read_registry)
    check "a token that may only read logs in" docker login "$box" --username ci --password-stdin <<<"$reader"
    check_fails "... and may not push" docker push --quiet "$box/acme/api/alpine:v1"
    echo "     docker says: $OUTPUT"
    check_contains "... which docker is told" denied "$OUTPUT"
    # Refusals are written in batches.
    check "the audit has it" timeout 30 bash -c 'until breakwater audit --json | grep -q access.denied; do sleep 0.2; done'
    newcomer_did "a push without the right to is denied, with the reason"
}

newcomer_lost_upstream() {
    hub_stop
    docker rmi --force six >/dev/null 2>&1
    check "the upstream is gone, and what was pulled once is pulled again" docker pull --quiet six
    check_fails "... but not what never was" timeout 100 docker pull --quiet small
    hub_start
    newcomer_did "a cached image is pulled while the upstream is away"
}

# What is asked on the second day, where this version has the command.
newcomer_second_day() {
    local command
    stop box
    newcomer_serve --listen 0.0.0.0:5000
    check "docker pulls after a restart" docker pull --quiet six
    for command in status doctor "upstream status" "cache list" "token list" "repository list" "network list" "audit"; do
        # shellcheck disable=SC2086 # one or two words
        if breakwater $command --help >/dev/null 2>&1; then
            check "breakwater $command" breakwater $command
        fi
    done
    check "a backup" breakwater backup "$WORK/newcomer.backup"
    check "... is there" test -s "$WORK/newcomer.backup"
    newcomer_did "the questions of the second day are answered, and a backup is made"
}

# The second machine by TLS, with what `client docker` prints: a login needs no insecure-registries then.
newcomer_tls() {
    local box=$NEWCOMER_BOX:5443 url=https://$NEWCOMER_BOX:5443 made number
    made=$(breakwater tls self-signed --json)
    # What the printed section [tls] says, for a box without a configuration file.
    BREAKWATER_TLS_CERTIFICATE=$(jq -r .certificate <<<"$made")
    BREAKWATER_TLS_KEY=$(jq -r .key <<<"$made")
    export BREAKWATER_TLS_CERTIFICATE BREAKWATER_TLS_KEY BREAKWATER_TLS_LISTEN=0.0.0.0:5443
    stop box
    newcomer_serve
    check_fails "the second machine does not know the authority of the box" farm breakwater client check "$url"
    check_contains "... and is told what to do" "/etc/docker/certs.d/$box/ca.crt" "$OUTPUT"
    breakwater client docker --json >"$WORK/client.json"
    for number in $(jq -r '.files | keys[]' "$WORK/client.json"); do
        mkdir -p "$(dirname "$(jq -r ".files[$number].path" "$WORK/client.json")")"
        jq -j ".files[$number].text" "$WORK/client.json" >"$(jq -r ".files[$number].path" "$WORK/client.json")"
    done
    check_lacks "the lines for docker need no plain HTTP" insecure "$(cat /etc/docker/daemon.json)"
    check "the check is content with them" farm breakwater client check "$url"
    check_contains "... and so is the script" "may pull through the mirror" \
        "$(farm bash -c "$(jq -r .check "$WORK/client.json")" 2>&1)"
    newcomer_farm_docker
    check "docker on the second machine pulls by TLS" docker pull --quiet multi
    check "... and logs in by TLS" docker login "$box" --username ci --password-stdin <<<"$TOKEN"
    rm -rf "/etc/docker/certs.d/$box"
    unset BREAKWATER_TLS_CERTIFICATE BREAKWATER_TLS_KEY BREAKWATER_TLS_LISTEN
    newcomer_did "the second machine pulls and logs in by TLS"
}
