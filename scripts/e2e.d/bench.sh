#!/usr/bin/env bash
# The part of scripts/bench that runs inside the namespaces: bench.sh BINARY SECONDS ROUNDS all|tls
set -euo pipefail

BINARY=$1
SECONDS_EACH=$2
ROUNDS=$3
PART=$4
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
readonly BINARY SECONDS_EACH ROUNDS PART HERE ROOT

# shellcheck source=scripts/e2e.d/namespace.sh
source "$HERE/namespace.sh"
# shellcheck source=scripts/e2e.d/lib.sh
source "$HERE/lib.sh"
# shellcheck source=scripts/e2e.d/hub.sh
source "$HERE/hub.sh"
# shellcheck source=scripts/e2e.d/bench-tls.sh
source "$HERE/bench-tls.sh"

CONNECTIONS=32
HERD=32
SERVERS=(registry box)
declare -A ADDRESS=([registry]=127.0.0.1:5002 [box]=127.0.0.1:5000)
declare -A RESULT=()

namespace_prepare
prepare "$BINARY"
trap stop_all EXIT

step "preparing: one upstream, two caches"
HUB_IMAGES=(small six big)
hub_start
hub_fill >/dev/null
cat >"$WORK/registry.yml" <<CONFIG
version: 0.1
log: {level: warn, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: $WORK/registry}}
http: {addr: "${ADDRESS[registry]}", net: tcp}
proxy: {remoteurl: "http://$HUB"}
CONFIG
start registry docker-registry serve "$WORK/registry.yml"
wait_for registry curl -fs "http://${ADDRESS[registry]}/v2/"
cat >"$WORK/breakwater.toml" <<CONFIG
data = "$WORK/box"
[server]
listen = ["${ADDRESS[box]}"]
[upstreams."docker.io"]
url = "http://$HUB"
[auth]
# So that no ban spares the box the flood of logins below.
ban_after = 0
[log]
format = "json"
CONFIG
start box breakwater serve --config "$WORK/breakwater.toml"
wait_for box curl -fs "http://${ADDRESS[box]}/-/readiness"

export BREAKWATER_DATA=$WORK/box

MANIFEST_TYPE="application/vnd.oci.image.manifest.v1+json"
SMALL_BLOB=$(hub_manifest small | jq -r '.layers[0].digest')
BIG_BLOB=$(hub_manifest big | jq -r '.layers[0].digest')
HERD_BLOB=$(hub_manifest six | jq -r '.layers[0].digest')

# fetch ADDRESS PATH: the body goes nowhere; a status other than 200 is an error.
fetch() {
    curl -fsS -o /dev/null -H "Accept: $MANIFEST_TYPE" "http://$1/v2/library/$2"
}

# memory NAME: resident now and at its highest, in MB.
memory() {
    awk '/^VmRSS/ {now = $2} /^VmHWM/ {high = $2} END {printf "%.0f %.0f", now / 1024, high / 1024}' \
        "/proc/${PIDS[$1]}/status"
}

median() {
    sort -g | awk '{value[NR] = $1} END {print value[int((NR + 1) / 2)]}'
}

# load ADDRESS PATH [SCHEME]: prints answers a second, and the 99th percentile in milliseconds.
load() {
    local output
    output=$(wrk --latency --timeout 20s -t 2 -c "$CONNECTIONS" -d "${SECONDS_EACH}s" -H "Accept: $MANIFEST_TYPE" "${3:-http}://$1/v2/library/$2")
    if grep -E 'Non-2xx|Socket errors' <<<"$output" >&2; then
        echo "scripts/bench: ${3:-http}://$1/v2/library/$2 is not answered as it should be" >&2
        return 1
    fi
    awk '
        /Requests\/sec/ { rate = $2 }
        $1 == "99%" { late = $2; factor = (late ~ /us$/) ? 0.001 : (late ~ /ms$/) ? 1 : 1000; late = (late + 0) * factor }
        END { printf "%.0f %.2f\n", rate, late }
    ' <<<"$output"
}

# download ADDRESS PATH: prints MB (10^6 bytes) a second of one connection.
download() {
    curl -fsS -o /dev/null -w '%{speed_download}\n' "http://$1/v2/library/$2" | awk '{printf "%.0f\n", $1 / 1e6}'
}

declare -A PATHS=(
    ["manifest by tag"]=small/manifests/latest
    ["manifest by digest"]=small/manifests/${HUB_DIGESTS[small]}
    ["small blob"]=small/blobs/$SMALL_BLOB
    ["200 MB blob"]=big/blobs/$BIG_BLOB
)

cat >"$WORK/percentile.lua" <<'LUA'
function done(summary, latency)
    io.write(string.format("p95 %.3f\n", latency:percentile(95.0) / 1000))
end
LUA

# row KEY TEXT UNIT BETTER: BETTER is more or less.
row() {
    local registry=${RESULT[$1,registry]} box=${RESULT[$1,box]} ratio
    ratio=$(awk -v a="$registry" -v b="$box" -v better="$4" 'BEGIN {
        if (better == "less") { swap = a; a = b; b = swap }
        if (a > 0) printf "%.1f", b / a; else printf "-"
    }')
    printf '| %-34s | %15s | %15s | %6s |\n' "$2" "$registry $3" "$box $3" "$ratio"
}

table_head() {
    echo "$(docker-registry --version), $(breakwater --version), $(nproc) cores, $CONNECTIONS connections, all on one machine"
    printf '| %-34s | %15s | %15s | %6s |\n' "" docker-registry breakwater ratio
    printf '|%s|%s:|%s:|%s:|\n' "$(printf -- '-%.0s' {1..36})" "$(printf -- '-%.0s' {1..16})" "$(printf -- '-%.0s' {1..16})" -------
}

if [[ $PART == tls ]]; then
    tls_bench
    exit
fi

# Where images are pushed to: docker-registry's cache takes no pushes, so another one does.
declare -A PUSH_ADDRESS=([registry]=127.0.0.1:5003 [box]=${ADDRESS[box]})
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

# push SERVER ROUND: pushes the image of that round; prints the seconds that it took.
push() {
    local started=$EPOCHREALTIME
    skopeo copy --quiet --preserve-digests --dest-tls-verify=false --dest-creds "pusher:$TOKEN" \
        "oci:$WORK/images/six@$2:latest" "docker://${PUSH_ADDRESS[$1]}/bench/push/six:$2"
    awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.2f\n", b - a}'
}

step "a herd of $HERD cold pulls of one blob (18 MB)"
for server in "${SERVERS[@]}"; do
    # The manifest first, as every client does.
    fetch "${ADDRESS[$server]}" six/manifests/latest
    before=$(hub_count "GET /v2/library/six/blobs/$HERD_BLOB ")
    started=$EPOCHREALTIME
    pids=()
    for _ in $(seq "$HERD"); do
        fetch "${ADDRESS[$server]}" "six/blobs/$HERD_BLOB" &
        pids+=($!)
    done
    failed=0
    for pid in "${pids[@]}"; do
        wait "$pid" || failed=$((failed + 1))
    done
    RESULT[herd seconds,$server]=$(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.2f", b - a}')
    RESULT[herd failed,$server]=$failed
    RESULT[herd fetches,$server]=$(($(hub_count "GET /v2/library/six/blobs/$HERD_BLOB ") - before))
done

step "warming"
for server in "${SERVERS[@]}"; do
    fetch "${ADDRESS[$server]}" big/manifests/latest
    for path in "${PATHS[@]}"; do
        # Twice: docker-registry stores what it fetched only after it has answered.
        fetch "${ADDRESS[$server]}" "$path"
        sleep 0.5
        fetch "${ADDRESS[$server]}" "$path"
    done
done

step "$ROUNDS rounds of $SECONDS_EACH seconds"
for round in $(seq "$ROUNDS"); do
    for server in "${SERVERS[@]}"; do
        for what in "manifest by tag" "manifest by digest" "small blob"; do
            measured=$(load "${ADDRESS[$server]}" "${PATHS[$what]}")
            echo "$round $server $what: $measured"
            echo "${measured% *}" >>"$WORK/$what,$server"
            echo "${measured#* }" >>"$WORK/$what p99,$server"
        done
        measured=$(download "${ADDRESS[$server]}" "${PATHS[200 MB blob]}")
        echo "$round $server 200 MB blob: $measured"
        echo "$measured" >>"$WORK/200 MB blob,$server"
    done
done
step "$ROUNDS pushes of an image of six layers (108 MB)"
for round in $(seq "$ROUNDS"); do
    # Bytes that neither of them has.
    python3 "$ROOT/scripts/e2e.d/images.py" "$WORK/images" "six@$round"
    # What others have left to be written is not theirs to wait for.
    sync
    for server in "${SERVERS[@]}"; do
        measured=$(push "$server" "$round")
        echo "$round $server push: $measured"
        echo "$measured" >>"$WORK/push,$server"
    done
    rm -rf "$WORK/images"
done
for server in "${SERVERS[@]}"; do
    RESULT[push,$server]=$(median <"$WORK/push,$server")
done

for server in "${SERVERS[@]}"; do
    for what in "manifest by tag"{,\ p99} "manifest by digest"{,\ p99} "small blob"{,\ p99} "200 MB blob"; do
        RESULT[$what,$server]=$(median <"$WORK/$what,$server")
    done
    read -r now high <<<"$(memory "$server")"
    RESULT[resident now,$server]=$now
    RESULT[resident high,$server]=$high
done

# The 95th percentile of warm pulls, calm and during a flood of wrong passwords, turn by turn.
cat >"$WORK/flood.lua" <<'LUA'
local number = 0
function delay()
    return 50
end
function request()
    number = number + 1
    local form = "service=dependency_proxy&grant_type=password&password=wrong-Passw0rd&username=user" .. number
    return wrk.format("POST", "/jwt/auth", {["Content-Type"] = "application/x-www-form-urlencoded"}, form)
end
function done(summary)
    io.write(string.format("logins %.0f\n", summary.requests / summary.duration * 1e6))
end
LUA

# pulls_p95: milliseconds; two clients that pull without a pause.
pulls_p95() {
    wrk -t 1 -c 2 -d "${SECONDS_EACH}s" -s "$WORK/percentile.lua" -H "Accept: $MANIFEST_TYPE" \
        "http://${ADDRESS[box]}/v2/library/${PATHS[manifest by tag]}" | sed -n 's/^p95 //p'
}

step "a flood of logins: warm pulls while 32 clients guess passwords, each 20 times a second"
for round in $(seq "$ROUNDS"); do
    calm=$(pulls_p95)
    wrk -t 1 -c 32 -d "$((SECONDS_EACH + 2))s" -s "$WORK/flood.lua" "http://${ADDRESS[box]}" >"$WORK/flood.out" &
    flood=$!
    sleep 1
    flooded=$(pulls_p95)
    wait "$flood"
    ratio=$(awk -v a="$calm" -v b="$flooded" 'BEGIN {printf "%.2f", b / a}')
    echo "$round calm $calm ms, flooded $flooded ms, ratio $ratio, $(sed -n 's/^logins //p' "$WORK/flood.out") logins a second"
    echo "$calm" >>"$WORK/calm"
    echo "$flooded" >>"$WORK/flooded"
    echo "$ratio" >>"$WORK/flood ratio"
done

step "results (a ratio above 1: Breakwater is better)"
table_head
row "manifest by tag" "manifest by tag" "/s" more
row "manifest by tag p99" "... 99th percentile" "ms" less
row "manifest by digest" "manifest by digest" "/s" more
row "manifest by digest p99" "... 99th percentile" "ms" less
row "small blob" "blob of 1 kB" "/s" more
row "small blob p99" "... 99th percentile" "ms" less
row "200 MB blob" "blob of 200 MB, one connection" "MB/s" more
row "push" "push of six layers, 108 MB" "s" less
row "herd fetches" "herd of $HERD, upstream fetches" "" less
row "herd seconds" "herd of $HERD, until all have it" "s" less
row "herd failed" "herd of $HERD, pulls that failed" "" less
row "resident now" "resident memory at the end" "MB" less
row "resident high" "resident memory at its highest" "MB" less
printf '\nA flood of logins: the 95th percentile of warm pulls is %s ms calm, %s ms flooded; ratio %s (at most 2)\n' \
    "$(median <"$WORK/calm")" "$(median <"$WORK/flooded")" "$(median <"$WORK/flood ratio")"
awk -v ratio="$(median <"$WORK/flood ratio")" 'BEGIN {exit !(ratio <= 2)}' ||
    { echo "scripts/bench: a flood of logins holds up pulls" >&2; exit 1; }

tls_bench
