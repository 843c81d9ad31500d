# shellcheck shell=bash
# The box behind nginx, which ends TLS: logins, pulls and pushes by its name, and addresses that it vouches for; and behind
# one that nobody has told the box of. Sourced.

# Of the docker flow: a daemon without images.
# shellcheck source=scripts/e2e.d/flow-docker.sh
source "$HERE/flow-docker.sh"

FRONT=box.example
# An address that no network rule trusts.
STRANGER=192.0.2.7

flow_nginx() {
    nginx_prepare
    recipe_to nginx /etc/nginx/conf.d/breakwater.conf
    box_new
    nginx_trusted
    start nginx nginx -g 'daemon off;'
    wait_for nginx curl -fs "https://$FRONT/-/readiness"
    nginx_realm
    nginx_docker
    nginx_push
    nginx_addresses
    nginx_untrusted
    stop nginx QUIT
    nginx_bare
    ip address del "$STRANGER/32" dev lo
    unset CURL_CA_BUNDLE
}

# Names, certificates and nginx's own file: what a box has before the recipe.
nginx_prepare() {
    mkdir -p /etc/nginx/conf.d "/etc/docker/certs.d/$FRONT"
    cat >/etc/nginx/nginx.conf <<CONFIG
error_log stderr;
pid /run/nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path $WORK/nginx-body;
    proxy_temp_path $WORK/nginx-proxy;
    fastcgi_temp_path $WORK/nginx-fastcgi;
    uwsgi_temp_path $WORK/nginx-uwsgi;
    scgi_temp_path $WORK/nginx-scgi;
    include /etc/nginx/conf.d/*.conf;
}
CONFIG
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$FRONT" \
        -addext "subjectAltName=DNS:$FRONT" -keyout "/etc/nginx/$FRONT.key" -out "/etc/nginx/$FRONT.crt" 2>/dev/null
    cp "/etc/nginx/$FRONT.crt" "/etc/docker/certs.d/$FRONT/ca.crt"
    export CURL_CA_BUNDLE=/etc/nginx/$FRONT.crt
    printf '127.0.0.1 localhost %s\n' "$FRONT" >"$WORK/hosts"
    mount -n --bind "$WORK/hosts" /etc/hosts
    ip address add "$STRANGER/32" dev lo
}

# nginx_trusted: the recipe's lines for the box, which is started again with them.
nginx_trusted() {
    local line
    line=$(recipe nginx-trusted | tail -n 1)
    sed -i "s|^\[server\]\$|[server]\n$line|" "$WORK/box/breakwater.toml"
    stop box
    box_start
}

nginx_realm() {
    check_contains "behind nginx clients are sent to its name, with https" \
        "Bearer realm=\"https://$FRONT/jwt/auth\"" "$(curl -sS -D - -o /dev/null "https://$FRONT/v2/")"
}

nginx_docker() {
    local name
    docker_empty
    check "docker login through nginx" docker login "$FRONT" --username ci --password-stdin <<<"$TOKEN"
    for name in "${HUB_IMAGES[@]}"; do
        check "docker pull $name through nginx" docker pull --quiet "$FRONT/acme/dependency_proxy/containers/$name:latest"
        check_contains "... has the upstream's digest" "@${HUB_DIGESTS[$name]}" \
            "$(docker image inspect --format '{{.RepoDigests}}' "$FRONT/acme/dependency_proxy/containers/$name" 2>&1)"
    done
}

# In the other direction: layers of 18 MB, which nginx must neither refuse nor keep.
nginx_push() {
    local image=$FRONT/acme/web:1 id
    breakwater project add acme/web >/dev/null
    id=$(docker image inspect --format '{{.Id}}' "$FRONT/acme/dependency_proxy/containers/six" 2>&1)
    docker tag "$FRONT/acme/dependency_proxy/containers/six:latest" "$image"
    check "docker push through nginx" docker push "$image"
    docker_empty
    docker login "$FRONT" --username ci --password-stdin <<<"$TOKEN" >/dev/null 2>&1
    check "... and docker pull of it" docker pull --quiet "$image"
    check_equal "... is what was pushed" "$id" "$(docker image inspect --format '{{.Id}}' "$image" 2>&1)"
    check_equal "... and nothing of it lies on nginx's disk" "" "$(find "$WORK"/nginx-* -type f)"
    docker logout "$FRONT" >/dev/null
}

# nginx_status [CURL'S OPTIONS]: the status of a manifest on the mirror's path.
nginx_status() {
    curl -sS -o /dev/null -w '%{http_code}' "$@" "https://$FRONT/v2/library/small/manifests/latest"
}

nginx_addresses() {
    check_equal "a client on this machine is trusted by the mirror, through nginx too" 200 "$(nginx_status)"
    check_equal "a client elsewhere is not" 401 "$(nginx_status --interface "$STRANGER")"
    check_equal "... nor if it says that it is somebody else" 401 \
        "$(nginx_status --interface "$STRANGER" -H 'X-Forwarded-For: 127.0.0.1')"
    check_equal "the log has the client's address, not nginx's" "$STRANGER" \
        "$(jq -r 'select(.path == "/v2/library/small/manifests/latest") | .remote_ip' "$WORK/log/box.log" | tail -n 1)"
}

nginx_untrusted() {
    sed -i '/^trusted_proxies/d' "$WORK/box/breakwater.toml"
    stop box
    box_start
    check_equal "where nginx is not in trusted_proxies, nobody behind it is trusted" "401 401" \
        "$(nginx_status) $(nginx_status --interface "$STRANGER")"
}

# nginx as people set it up without the manual: the world must not become loopback, and the doctor finds it.
nginx_bare() {
    local status=(curl -sS -o /dev/null -w '%{http_code}' --interface "$STRANGER")
    local image="http://$FRONT/v2/library/line/manifests/latest" kept
    rm /etc/nginx/conf.d/breakwater.conf
    kept=$(breakwater cache list --json | jq length)
    nginx_bare_with "proxy_pass http://$BOX;"
    check_equal "behind nginx with nothing but proxy_pass nobody is loopback" "401 401" \
        "$("${status[@]}" "$image") $(curl -sS -o /dev/null -w '%{http_code}' "$image")"
    check_contains "... and the log says why" "is HTTP/1.0, which no registry client speaks" "$(cat "$WORK/log/box.log")"
    nginx_doctor "... and doctor finds it" proxy_untrusted
    nginx_bare_with "proxy_pass http://$BOX; proxy_http_version 1.1; proxy_set_header Host \$host;"
    check_equal "... nor where it speaks HTTP/1.1 and passes the host on" 401 "$("${status[@]}" "$image")"
    check_contains "... and the log says why" "asks for a host that is neither" "$(cat "$WORK/log/box.log")"
    check_equal "nothing of it was kept" "$kept" "$(breakwater cache list --json | jq length)"
    # The manual says so: nothing tells such a request from one of this machine.
    nginx_bare_with "proxy_pass http://$BOX; proxy_http_version 1.1;"
    nginx_doctor "doctor finds the one that leaves no mark" proxy_untrusted
    nginx_trusted
    nginx_doctor "... and, where it is trusted, that it names nobody" proxy_unnamed_clients
    stop nginx QUIT
}

# nginx_bare_with DIRECTIVES: nginx with a server of these.
nginx_bare_with() {
    stop nginx QUIT
    echo "server { listen 80; server_name $FRONT; location / { $1 } }" >/etc/nginx/conf.d/bare.conf
    start nginx nginx -g 'daemon off;'
    wait_for nginx curl -fs "http://$FRONT/-/readiness"
}

# nginx_doctor TEXT CHECK
nginx_doctor() {
    check_contains "$1" "/etc/nginx/conf.d/bare.conf names $BOX" \
        "$(breakwater --config "$WORK/box/breakwater.toml" doctor --json | jq -r --arg check "$2" '.findings[] | select(.check == $check) | .what')"
}
