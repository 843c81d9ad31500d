# shellcheck shell=bash
# Protection rules of the box's own repositories, with real clients: who pushes, who does not, and what docker says.
# Sourced.

# shellcheck source=scripts/e2e.d/people.sh
source "$HERE/people.sh"

flow_rules() {
    local rule who
    box_new
    people_make
    people_dockerd
    rule=$(breakwater rule add acme/api 'acme/api/prod*' --min-push maintainer --json | jq .id)
    check "a developer pushes what is not protected" people_push developer "$BOX" acme/api/web
    check "a reporter pulls it" people_skopeo_pull reporter "$BOX" acme/api/web
    check_fails "a reporter does not push it" people_push reporter "$BOX" acme/api/web
    check_contains "... and docker says why" "ask for the level developer" "$OUTPUT"
    check_fails "a stranger does not pull it" people_skopeo_pull stranger "$BOX" acme/api/web

    check_fails "a developer does not push to the protected path" people_push developer "$BOX" acme/api/prod
    check_contains "... and docker says why" "$PROTECTED" "$OUTPUT"
    check_fails "... nor by skopeo" people_skopeo_push developer "$BOX" acme/api/prod
    check_fails "... nor by podman" rules_podman_push developer acme/api/prod
    check "a maintainer does" people_push maintainer "$BOX" acme/api/prod
    check "... and by skopeo" people_skopeo_push maintainer "$BOX" acme/api/prod
    check "... and by podman" rules_podman_push maintainer acme/api/prod
    check "an administrator does" people_push boss "$BOX" acme/api/prod
    SECRETS[deployer]=$(breakwater token create --name e2e --deploy acme/api --username deployer \
        --scope read_registry,write_registry)
    check "a deploy token pushes what is not protected" people_push deployer "$BOX" acme/api/web
    check_fails "... and never what is" people_push deployer "$BOX" acme/api/prod
    check_contains "... and docker says why" "$PROTECTED" "$OUTPUT"

    breakwater rule set "$rule" --push-protected-up-to no_access
    for who in maintainer boss; do
        check_fails "under no_access the $who does not push" people_push "$who" "$BOX" acme/api/prod
        check_contains "... and docker says why" "$PROTECTED" "$OUTPUT"
    done
    breakwater rule set "$rule" --push-protected-up-to developer
    check "the same push works after the rule changed, without a new login" docker push "$BOX/acme/api/prod:1"
}

# rules_podman_push USER REPOSITORY: podman's own status of a refusal, 125, is one of a shell's too.
rules_podman_push() {
    local storage=(--root "$WORK/podman/root" --runroot "$WORK/podman/run" --storage-driver vfs)
    podman "${storage[@]}" pull --quiet --tls-verify=false "$HUB/library/small:latest" &&
        podman "${storage[@]}" push --quiet --tls-verify=false --creds "$1:${SECRETS[$1]}" \
            "$HUB/library/small:latest" "docker://$BOX/$2:1" || return 1
}
