# shellcheck shell=bash
# Cold pulls, pushes and a herd: the box beside docker-registry and beside no cache at all. Sourced by bench.sh, whose names
# it uses.

CROWD=32
# Docker Hub behind a line of 100 MB/s, with 50 ms to the first byte.
FAR=127.0.0.1:5005
declare -A COLD=([straight]=$HUB [registry]=${ADDRESS[registry]} [box]=${ADDRESS[box]})
declare -A COLD_FAR=([straight]=$FAR [far]=127.0.0.1:5006)

cold_start() {
    # shellcheck disable=SC2153 # of bench.sh
    start line python3 "$HERE/bench_line.py" "$FAR" "$HUB" 100 50
    wait_for line curl -fs "http://$FAR/v2/"
    cat >"$WORK/far.toml" <<CONFIG
data = "$WORK/far"
[server]
listen = ["${COLD_FAR[far]}"]
[upstreams."docker.io"]
url = "http://$FAR"
CONFIG
    start far env -u BREAKWATER_DATA breakwater serve --config "$WORK/far.toml"
    wait_for far curl -fs "http://${COLD_FAR[far]}/-/readiness"
}

# seconds_of COMMAND...: how long it took.
seconds_of() {
    local started=$EPOCHREALTIME
    # Where this is a substitution, no failure ends the script.
    "$@" || return
    awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.3f\n", b - a}'
}

# pull_image ADDRESS NAME: as a client does; what it pulled is thrown away.
pull_image() {
    rm -rf "$WORK/pulled"
    skopeo copy --quiet --src-tls-verify=false "docker://$1/library/$2" "dir:$WORK/pulled"
}

# first_byte ADDRESS PATH: milliseconds.
first_byte() {
    curl -fsS -o /dev/null -w '%{time_starttransfer}\n' "http://$1/v2/library/$2" | awk '{printf "%.1f\n", $1 * 1000}'
}

# herd_of NUMBER ADDRESS PATH: that many clients at once.
herd_of() {
    local pids=() pid failed=0
    for _ in $(seq "$1"); do
        fetch "$2" "$3" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || failed=$((failed + 1))
    done
    FAILED_PULLS=$failed
}

cold_herd() {
    local server before started
    step "a herd of $CROWD cold pulls of one blob (18 MB)"
    for server in registry box; do
        # The manifest first, as every client does.
        fetch "${ADDRESS[$server]}" six/manifests/latest
        before=$(hub_count "GET /v2/library/six/blobs/$HERD_BLOB ")
        started=$EPOCHREALTIME
        herd_of "$CROWD" "${ADDRESS[$server]}" "six/blobs/$HERD_BLOB"
        # shellcheck disable=SC2034,SC2154 # a key with a blank, read by bench.sh
        RESULT[herd seconds,$server]=$(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.2f", b - a}')
        # shellcheck disable=SC2034 # as above
        RESULT[herd failed,$server]=$FAILED_PULLS
        # shellcheck disable=SC2034 # as above
        RESULT[herd fetches,$server]=$(($(hub_count "GET /v2/library/six/blobs/$HERD_BLOB ") - before))
    done
}

# hub_put NAME SEED: one more image on Docker Hub, whose bytes nobody has; its tag is the seed.
hub_put() {
    python3 "$HERE/images.py" "$WORK/images" "$1@$2"
    skopeo copy --quiet --preserve-digests --dest-tls-verify=false \
        "oci:$WORK/images/$1@$2:latest" "docker://$HUB/library/$1:$2"
    rm -rf "$WORK/images"
    # What others have left to be written is not theirs to wait for.
    sync
}

cold_images() {
    local round server image digest started
    step "$ROUNDS cold pulls of an image of six layers (108 MB) with skopeo"
    for round in $(seq "$ROUNDS"); do
        hub_put six "cold$round"
        for server in straight registry box; do
            seconds_of pull_image "${COLD[$server]}" "six:cold$round" >>"$WORK/cold,$server"
            echo "$round $server: $(tail -n 1 "$WORK/cold,$server") s"
        done
        for server in straight far; do
            seconds_of pull_image "${COLD_FAR[$server]}" "six:cold$round" >>"$WORK/cold far,$server"
            echo "$round $server, 100 MB/s and 50 ms away: $(tail -n 1 "$WORK/cold far,$server") s"
        done
        hub_put six "byte$round"
        for server in straight far; do
            fetch "${COLD_FAR[$server]}" "six/manifests/byte$round"
        done
        for digest in $(hub_manifest six "byte$round" | jq -r '.layers[].digest'); do
            for server in straight far; do
                first_byte "${COLD_FAR[$server]}" "six/blobs/$digest" >>"$WORK/first byte,$server"
            done
        done
    done
    step "64 clients and one blob of 200 MB that is not here"
    for round in $(seq "$ROUNDS"); do
        for server in one many; do
            hub_put big "$server$round"
            image=$(hub_manifest big "$server$round" | jq -r '.layers[0].digest')
            fetch "${ADDRESS[box]}" "big/manifests/$server$round"
            started=$EPOCHREALTIME
            if [[ $server == one ]]; then
                fetch "${ADDRESS[box]}" "big/blobs/$image"
            else
                herd_of 64 "${ADDRESS[box]}" "big/blobs/$image"
            fi
            awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.3f\n", b - a}' >>"$WORK/clients,$server"
        done
        # The same copying, with nothing to fetch.
        seconds_of herd_of 64 "${ADDRESS[box]}" "big/blobs/$image" >>"$WORK/clients,copying"
        FETCHES=$(hub_count "GET /v2/library/big/blobs/$image ")
        echo "$round one $(tail -n 1 "$WORK/clients,one") s, 64 cold $(tail -n 1 "$WORK/clients,many") s by $FETCHES fetch," \
            "64 warm $(tail -n 1 "$WORK/clients,copying") s"
    done
}

# Where images are pushed to: docker-registry's cache takes no pushes, so another one does.
declare -A PUSH_ADDRESS=([registry]=127.0.0.1:5003 [box]=${ADDRESS[box]})

push_start() {
    cat >"$WORK/pushed.yml" <<CONFIG
version: 0.1
log: {level: warn, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: $WORK/pushed}}
http: {addr: "${PUSH_ADDRESS[registry]}", net: tcp}
CONFIG
    start pushed docker-registry serve "$WORK/pushed.yml"
    wait_for pushed curl -fs "http://${PUSH_ADDRESS[registry]}/v2/"
    breakwater group add bench >/dev/null
    breakwater project add bench/push >/dev/null
    breakwater user add pusher --service >/dev/null
    breakwater member add bench pusher --level developer >/dev/null
    TOKEN=$(breakwater token create --name bench --user pusher --scope read_registry --scope write_registry)
}

# push SERVER ROUND: pushes the image of that round.
push() {
    skopeo copy --quiet --preserve-digests --dest-tls-verify=false --dest-creds "pusher:$TOKEN" \
        "oci:$WORK/images/six@$2:latest" "docker://${PUSH_ADDRESS[$1]}/bench/push/six:$2"
}

pushes() {
    local round server
    step "$ROUNDS pushes of an image of six layers (108 MB)"
    push_start
    for round in $(seq "$ROUNDS"); do
        python3 "$HERE/images.py" "$WORK/images" "six@$round"
        sync
        for server in registry box; do
            seconds_of push "$server" "$round" >>"$WORK/push,$server"
            echo "$round $server: $(tail -n 1 "$WORK/push,$server") s"
        done
        rm -rf "$WORK/images"
    done
}

cold_results() {
    step "cold pulls and pushes (ratios above 1: Breakwater is better)"
    table_head
    row "herd fetches" "herd of $CROWD, upstream fetches" "" less
    row "herd seconds" "herd of $CROWD, until all have it" "s" less
    row "herd failed" "herd of $CROWD, pulls that failed" "" less
    row cold "image of six layers, not cached" "s" less
    row push "push of six layers, 108 MB" "s" less
    printf '\nAgainst pulling straight from the upstream (medians; at most 1 would be no slower):\n'
    against "image of six layers, upstream on the same cores" cold box straight
    against "... upstream of 100 MB/s, 50 ms away" "cold far" far straight
    against "... the first byte of a blob" "first byte" far straight
    awk -v one="$(median "$WORK/clients,one")" -v many="$(median "$WORK/clients,many")" -v copying="$(median "$WORK/clients,copying")" \
        -v fetches="$FETCHES" 'BEGIN {
        printf "64 clients, a blob of 200 MB that is not here: %s s by %s fetch; one client %s s, the copying %s s: %.2f of both\n",
            many, fetches, one, copying, many / (one + copying)
    }'
}

# against TEXT KEY ONE OTHER
against() {
    awk -v text="$1" -v one="$(median "$WORK/$2,$3")" -v other="$(median "$WORK/$2,$4")" \
        'BEGIN {printf "%s: %s through the box, %s straight: %.2f\n", text, one, other, one / other}'
}
