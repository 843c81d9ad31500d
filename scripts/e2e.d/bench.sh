#!/usr/bin/env bash
# The part of scripts/bench that runs inside the namespaces: bench.sh BINARY SECONDS ROUNDS all|warm|cold|tls|growth
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

SERVERS=(nginx registry box)
declare -A ADDRESS=([nginx]=127.0.0.1:5004 [registry]=127.0.0.1:5002 [box]=127.0.0.1:5000)
# A key is a measure and a server.
declare -A RESULT=()
# shellcheck source=scripts/e2e.d/bench-warm.sh
source "$HERE/bench-warm.sh"
# shellcheck source=scripts/e2e.d/bench-cold.sh
source "$HERE/bench-cold.sh"
# shellcheck source=scripts/e2e.d/bench-growth.sh
source "$HERE/bench-growth.sh"
# shellcheck source=scripts/e2e.d/bench-tls.sh
source "$HERE/bench-tls.sh"

namespace_prepare
prepare "$BINARY"
trap stop_all EXIT

step "preparing: one upstream, two caches, one server of files"
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
# Neither of the others logs requests.
[log]
level = "warn"
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
    sort -g "$1" | awk '{value[NR] = $1} END {print value[int((NR + 1) / 2)]}'
}

declare -A PATHS=(
    ["manifest by tag"]=small/manifests/latest
    ["manifest by digest"]=small/manifests/${HUB_DIGESTS[small]}
    ["small blob"]=small/blobs/$SMALL_BLOB
    ["200 MB blob"]=big/blobs/$BIG_BLOB
)

# shown KEY SERVER: the median with the lowest and the highest of the rounds, or what RESULT has, or -.
shown() {
    if [[ -n ${RESULT[$1,$2]-} ]]; then
        echo "${RESULT[$1,$2]}"
    elif [[ -s $WORK/$1,$2 ]]; then
        sort -g "$WORK/$1,$2" | awk '{value[NR] = $1} END {
            printf "%s", value[int((NR + 1) / 2)]
            if (NR > 1) printf " (%s–%s)", value[1], value[NR]
        }'
    else
        echo -
    fi
}

# row KEY TEXT UNIT BETTER: BETTER is more or less.
row() {
    local server cells=() ratios=()
    for server in "${SERVERS[@]}"; do
        cells+=("$(shown "$1" "$server")")
    done
    for server in 0 1; do
        ratios+=("$(awk -v a="${cells[$server]%% *}" -v b="${cells[2]%% *}" -v better="$4" 'BEGIN {
            if (better == "less") { swap = a; a = b; b = swap }
            if (a > 0 && b > 0) printf "%.2f", b / a; else printf "-"
        }')")
    done
    printf '| %s | %s | %s | %s | %s | %s |\n' "$2${3:+, $3}" "${cells[@]}" "${ratios[@]}"
}

table_head() {
    echo "nginx $(nginx -v 2>&1 | sed 's|.*/||'), docker-registry $(docker-registry --version | awk '{print $3}'), $(breakwater --version)," \
        "$(nproc) cores, all on one machine; median (lowest–highest) of $ROUNDS rounds"
    printf '\n| | nginx, the same bytes | docker-registry | Breakwater | to nginx | to docker-registry |\n|---|--:|--:|--:|--:|--:|\n'
}

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

# pulls_p95 URL: milliseconds; two clients that pull without a pause.
pulls_p95() {
    wrk -t 1 -c 2 -d "${SECONDS_EACH}s" -s "$HERE/bench.lua" -H "Accept: $MANIFEST_TYPE" \
        "$1/v2/library/${PATHS[manifest by tag]}" | value p95
}

flood() {
    local round calm flooded ratio pid
    step "a flood of logins: warm pulls while 32 clients guess passwords, each 20 times a second"
    for round in $(seq "$ROUNDS"); do
        calm=$(pulls_p95 "http://${ADDRESS[box]}")
        wrk -t 1 -c 32 -d "$((SECONDS_EACH + 2))s" -s "$WORK/flood.lua" "http://${ADDRESS[box]}" >"$WORK/flood.out" &
        pid=$!
        sleep 1
        flooded=$(pulls_p95 "http://${ADDRESS[box]}")
        wait "$pid"
        ratio=$(awk -v a="$calm" -v b="$flooded" 'BEGIN {printf "%.2f", b / a}')
        echo "$round calm $calm ms, flooded $flooded ms, ratio $ratio, $(sed -n 's/^logins //p' "$WORK/flood.out") logins a second"
        echo "$calm" >>"$WORK/calm"
        echo "$flooded" >>"$WORK/flooded"
        echo "$ratio" >>"$WORK/flood ratio"
    done
}

flood_results() {
    local ratio
    ratio=$(median "$WORK/flood ratio")
    printf '\nA flood of logins: the 95th percentile of warm pulls is %s ms calm, %s ms flooded; ratio %s (at most 2)\n' \
        "$(median "$WORK/calm")" "$(median "$WORK/flooded")" "$ratio"
    if ! awk -v ratio="$ratio" 'BEGIN {exit !(ratio <= 2)}'; then
        echo "scripts/bench: a flood of logins holds up pulls" >&2
        exit 1
    fi
}

case $PART in
warm)
    nginx_start
    warm
    warm_results
    ;;
cold)
    cold_start
    cold_herd
    cold_images
    pushes
    cold_results
    ;;
tls)
    nginx_start
    tls_bench
    ;;
growth)
    nginx_start
    growth
    ;;
all)
    nginx_start
    cold_start
    cold_herd
    warm
    cold_images
    pushes
    flood
    warm_results
    cold_results
    flood_results
    tls_bench
    ;;
esac
