# shellcheck shell=bash
# How cost grows: with clients, with cold images at once, and with what is kept. Sourced by bench.sh, whose names it uses.
# Each figure is a line of growth.tsv: chart, series, x, y.

GROWN=127.0.0.1:5007

grown() {
    printf '%s\t%s\t%s\t%s\n' "$@" >>"$WORK/growth.tsv"
    echo "$1, $2: $3 → $4"
}

# A fresh measurement each, of one round: a curve shows by its neighbours which of its points is odd.
by_clients() {
    local clients server
    for clients in 1 2 4 8 16 32 64 128 256 512; do
        for server in nginx box; do
            take "$server" "clients $clients" "${PATHS[manifest by tag]}" "$clients" small >/dev/null
            grown "answers a second" "${SHOWN_AS[$server]}" "$clients" "$(tail -n 1 "$WORK/clients $clients,$server")"
            grown "99th percentile in ms" "${SHOWN_AS[$server]}" "$clients" \
                "$(tail -n 1 "$WORK/clients $clients p99,$server")"
        done
    done
    read -r _ high <<<"$(memory box)"
    echo "memory of the box at its highest, with 512 clients: $high MB"
}

# pull_parts ADDRESS TAG: one image as a client does, with curl, because 64 skopeo take more than the servers.
pull_parts() {
    local digest urls=()
    for digest in $(curl -fsS -H "Accept: $MANIFEST_TYPE" "http://$1/v2/library/line/manifests/$2" |
        jq -r '.config.digest, .layers[].digest'); do
        urls+=(-o /dev/null "http://$1/v2/library/line/blobs/$digest")
    done
    curl -fsS --parallel "${urls[@]}"
}

# pull_many ADDRESS TAG...: all of them at once.
pull_many() {
    local address=$1 tag pid pids=() failed=0
    shift
    for tag in "$@"; do
        pull_parts "$address" "$tag" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || failed=$((failed + 1))
    done
    ((failed == 0)) || { echo "scripts/bench: $failed of $# pulls failed" >&2 && return 1; }
}

by_images() {
    local number tag tags took
    for number in 1 4 16 64; do
        mapfile -t tags < <(seq -f "$number-%g" "$number")
        for tag in "${tags[@]}"; do
            hub_put line "$tag"
        done
        took=$(seconds_of pull_many "$HUB" "${tags[@]}")
        grown "seconds for all, cold" "straight from upstream" "$number" "$took"
        took=$(seconds_of pull_many "${ADDRESS[box]}" "${tags[@]}")
        grown "seconds for all, cold" "Breakwater" "$number" "$took"
    done
}

# until_ready DIRECTORY: starts the box with that data, and waits for it.
until_ready() {
    start stocked env BREAKWATER_DATA="$1" breakwater serve --config "$WORK/stocked.toml"
    until curl -fs -o /dev/null "http://$GROWN/-/readiness"; do
        kill -0 "${PIDS[stocked]}" || { tail "$WORK/log/stocked.log" >&2 && exit 1; }
        sleep 0.01
    done
}

by_blobs() {
    local blobs data seen path started took now p99
    ADDRESS[stocked]=$GROWN
    sed "s|^data = .*||; s|${ADDRESS[box]}|$GROWN|" "$WORK/breakwater.toml" >"$WORK/stocked.toml"
    for blobs in 100 10000 1000000; do
        data=$WORK/stocked-$blobs
        until_ready "$data"
        for path in "${PATHS[manifest by tag]}" "${PATHS[small blob]}"; do
            fetch "$GROWN" "$path"
        done
        stop stocked
        BREAKWATER_STOCK=$data BREAKWATER_EVICTION_BLOBS=$blobs "$GROWTH_SUITE" --ignored --exact \
            eviction::scale::a_data_directory_is_stocked >/dev/null
        # Otherwise the kernel would write these files during what is measured.
        sync
        # In this shell, which is to know the process.
        started=$EPOCHREALTIME
        until_ready "$data"
        took=$(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.3f", b - a}')
        grown "start in s" "Breakwater" "$blobs" "$took"
        take stocked "blobs $blobs" "${PATHS[manifest by tag]}" 8 small >/dev/null
        grown "answers a second, by blobs" "Breakwater" "$blobs" "$(tail -n 1 "$WORK/blobs $blobs,stocked")"
        p99=$(tail -n 1 "$WORK/blobs $blobs p99,stocked")
        grown "99th percentile in ms, by blobs" "Breakwater" "$blobs" "$p99"
        read -r now _ <<<"$(memory stocked)"
        grown "memory in MB" "Breakwater" "$blobs" "$now"
        stop stocked
        rm -rf "$data"
    done
}

declare -A SHOWN_AS=([nginx]="nginx, a file" [box]=Breakwater)

growth() {
    local server
    fetch "${ADDRESS[box]}" "${PATHS[manifest by tag]}"
    step "with clients: manifest by tag"
    by_clients
    step "with cold images of six layers (30 MB) at once"
    by_images
    step "with blobs that are kept"
    by_blobs
    python3 "$HERE/growth.py" <"$WORK/growth.tsv" >"$GROWTH"
    step "drawn: $GROWTH"
    column -t -s $'\t' "$WORK/growth.tsv"
}
