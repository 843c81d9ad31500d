# shellcheck shell=bash
# TLS with the box's own authority: every client trusts it by the lines that the command
# prints, word for word, and none needs an insecure flag. Sourced.

# What empties and configures the clients stands with their own flows.
# shellcheck source=scripts/e2e.d/flow-docker.sh
source "$HERE/flow-docker.sh"
# shellcheck source=scripts/e2e.d/flow-podman.sh
source "$HERE/flow-podman.sh"
# shellcheck source=scripts/e2e.d/flow-containerd.sh
source "$HERE/flow-containerd.sh"

# Not a loopback address: docker verifies nothing there.
TLS_ADDRESS=10.99.0.1
TLS_BOX=box.example:5443

flow_tls() {
    ip address add "$TLS_ADDRESS/32" dev lo
    cp /etc/hosts "$WORK/hosts"
    echo "$TLS_ADDRESS box.example" >>"$WORK/hosts"
    mount -n --bind "$WORK/hosts" /etc/hosts
    box_new
    breakwater network add "$TLS_ADDRESS/32" --ability fill >/dev/null
    check_equal "the README's command" "breakwater tls self-signed --name box.example" "$(recipe tls-self-signed)"
    check "breakwater tls self-signed" recipe_run tls-self-signed
    printf '%s\n' "$OUTPUT" >"$WORK/trust"
    cp "$WORK/box/breakwater.toml" "$WORK/box/plain.toml"
    tls_section "# The box:" >>"$WORK/box/breakwater.toml"
    stop box
    box_start
    # Before docker's turn, whose directory skopeo looks into as well.
    check_fails "skopeo without trust fails" skopeo inspect --raw "docker://$TLS_BOX/library/small:latest"
    tls_docker
    tls_podman
    tls_containerd
    tls_system
    tls_renewal
    tls_nginx
    stop box
}

# tls_section HEAD: the lines that were printed below the comment that begins with HEAD.
tls_section() {
    awk -v head="$1" '/^# / { inside = index($0, head) == 1; next } inside' "$WORK/trust"
}

# tls_trust HEAD: runs that section.
tls_trust() {
    bash -euo pipefail -c "$(tls_section "$1")"
}

tls_docker() {
    # The mirror's lines from the beginning: dockerd reads them at its start.
    tls_section "# docker, as a mirror" >/etc/docker/daemon.json
    docker_empty
    check_fails "docker login without trust fails" tls_docker_login
    check_contains "... because nobody knows the authority" "x509" "$OUTPUT"
    check "the lines for docker" tls_trust "# docker:"
    check "docker login over TLS" tls_docker_login
    check "docker pull by the group's path over TLS" docker pull --quiet \
        "$TLS_BOX/acme/dependency_proxy/containers/six:latest"
    check "docker pull through the mirror over TLS" docker pull --quiet multi
    check_contains "... has the upstream's digest" "@${HUB_DIGESTS[multi]}" \
        "$(docker image inspect --format '{{.RepoDigests}}' multi 2>&1)"
    check "... and came from the box" grep -q '"path":"/v2/library/multi/manifests/latest","status":200' "$WORK/log/box.log"
    stop dockerd
}

tls_docker_login() {
    docker login "$TLS_BOX" --username ci --password-stdin <<<"$TOKEN"
}

tls_podman() {
    podman_configure
    podman_empty
    printf '[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\n\n[[registry.mirror]]\nlocation = "%s"\n' \
        "$TLS_BOX" >/etc/containers/registries.conf
    check "the lines for podman and skopeo" tls_trust "# podman,"
    check "skopeo copy over TLS" skopeo copy --quiet --all "docker://$TLS_BOX/library/small:latest" "dir:$HOME/small-tls"
    check_equal "... byte for byte" "${HUB_DIGESTS[small]}" \
        "sha256:$(sha256sum "$HOME/small-tls/manifest.json" | cut -d' ' -f1)"
    check "podman login over TLS" podman login --username ci --password-stdin "$TLS_BOX" <<<"$TOKEN"
    check "podman pull by the group's path over TLS" podman pull --quiet \
        "$TLS_BOX/acme/dependency_proxy/containers/schema2:latest"
    check "podman pull through the mirror over TLS" podman pull --quiet docker.io/library/alpine
    podman_empty
}

tls_containerd() {
    containerd_empty
    local pull=(ctr images pull --hosts-dir /etc/containerd/certs.d)
    check_fails "containerd without trust fails" \
        "${pull[@]}" --user "ci:$TOKEN" "$TLS_BOX/acme/dependency_proxy/containers/six:latest"
    check "the lines for containerd" tls_trust "# containerd:"
    check "containerd pulls by the group's path over TLS" \
        "${pull[@]}" --user "ci:$TOKEN" "$TLS_BOX/acme/dependency_proxy/containers/six:latest"
    mkdir -p /etc/containerd/certs.d/docker.io
    tls_section "# containerd, as a mirror" >/etc/containerd/certs.d/docker.io/hosts.toml
    check "containerd pulls through the mirror over TLS" "${pull[@]}" docker.io/library/small:latest
    stop containerd
    rm -rf "$WORK/containerd"
}

tls_system() {
    check_fails "curl without trust fails" curl -fsS "https://$TLS_BOX/-/liveness"
    check "the lines for the system" tls_trust "# The whole system"
    check "curl trusts the box" curl -fsS "https://$TLS_BOX/-/liveness"
    check_contains "plain HTTP on the TLS port is told so" "use https" "$(curl -s "http://$TLS_BOX/")"
    check "TLS 1.2 works" curl -fsS --tls-max 1.2 "https://$TLS_BOX/-/liveness"
    check_contains "clients are sent to https for their token" "realm=\"https://$TLS_BOX/jwt/auth\"" \
        "$(curl -si "https://$TLS_BOX/v2/")"
}

# New connections without a pause while the certificate is renewed three times.
tls_renewal() {
    local before turn
    before=$(tls_serial)
    start asking bash -c "while [[ ! -e $WORK/enough ]]; do curl -fsS -o /dev/null https://$TLS_BOX/-/liveness && echo answered || echo failed; done"
    for turn in 1 2 3; do
        check "the certificate is renewed while clients ask ($turn)" breakwater tls self-signed --renew
        sleep 4
    done
    touch "$WORK/enough"
    wait "${PIDS[asking]}" || true
    unset "PIDS[asking]"
    check_lacks "... none of $(grep -c answered "$WORK/log/asking.log") requests failed" failed "$(cat "$WORK/log/asking.log")"
    check_contains "... and some were made" answered "$(cat "$WORK/log/asking.log")"
    check_fails "... and the certificate is another one" test "$before" = "$(tls_serial)"
}

tls_serial() {
    openssl s_client -connect "$TLS_BOX" </dev/null 2>/dev/null | openssl x509 -noout -serial
}

# The README's recipes: a certificate of one's own, and nginx with the same one before the plain port.
tls_nginx() {
    mkdir -p /etc/breakwater/tls "$WORK/nginx"
    cp "$WORK"/box/data/tls/server.{crt,key} /etc/breakwater/tls/
    sed "s|^\[server\]$|&\ntrusted_proxies = [\"127.0.0.1/32\"]|" "$WORK/box/plain.toml" >"$WORK/box/breakwater.toml"
    recipe tls >>"$WORK/box/breakwater.toml"
    stop box
    box_start
    check "the README's lines for a certificate of one's own" curl -fsS "https://$TLS_BOX/-/liveness"
    recipe nginx >"$WORK/nginx/breakwater.conf"
    cat >"$WORK/nginx/nginx.conf" <<CONFIG
pid $WORK/nginx/pid;
error_log stderr;
daemon off;
user root;
events {}
http {
    access_log off;
    client_body_temp_path $WORK/nginx/body;
    proxy_temp_path $WORK/nginx/proxy;
    fastcgi_temp_path $WORK/nginx/fastcgi;
    uwsgi_temp_path $WORK/nginx/uwsgi;
    scgi_temp_path $WORK/nginx/scgi;
    include $WORK/nginx/breakwater.conf;
}
CONFIG
    start nginx nginx -c "$WORK/nginx/nginx.conf"
    wait_for nginx curl -fsS https://box.example:8443/-/liveness
    install -D -m 0644 "$WORK/box/data/tls/ca.crt" /etc/containers/certs.d/box.example:8443/ca.crt
    check_contains "behind nginx clients are sent to nginx for their token" \
        'realm="https://box.example:8443/jwt/auth"' "$(curl -si https://box.example:8443/v2/)"
    check "skopeo pulls a group's image through nginx" skopeo copy --quiet --src-creds "ci:$TOKEN" \
        "docker://box.example:8443/acme/dependency_proxy/containers/six:latest" "dir:$HOME/six-nginx"
    check "skopeo pulls through the mirror and nginx: the client's own address counts" \
        skopeo inspect --raw docker://box.example:8443/library/small:latest
    check_equal "... which the box's log has" "$TLS_ADDRESS" \
        "$(jq -r 'select(.path == "/v2/library/small/manifests/latest") | .remote_ip' "$WORK/log/box.log" | tail -n 1)"
    stop nginx QUIT
}
