# shellcheck shell=bash
# docker, podman and containerd pull beside a cache that lets images go all the time. Sourced.

# shellcheck source=scripts/e2e.d/flow-docker.sh
source "$HERE/flow-docker.sh"
# shellcheck source=scripts/e2e.d/flow-podman.sh
source "$HERE/flow-podman.sh"
# shellcheck source=scripts/e2e.d/flow-containerd.sh
source "$HERE/flow-containerd.sh"

EVICTION_IMAGES=24
EVICTION_SECONDS=20

flow_eviction() {
    recipe_to docker-mirror /etc/docker/daemon.json
    recipe_to containerd-mirror /etc/containerd/certs.d/docker.io/hosts.toml
    podman_configure
    recipe_to podman-mirror /etc/containers/registries.conf
    eviction_images
    box_new
    docker_empty
    podman_empty
    containerd_empty
    eviction_pull_all >/dev/null
    local used
    used=$(eviction_metric breakwater_cached_bytes)
    # Half of what is pulled all the time has room.
    stop box
    sed -i "s/^tag_ttl = .*/&\nmax_size = \"$((used / 2))\"\nmin_free = \"0\"/" "$WORK/box/breakwater.toml"
    # Else nothing may go when the box first looks, and it does not look again for a minute.
    sleep 4
    eviction_age_once
    box_start
    : >"$WORK/eviction-failed"
    rm -f "$WORK/eviction-over"
    local pids=() pid
    eviction_age &
    pids+=($!)
    eviction_client docker docker pull --quiet &
    pids+=($!)
    eviction_client podman podman pull --quiet &
    pids+=($!)
    eviction_client containerd ctr images pull --hosts-dir /etc/containerd/certs.d &
    pids+=($!)
    sleep "$EVICTION_SECONDS"
    touch "$WORK/eviction-over"
    for pid in "${pids[@]}"; do
        wait "$pid" || true
    done
    local name gone
    for name in docker podman containerd; do
        check "$name pulled again and again" test "$(wc -l <"$WORK/eviction-$name")" -gt 5
        echo "     $(wc -l <"$WORK/eviction-$name") pulls by $name"
    done
    check_equal "no pull failed" "" "$(cat "$WORK/eviction-failed")"
    gone=$(eviction_metric 'breakwater_evictions_total{reason="max_size"}')
    check "images went meanwhile ($gone)" test "$gone" -gt 10
    # What is pulled all the time stays, and its manifests are kept whatever room there is. What is fetched once it is old
    # makes its room.
    sleep 4
    eviction_age_once
    check "another image is pulled" skopeo copy --quiet --src-tls-verify=false \
        "docker://$BOX/library/evict$EVICTION_IMAGES:latest" "dir:$WORK/dir"
    sleep 2
    check "the limit holds" test "$(eviction_metric breakwater_cached_bytes)" -le "$((used / 2))"
    check "nothing is damaged" breakwater verify
}

# eviction_images: on the hub, images of one shape with different bytes, and one more than the clients pull.
eviction_images() {
    local number
    for ((number = 0; number <= EVICTION_IMAGES; number++)); do
        python3 "$ROOT/scripts/e2e.d/images.py" "$WORK/images" "small@$number"
        skopeo copy --quiet --all --preserve-digests --dest-tls-verify=false \
            "oci:$WORK/images/small@$number:latest" "docker://$HUB/library/evict$number:latest"
        rm -rf "$WORK/images"
    done
}

eviction_pull_all() {
    local number
    for ((number = 0; number < EVICTION_IMAGES; number++)); do
        skopeo inspect --raw --tls-verify=false "docker://$BOX/library/evict$number:latest" >/dev/null
        skopeo copy --quiet --src-tls-verify=false "docker://$BOX/library/evict$number:latest" "dir:$WORK/dir"
        rm -rf "$WORK/dir"
    done
}

# eviction_client NAME COMMAND...: pulls all images in an order of its own, and removes each again.
eviction_client() {
    local name=$1 image output
    shift
    : >"$WORK/eviction-$name"
    while [[ ! -e $WORK/eviction-over ]]; do
        for image in $(seq 0 $((EVICTION_IMAGES - 1)) | shuf); do
            [[ ! -e $WORK/eviction-over ]] || return 0
            image=docker.io/library/evict$image:latest
            if output=$("$@" "$image" 2>&1); then
                echo "$image" >>"$WORK/eviction-$name"
            else
                echo "$name: $image: $output" >>"$WORK/eviction-failed"
            fi
            case $name in
            docker) docker rmi --force "$image" ;;
            podman) podman rmi --force "$image" ;;
            containerd) ctr images rm --sync "$image" ;;
            esac >/dev/null 2>&1 || true
        done
    done
}

# eviction_age: again and again, until it is over.
eviction_age() {
    while [[ ! -e $WORK/eviction-over ]]; do
        eviction_age_once || true
        sleep 0.5
    done
}

# eviction_age_once: lets all that was pulled more than a moment ago be days old, so that it may go.
eviction_age_once() {
    python3 - "$WORK/box/data/cache.sqlite" <<'PYTHON'
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], timeout=10)
before = int(time.time()) - 3
with database:
    for column, table in [("fetched_at", "manifests"), ("last_at", "pulls"), ("linked_at", "blob_links")]:
        database.execute(f"UPDATE {table} SET {column} = {column} - 864000 WHERE {column} < ? AND {column} > ?",
                         (before, before - 400000))
PYTHON
}

# eviction_metric SERIES
eviction_metric() {
    curl -fs "http://$BOX/metrics" | awk -v series="$1" '$1 == series {print $2}'
}
