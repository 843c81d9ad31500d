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
    printf '127.0.0.1 localhost\n%s box.example\n' "$TLS_ADDRESS" >"$WORK/hosts-tls"
    mount -n --bind "$WORK/hosts-tls" /etc/hosts
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
    tls_own_certificate
    stop box
    umount -n /etc/hosts
    ip address del "$TLS_ADDRESS/32" dev lo
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

# The README's lines for a certificate of one's own.
tls_own_certificate() {
    mkdir -p /etc/breakwater/tls
    cp "$WORK"/box/data/tls/server.{crt,key} /etc/breakwater/tls/
    cp "$WORK/box/plain.toml" "$WORK/box/breakwater.toml"
    recipe tls >>"$WORK/box/breakwater.toml"
    stop box
    box_start
    check "the README's lines for a certificate of one's own" curl -fsS "https://$TLS_BOX/-/liveness"
}
