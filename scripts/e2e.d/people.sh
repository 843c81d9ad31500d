# shellcheck shell=bash
# A project with members of every level and a protected path, for the flows about who may push where. Sourced by them,
# after box.sh.

# shellcheck disable=SC2034 # read by the flows
PROTECTED='container protected; you are not allowed to push new package'
declare -A SECRETS=()

# people_make: the project acme/api, its members called by their levels, a stranger, an administrator; the secrets of
# their tokens are in $SECRETS.
people_make() {
    local who
    breakwater project add acme/api
    for who in reporter developer maintainer; do
        breakwater user add "$who" --service
        breakwater member add acme "$who" --level "$who"
    done
    breakwater user add stranger --service
    breakwater user add boss --service --admin
    for who in reporter developer maintainer stranger boss; do
        SECRETS[$who]=$(breakwater token create --name e2e --user "$who" --scope read_registry,write_registry)
    done
}

# people_login USER REGISTRY: docker knows this one alone.
people_login() {
    rm -rf "$HOME/.docker"
    docker login --username "$1" --password-stdin "$2" <<<"${SECRETS[$1]}"
}

# people_dockerd: a daemon with an image called small, from the registry that plays Docker Hub.
people_dockerd() {
    rm -rf "$WORK/docker" "$HOME/.docker" /etc/docker/daemon.json
    mkdir -p "$WORK/docker"
    start dockerd dockerd --data-root "$WORK/docker/data" --storage-driver=vfs \
        --iptables=false --ip6tables=false --bridge=none
    wait_for dockerd docker info
    docker pull --quiet "$HUB/library/small:latest"
    docker tag "$HUB/library/small:latest" small
}

# people_push USER REGISTRY REPOSITORY: by docker, after a login.
people_push() {
    people_login "$1" "$2" >/dev/null 2>&1 || return 1
    docker tag small "$2/$3:1"
    docker push "$2/$3:1"
}

# people_skopeo_push USER REGISTRY REPOSITORY
people_skopeo_push() {
    skopeo copy --quiet --src-tls-verify=false --dest-tls-verify=false --dest-creds "$1:${SECRETS[$1]}" \
        "docker://$HUB/library/small:latest" "docker://$2/$3:1"
}

# people_skopeo_pull USER REGISTRY REPOSITORY
people_skopeo_pull() {
    rm -rf "$WORK/pulled"
    skopeo copy --quiet --src-tls-verify=false --src-creds "$1:${SECRETS[$1]}" "docker://$2/$3:1" "oci:$WORK/pulled:1"
}
