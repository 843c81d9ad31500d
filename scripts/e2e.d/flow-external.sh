# shellcheck shell=bash
# Another registry that takes the box's tokens: docker-registry with token authentication, once for each kind of key.
# The same users and tokens push and pull there, and are told the same where they may not. Sourced.

# shellcheck source=scripts/e2e.d/people.sh
source "$HERE/people.sh"
EXTERNAL=127.0.0.1:5002

flow_external() {
    box_new
    people_make
    breakwater rule add acme/api 'acme/api/prod*' --min-push maintainer
    people_dockerd
    mkdir -p /etc/docker/registry
    check "the README's registry" recipe_run external-add
    external_start
    external_pushes_and_pulls es256
    stop external
    breakwater registry remove store
    check "a registry with an RSA key" \
        breakwater registry add store --issuer breakwater --audience registry.example --key-type rs256
    breakwater registry certificate store >/etc/docker/registry/breakwater.pem
    external_start
    external_pushes_and_pulls rs256
}

external_start() {
    # It stores nothing of the one before.
    rm -rf "$WORK/external"
    mkdir -p "$WORK/external"
    {
        cat <<CONFIG
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: $WORK/external}, delete: {enabled: true}}
http: {addr: "$EXTERNAL", net: tcp}
CONFIG
        recipe external-config
    } >"$WORK/external.yml"
    start external docker-registry serve "$WORK/external.yml"
    wait_for external curl -s "http://$EXTERNAL/v2/"
}

external_pushes_and_pulls() {
    local key=$1
    check_equal "$key: it challenges for the box's tokens" \
        "Www-Authenticate: Bearer realm=\"http://$BOX/jwt/auth\",service=\"registry.example\"" \
        "$(curl -si "http://$EXTERNAL/v2/" | tr -d '\r' | grep -i '^www-authenticate')"
    check "$key: a developer pushes" people_skopeo_push developer "$EXTERNAL" acme/api/web
    check "$key: a reporter pulls it" people_skopeo_pull reporter "$EXTERNAL" acme/api/web
    check_fails "$key: a reporter pushes nothing" people_skopeo_push reporter "$EXTERNAL" acme/api/web
    check_fails "$key: a stranger pulls nothing" people_skopeo_pull stranger "$EXTERNAL" acme/api/web
    check_fails "$key: a developer does not push to a protected path" \
        people_push developer "$EXTERNAL" acme/api/prod
    check_contains "$key: ... and docker says why" "$PROTECTED" "$OUTPUT"
    check "$key: a maintainer pushes there" people_push maintainer "$EXTERNAL" acme/api/prod
    check "$key: a developer pulls it" people_skopeo_pull developer "$EXTERNAL" acme/api/prod
}
