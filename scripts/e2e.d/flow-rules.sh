# shellcheck shell=bash
# Protection rules of the box's own repositories, with real clients: who pushes, who does not, and what each client says.
# Sourced.

# Of the podman flow: its configuration, which buildah reads too.
# shellcheck source=scripts/e2e.d/flow-podman.sh
source "$HERE/flow-podman.sh"
# shellcheck source=scripts/e2e.d/people.sh
source "$HERE/people.sh"

DELETE_PROTECTED='container protected; you are not allowed to delete this package'

flow_rules() {
    local rule who
    podman_configure
    podman_empty
    box_new
    people_make
    people_dockerd
    rule=$(breakwater rule add acme/api 'acme/api/prod*' --min-push maintainer --json | jq .id)
    check "a developer pushes what is not protected" people_push developer "$BOX" acme/api/web
    check "a reporter pulls it" people_skopeo_pull reporter "$BOX" acme/api/web
    check_fails "a reporter does not push it" people_push reporter "$BOX" acme/api/web
    check_contains "... and docker says why" "ask for the level developer" "$OUTPUT"
    check_fails "a stranger does not pull it" people_skopeo_pull stranger "$BOX" acme/api/web

    for who in docker skopeo podman buildah; do
        rules_denied "a developer does not push to the protected path with $who" "$PROTECTED" \
            "rules_push_by_$who" developer acme/api/prod
    done
    for who in docker skopeo podman buildah; do
        check "a maintainer does, with $who" "rules_push_by_$who" maintainer acme/api/prod
    done
    check "an administrator does" people_push boss "$BOX" acme/api/prod
    SECRETS[deployer]=$(breakwater token create --name e2e --deploy acme/api --username deployer \
        --scope read_registry,write_registry)
    check "a deploy token pushes what is not protected" people_push deployer "$BOX" acme/api/web
    check_fails "... and never what is" people_push deployer "$BOX" acme/api/prod
    check_contains "... and docker says why" "$PROTECTED" "$OUTPUT"

    breakwater rule set "$rule" --push-protected-up-to no_access
    check_fails "under no_access a maintainer does not push" people_push maintainer "$BOX" acme/api/prod
    check_contains "... and docker says why" "$PROTECTED" "$OUTPUT"
    # Every blob is there already, so the manifest is what is refused.
    for who in docker skopeo podman buildah; do
        rules_denied "under no_access an administrator does not push with $who" "$PROTECTED" \
            "rules_push_by_$who" boss acme/api/prod
    done
    breakwater rule set "$rule" --push-protected-up-to developer
    check "the same push works after the rule changed, without a new login" docker push "$BOX/acme/api/prod:1"
    rules_delete "$rule"
}

# rules_denied TEXT SENTENCE COMMAND...: the command fails, and what it printed has the sentence in it.
rules_denied() {
    local text=$1 sentence=$2
    shift 2
    check_fails "$text" "$@"
    check_contains "... and it prints the sentence" "$sentence" "$OUTPUT"
    grep -F -- "$sentence" <<<"$OUTPUT" | sed 's/^/     | /' || true
}

# rules_delete RULE: skopeo is the client that deletes.
rules_delete() {
    SECRETS[maintainer]=$(breakwater token create --name e2e --user maintainer --scope api)
    breakwater rule set "$1" --min-delete owner
    rules_denied "a maintainer does not delete what is protected for owners" "$DELETE_PROTECTED" rules_skopeo_delete maintainer
    breakwater rule remove "$1"
    check "... and does without the rule" rules_skopeo_delete maintainer
}

# rules_skopeo_delete USER
rules_skopeo_delete() {
    skopeo delete --tls-verify=false --creds "$1:${SECRETS[$1]}" "docker://$BOX/acme/api/prod:1"
}

# rules_push_by_CLIENT USER REPOSITORY
rules_push_by_docker() {
    people_push "$1" "$BOX" "$2"
}

rules_push_by_skopeo() {
    people_skopeo_push "$1" "$BOX" "$2"
}

# podman's own status of a refusal, 125, is one of a shell's too.
rules_push_by_podman() {
    podman pull --quiet --tls-verify=false "$HUB/library/small:latest" &&
        podman push --quiet --tls-verify=false --creds "$1:${SECRETS[$1]}" \
            "$HUB/library/small:latest" "docker://$BOX/$2:1" || return 1
}

rules_push_by_buildah() {
    buildah pull --quiet --tls-verify=false "$HUB/library/small:latest" &&
        buildah push --quiet --tls-verify=false --creds "$1:${SECRETS[$1]}" \
            "$HUB/library/small:latest" "docker://$BOX/$2:1" || return 1
}
