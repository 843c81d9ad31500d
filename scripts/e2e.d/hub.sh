# shellcheck shell=bash
# Docker Hub, played by Debian's docker-registry on plain HTTP. Sourced after lib.sh.

HUB=127.0.0.1:5001
# What is on it. The alpine that the README's recipes pull is a Docker manifest list.
HUB_IMAGES=(small six line multi schema2 alpine)
declare -A HUB_DIGESTS=()

hub_start() {
    [[ -z ${PIDS[hub]-} ]] || return 0
    mkdir -p "$WORK/hub"
    cat >"$WORK/hub.yml" <<CONFIG
version: 0.1
log: {level: warn, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: $WORK/hub}}
http: {addr: "$HUB", net: tcp}
CONFIG
    start hub docker-registry serve "$WORK/hub.yml"
    wait_for hub curl -fs "http://$HUB/v2/"
}

hub_stop() {
    stop hub
}

# hub_fill: makes the images, pushes them, and records their digests.
hub_fill() {
    python3 "$ROOT/scripts/e2e.d/images.py" "$WORK/images" "${HUB_IMAGES[@]}"
    local name options
    for name in "${HUB_IMAGES[@]}"; do
        case $name in
        schema2) options=(--format v2s2) ;;
        alpine) options=(--all --format v2s2) ;;
        *) options=(--all --preserve-digests) ;;
        esac
        skopeo copy --quiet "${options[@]}" --dest-tls-verify=false \
            "oci:$WORK/images/$name:latest" "docker://$HUB/library/$name:latest"
        HUB_DIGESTS[$name]=sha256:$(hub_manifest "$name" | sha256sum | cut -d' ' -f1)
        printf '%-8s %s %s\n' "$name" "${HUB_DIGESTS[$name]}" "$(hub_manifest "$name" | jq -r .mediaType)"
    done
    rm -rf "$WORK/images"
}

# hub_manifest NAME [TAG]: the bytes of the manifest that the tag names, or latest.
hub_manifest() {
    skopeo inspect --raw --tls-verify=false "docker://$HUB/library/$1:${2-latest}"
}

# hub_count PATTERN: how many requests the registry has answered whose line of the access
# log ('"GET /v2/library/small/manifests/latest HTTP/1.1" 200 ...') matches the pattern.
hub_count() {
    grep -cE -- "$1" "$WORK/log/hub.log" || true
}
