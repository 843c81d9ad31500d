# shellcheck shell=bash
# Warm pulls: the box beside docker-registry and beside nginx, which serves the same bytes as files. Sourced by bench.sh,
# whose names it uses.

WARM=("manifest by tag" "manifest by digest" "small blob")

# nginx_start: as one would set it up for files that do not change.
nginx_start() {
    local tag=$WORK/www/v2/library/small/manifests name
    mkdir -p "$tag" "$WORK/www/v2/library/small/blobs" "$WORK/www/v2/library/big/blobs" "$WORK/nginx"
    hub_manifest small >"$tag/latest"
    cp "$tag/latest" "$tag/${HUB_DIGESTS[small]}"
    for name in "small/blobs/$SMALL_BLOB" "big/blobs/$BIG_BLOB"; do
        curl -fsS -o "$WORK/www/v2/library/$name" "http://$HUB/v2/library/$name"
    done
    cat >"$WORK/nginx.conf" <<CONFIG
user root;
daemon off;
worker_processes auto;
error_log stderr;
pid $WORK/nginx/pid;
events { worker_connections 4096; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    open_file_cache max=1000;
    client_body_temp_path $WORK/nginx/body;
    proxy_temp_path $WORK/nginx/proxy;
    fastcgi_temp_path $WORK/nginx/fastcgi;
    uwsgi_temp_path $WORK/nginx/uwsgi;
    scgi_temp_path $WORK/nginx/scgi;
    server {
        listen ${ADDRESS[nginx]};
        root $WORK/www;
    }
}
CONFIG
    start nginx nginx -c "$WORK/nginx.conf"
    wait_for nginx curl -fs -o /dev/null "http://${ADDRESS[nginx]}/v2/library/small/manifests/latest"
}

# processes SERVER: the process and its children.
processes() {
    local children
    # shellcheck disable=SC2153 # of lib.sh
    read -r children <"/proc/${PIDS[$1]}/task/${PIDS[$1]}/children" || true
    echo "${PIDS[$1]} ${children-}"
}

# cpu SERVER: clock ticks that it has used.
cpu() {
    local pid
    for pid in $(processes "$1"); do
        awk '{print $14 + $15}' "/proc/$pid/stat"
    done | awk '{ticks += $1} END {print ticks}'
}

# authorization SERVER PATH: the field with a new token; only a box looks at it.
authorization() {
    local repository=library/${2%%/*}
    [[ $1 == box || $1 == stocked ]] || { echo "X-None: none" && return; }
    curl -fsS "http://${ADDRESS[$1]}/jwt/auth?service=dependency_proxy&scope=repository:$repository:pull" |
        jq -r '"Authorization: Bearer " + .token'
}

# load SERVER PATH CONNECTIONS: what bench.lua prints, and the server's CPU `seconds` for a GB (10^9 bytes).
load() {
    local output before after
    local field
    field=$(authorization "$1" "$2")
    before=$(cpu "$1")
    output=$(wrk --timeout 20s -t 1 -c "$3" -d "${SECONDS_EACH}s" -s "$HERE/bench.lua" \
        -H "Accept: $MANIFEST_TYPE" -H "$field" "http://${ADDRESS[$1]}/v2/library/$2")
    after=$(cpu "$1")
    if ! grep -q '^failed 0$' <<<"$output"; then
        echo "scripts/bench: http://${ADDRESS[$1]}/v2/library/$2 is not answered as it should be" >&2
        grep -vE '^(requests|bytes|seconds|p[0-9]+) ' <<<"$output" >&2
        return 1
    fi
    printf '%s\ncpu %s\n' "$output" "$((after - before))"
}

# value NAME: of what load printed.
value() {
    sed -n "s/^$1 //p"
}

# take SERVER KEY PATH CONNECTIONS small|large: one measurement, written to the files that `note` reads.
take() {
    local seen
    seen=$(load "$1" "$3" "$4")
    if [[ $5 == small ]]; then
        awk -v requests="$(value requests <<<"$seen")" -v seconds="$(value seconds <<<"$seen")" \
            'BEGIN {printf "%.0f\n", requests / seconds}' >>"$WORK/$2,$1"
        value p99 <<<"$seen" >>"$WORK/$2 p99,$1"
        echo "$1, $2: $(tail -n 1 "$WORK/$2,$1")/s, 99th percentile $(tail -n 1 "$WORK/$2 p99,$1") ms"
        return
    fi
    awk -v bytes="$(value bytes <<<"$seen")" -v seconds="$(value seconds <<<"$seen")" \
        'BEGIN {printf "%.0f\n", bytes / seconds / 1e6}' >>"$WORK/$2,$1"
    awk -v bytes="$(value bytes <<<"$seen")" -v ticks="$(value cpu <<<"$seen")" -v hertz="$(getconf CLK_TCK)" \
        'BEGIN {printf "%.3f\n", ticks / hertz / (bytes / 1e9)}' >>"$WORK/$2 cpu,$1"
    echo "$1, $2: $(tail -n 1 "$WORK/$2,$1") MB/s, $(tail -n 1 "$WORK/$2 cpu,$1") CPU seconds for a GB"
}

# calls SERVER PATH: the system calls for one answer on a connection that stays open, as `all names`.
calls() {
    local pid pids=() tracer seen field
    for pid in $(processes "$1"); do
        pids+=(-p "$pid")
    done
    field=$(authorization "$1" "$2")
    strace -f -c -S calls -o "$WORK/calls" "${pids[@]}" 2>"$WORK/log/strace.log" &
    tracer=$!
    # strace says nothing of having attached to all threads.
    sleep 1
    seen=$(wrk --timeout 20s -t 1 -c 1 -d "${SECONDS_EACH}s" -s "$HERE/bench.lua" -H "Accept: $MANIFEST_TYPE" -H "$field" \
        "http://${ADDRESS[$1]}/v2/library/$2")
    kill -INT "$tracer"
    wait "$tracer" || true
    # A call that is made for fewer than one answer in fifty is not part of an answer.
    awk -v requests="$(value requests <<<"$seen")" '
        $1 ~ /^[0-9.]+$/ && $NF != "total" {
            all += $4
            if ($4 >= requests / 50) names = names sprintf(" %.2g %s", $4 / requests, $NF)
        }
        END {printf "%.2f %s\n", all / requests, names}
    ' "$WORK/calls"
}

warm() {
    local round server what connections
    step "warming"
    for server in registry box; do
        fetch "${ADDRESS[$server]}" big/manifests/latest
        for what in "${PATHS[@]}"; do
            # Twice: docker-registry stores what it fetched only after it has answered.
            fetch "${ADDRESS[$server]}" "$what"
            sleep 0.5
            fetch "${ADDRESS[$server]}" "$what"
        done
    done
    step "warm: $ROUNDS rounds of $SECONDS_EACH seconds"
    for round in $(seq "$ROUNDS"); do
        for connections in 8 64; do
            for what in "${WARM[@]}"; do
                for server in "${SERVERS[@]}"; do
                    echo -n "$round "
                    take "$server" "$what $connections" "${PATHS[$what]}" "$connections" small
                done
            done
        done
        for connections in 1 8; do
            for server in "${SERVERS[@]}"; do
                echo -n "$round "
                take "$server" "200 MB blob $connections" "${PATHS[200 MB blob]}" "$connections" large
            done
        done
    done
    for server in box registry; do
        read -r RESULT["resident now,$server"] RESULT["resident high,$server"] <<<"$(memory "$server")"
    done
    step "system calls of a warm answer, one connection"
    for what in "${WARM[@]}"; do
        for server in "${SERVERS[@]}"; do
            read -r RESULT["$what calls,$server"] RESULT["$what names,$server"] <<<"$(calls "$server" "${PATHS[$what]}")"
            echo "$server, $what: ${RESULT[$what calls,$server]} (${RESULT[$what names,$server]})"
        done
    done
}

warm_results() {
    local what connections
    step "warm, a token (JWT) with every request of the box (ratios above 1: Breakwater is better)"
    table_head
    for what in "${WARM[@]}"; do
        for connections in 8 64; do
            row "$what $connections" "$what, $connections connections" "/s" more
            row "$what $connections p99" "... 99th percentile" "ms" less
        done
        row "$what calls" "... system calls" "" less
    done
    for connections in 1 8; do
        row "200 MB blob $connections" "blob of 200 MB, connections: $connections" "MB/s" more
        row "200 MB blob $connections cpu" "... the server's CPU for a GB" "s" less
    done
    row "resident now" "resident memory after that" "MB" less
    row "resident high" "resident memory at its highest" "MB" less
}
