# shellcheck shell=bash
# What TLS costs: the box beside docker-registry and nginx with the same certificate, on the same machine, in the same run;
# what the same body costs without it is measured beside. Sourced by bench.sh, whose names it uses.

declare -A TLS_ADDRESS=([nginx]=127.0.0.1:5444 [registry]=127.0.0.1:5442 [box]=127.0.0.1:5443)
# Fewer than the box lets one address have.
SILENT=1000
AES128=TLS_AES_128_GCM_SHA256
AES256=TLS_AES_256_GCM_SHA384
declare -A TLS_PROCESS=([nginx]=nginx [registry]=registry-tls [box]=box)

# tls_start: restarts the box with a certificate, and starts a second docker-registry with the same.
tls_start() {
    breakwater tls self-signed --config "$WORK/breakwater.toml" --name localhost --json >"$WORK/tls.json"
    local certificate key
    certificate=$(jq -r .certificate "$WORK/tls.json")
    key=$(jq -r .key "$WORK/tls.json")
    TLS_AUTHORITY=$(jq -r .ca "$WORK/tls.json")
    cat >>"$WORK/breakwater.toml" <<CONFIG
[tls]
certificate = "$certificate"
key = "$key"
listen = ["${TLS_ADDRESS[box]}"]
CONFIG
    stop box
    start box breakwater serve --config "$WORK/breakwater.toml"
    wait_for box curl -fs --cacert "$TLS_AUTHORITY" "https://${TLS_ADDRESS[box]}/-/readiness"
    sed -i "s|^        listen .*|&\n        listen ${TLS_ADDRESS[nginx]} ssl;\n        ssl_certificate $certificate;\n        ssl_certificate_key $key;|" \
        "$WORK/nginx.conf"
    stop nginx
    start nginx nginx -c "$WORK/nginx.conf"
    wait_for nginx curl -fs -o /dev/null --cacert "$TLS_AUTHORITY" "https://${TLS_ADDRESS[nginx]}/v2/library/small/manifests/latest"
    cat >"$WORK/registry-tls.yml" <<CONFIG
version: 0.1
log: {level: warn, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: $WORK/registry-tls}}
http: {addr: "${TLS_ADDRESS[registry]}", net: tcp, tls: {certificate: $certificate, key: $key}}
proxy: {remoteurl: "http://$HUB"}
CONFIG
    start registry-tls docker-registry serve "$WORK/registry-tls.yml"
    wait_for registry-tls curl -fs --cacert "$TLS_AUTHORITY" "https://${TLS_ADDRESS[registry]}/v2/"
}

# tls_download ADDRESS PATH CIPHER: four times in one connection; prints MB (10^6 bytes) a second. HTTP/1.1 from
# both: that is what the box speaks.
tls_download() {
    local url=https://$1/v2/library/$2
    curl -fsS --http1.1 --cacert "$TLS_AUTHORITY" --tls13-ciphers "$3" -w '%{size_download} %{time_total}\n' \
        -o /dev/null "$url" -o /dev/null "$url" -o /dev/null "$url" -o /dev/null "$url" |
        awk '{bytes += $1; seconds += $2} END {printf "%.0f\n", bytes / seconds / 1e6}'
}

# tls_downloads ADDRESS PATH: the same by four connections at the same time.
tls_downloads() {
    local started=$EPOCHREALTIME pids=() pid
    for _ in 1 2 3 4; do
        tls_download "$1" "$2" "$AES128" >/dev/null &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid"
    done
    awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.0f\n", 16 * 200 / (b - a)}'
}

# tls_work NAME ADDRESS PATH: prints the milliseconds of CPU time that the process NAME needs for 200 MB; the
# clients, and whatever else runs on the machine, have no part in it.
tls_work() {
    local before
    before=$(cpu "$1")
    tls_download "$2" "$3" "$AES128" >/dev/null
    awk -v ticks="$(($(cpu "$1") - before))" -v hertz="$(getconf CLK_TCK)" 'BEGIN {printf "%.0f\n", ticks * 1000 / hertz / 4}'
}

# tls_load SERVER: what bench.lua prints, of 32 connections.
tls_load() {
    wrk --timeout 20s -t 1 -c 32 -d "${SECONDS_EACH}s" -s "$HERE/bench.lua" -H "Accept: $MANIFEST_TYPE" \
        -H "$(authorization "$1" "${PATHS[manifest by tag]}")" "https://${TLS_ADDRESS[$1]}/v2/library/${PATHS[manifest by tag]}"
}

# plain_download ADDRESS PATH: as tls_download, without TLS.
plain_download() {
    local url=http://$1/v2/library/$2
    curl -fsS -w '%{size_download} %{time_total}\n' -o /dev/null "$url" -o /dev/null "$url" -o /dev/null "$url" -o /dev/null "$url" |
        awk '{bytes += $1; seconds += $2} END {printf "%.0f\n", bytes / seconds / 1e6}'
}

# tls_handshakes ADDRESS: prints how many connections a second are made, asked once and closed, each with a
# whole handshake.
tls_handshakes() {
    wrk --timeout 20s -t 2 -c 8 -d "${SECONDS_EACH}s" -H "Connection: close" "https://$1/v2/" |
        awk '/Requests\/sec/ {printf "%.0f\n", $2}'
}

# tls_resumed ADDRESS: the same with sessions that are resumed, as one client after the other.
tls_resumed() {
    python3 "$HERE/tls_clients.py" resume "$1" "$TLS_AUTHORITY" "$SECONDS_EACH"
}

tls_rounds() {
    local round server what measured
    step "TLS: $ROUNDS rounds of $SECONDS_EACH seconds"
    for server in "${SERVERS[@]}"; do
        for path in big/manifests/latest "${PATHS[@]}" "${PATHS[@]}"; do
            [[ $server == nginx && $path == big/manifests/* ]] && continue
            curl -fsS --cacert "$TLS_AUTHORITY" -o /dev/null -H "Accept: $MANIFEST_TYPE" "https://${TLS_ADDRESS[$server]}/v2/library/$path"
            # docker-registry stores what it fetched only after it has answered.
            sleep 0.5
        done
    done
    for round in $(seq "$ROUNDS"); do
        for server in "${SERVERS[@]}"; do
            measured=$(tls_load "$server")
            awk -v requests="$(value requests <<<"$measured")" -v seconds="$(value seconds <<<"$measured")" \
                'BEGIN {printf "%.0f\n", requests / seconds}' >>"$WORK/tls manifest,$server"
            value p99 <<<"$measured" >>"$WORK/tls manifest p99,$server"
            echo "$round $server manifest by tag: $(tail -n 1 "$WORK/tls manifest,$server")/s"
            for what in plain blob "blob aes256" blobs work handshakes resumed; do
                # Only registries answer `/v2/` itself.
                [[ $server == nginx && $what =~ handshakes|resumed ]] && continue
                case $what in
                plain) measured=$(plain_download "${ADDRESS[$server]}" "${PATHS[200 MB blob]}") ;;
                blob) measured=$(tls_download "${TLS_ADDRESS[$server]}" "${PATHS[200 MB blob]}" "$AES128") ;;
                "blob aes256") measured=$(tls_download "${TLS_ADDRESS[$server]}" "${PATHS[200 MB blob]}" "$AES256") ;;
                blobs) measured=$(tls_downloads "${TLS_ADDRESS[$server]}" "${PATHS[200 MB blob]}") ;;
                work) measured=$(tls_work "${TLS_PROCESS[$server]}" "${TLS_ADDRESS[$server]}" "${PATHS[200 MB blob]}") ;;
                handshakes) measured=$(tls_handshakes "${TLS_ADDRESS[$server]}") ;;
                resumed) measured=$(tls_resumed "${TLS_ADDRESS[$server]}") ;;
                esac
                echo "$round $server $what: $measured"
                echo "$measured" >>"$WORK/tls $what,$server"
            done
        done
    done
}

tls_silence() {
    local round alone beside clients
    step "TLS: warm pulls while $SILENT clients have connected and say nothing"
    for round in $(seq "$ROUNDS"); do
        alone=$(pulls_p95 "https://${TLS_ADDRESS[box]}")
        start silent python3 "$HERE/tls_clients.py" silent "${TLS_ADDRESS[box]}" "$TLS_AUTHORITY" "$SILENT"
        wait_for silent grep -q "^all $SILENT" "$WORK/log/silent.log"
        beside=$(pulls_p95 "https://${TLS_ADDRESS[box]}")
        clients=$(curl -fsS "http://${ADDRESS[box]}/metrics" | awk '$1 == "breakwater_http_connections" {print $2}')
        stop silent
        : >"$WORK/log/silent.log"
        awk -v a="$alone" -v b="$beside" 'BEGIN {printf "%.2f\n", b / a}' >>"$WORK/silent ratio"
        echo "$round alone $alone ms, beside $clients connections $beside ms, ratio $(tail -n 1 "$WORK/silent ratio")"
        echo "$alone" >>"$WORK/alone"
        echo "$beside" >>"$WORK/beside"
    done
}

tls_results() {
    step "TLS, one certificate for all (a ratio above 1: Breakwater is better)"
    table_head
    row "tls manifest" "manifest by tag, 32 connections" "/s" more
    row "tls manifest p99" "... 99th percentile" "ms" less
    row "tls plain" "200 MB, one connection, without TLS" "MB/s" more
    row "tls blob" "200 MB, one connection, AES-128" "MB/s" more
    row "tls blob aes256" "200 MB, one connection, AES-256" "MB/s" more
    row "tls blobs" "200 MB, four connections" "MB/s" more
    row "tls work" "... the server's CPU for 200 MB" "ms" less
    row "tls handshakes" "handshakes, each a new session" "/s" more
    row "tls resumed" "handshakes, sessions resumed" "/s" more
    printf '\n%s silent clients: the 95th percentile of warm pulls is %s ms without them, %s ms with them; ratio %s\n' \
        "$SILENT" "$(median "$WORK/alone")" "$(median "$WORK/beside")" "$(median "$WORK/silent ratio")"
}

tls_bench() {
    tls_start
    tls_rounds
    tls_silence
    tls_results
}
