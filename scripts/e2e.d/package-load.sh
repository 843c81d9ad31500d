# shellcheck shell=bash
# Clients that ask without a pause while a version takes the place of another: pulls with skopeo and single
# requests with curl, each over plain HTTP and over TLS, and long downloads, which are in flight when the old
# version is told to stop. Sourced by flow-package.sh.

readonly LOADS=(pull pull-tls ask ask-tls download)

# load_one KIND: one connection, or one pull; fails if it was not answered in full.
load_one() {
    case $1 in
    pull) load_pull "$1" --src-tls-verify=false "docker://$BOX/library/small:latest" ;;
    pull-tls) load_pull "$1" --src-cert-dir "$WORK/load-ca" "docker://localhost:5443/library/small:latest" ;;
    ask) curl --silent --show-error --fail --max-time 60 --output /dev/null "http://$BOX/-/liveness" ;;
    ask-tls)
        curl --silent --show-error --fail --max-time 60 --output /dev/null --cacert "$WORK/load-ca/ca.crt" \
            "https://localhost:5443/-/liveness"
        ;;
    download)
        # 18 MB in four seconds or so.
        curl --silent --show-error --fail --max-time 60 --limit-rate 5M --header "Authorization: Bearer $LOAD_JWT" \
            "http://$BOX/v2/library/six/blobs/$LOAD_LAYER" | sha256sum | grep -q "^${LOAD_LAYER#sha256:} "
        ;;
    esac
}

load_pull() {
    local place=$WORK/load-$1
    shift
    rm -rf "$place"
    skopeo copy --quiet "$@" "dir:$place"
}

# load_prepare: the authority, and a large layer that is in the cache.
load_prepare() {
    mkdir -p "$WORK/load-ca"
    machine cat "$DATA/tls/ca.crt" >"$WORK/load-ca/ca.crt"
    skopeo copy --quiet --src-tls-verify=false "docker://$BOX/library/six:latest" "dir:$WORK/load-six" || return 1
    jq -r '.layers[0].digest' "$WORK/load-six/manifest.json" >"$WORK/load-layer"
    rm -rf "$WORK/load-six"
}

# load_begin: until load_end.
load_begin() {
    local kind
    # Another version may have other keys, but not after a few seconds.
    LOAD_JWT=$(curl -fsS "http://$BOX/jwt/auth?service=dependency_proxy&scope=repository:library/six:pull" | jq -r .token)
    LOAD_LAYER=$(<"$WORK/load-layer")
    : >"$WORK/load"
    for kind in "${LOADS[@]}"; do
        rm -f "$WORK/log/load-$kind.log"
        start "load-$kind" load_loop "$kind"
    done
    sleep 1
}

load_loop() {
    while [[ -e $WORK/load ]]; do
        if load_one "$1"; then echo answered; else echo failed; fi
    done
}

# load_end: whether every single one was answered, and of each kind some were.
load_end() {
    local kind text=
    rm "$WORK/load"
    for kind in "${LOADS[@]}"; do
        wait "${PIDS[load-$kind]}" || true
        unset "PIDS[load-$kind]"
        text+="$(grep -c "^answered\$" "$WORK/log/load-$kind.log" || true) $kind, "
    done
    check "... and refused and lost nothing: ${text%, } were answered" load_is_whole
}

load_is_whole() {
    local kind whole=yes
    for kind in "${LOADS[@]}"; do
        grep -q '^answered$' "$WORK/log/load-$kind.log" || whole=no
        ! grep -v '^answered$' "$WORK/log/load-$kind.log" || whole=no
    done
    [[ $whole == yes ]]
}
