# shellcheck shell=bash
# Who logs in with what, as podman and skopeo show it: tokens of each kind, and what is hidden. Sourced.

# Of the podman flow: storage without overlays.
# shellcheck source=scripts/e2e.d/flow-podman.sh
source "$HERE/flow-podman.sh"

flow_identity() {
    podman_configure
    box_new
    GROUP=$BOX/acme/dependency_proxy/containers
    identity_places
    identity_fills
    identity_reads
    identity_deploy_token
    identity_group_token
    identity_hidden
    identity_job_token
}

# identity_token ARGUMENT...: makes a token; its secret is in $SECRET, its id in $ID.
identity_token() {
    local made
    made=$(breakwater token create --name e2e --json "$@")
    SECRET=$(jq -r .token <<<"$made")
    ID=$(jq -r .id <<<"$made")
}

identity_places() {
    check "groups, a project and a stranger are made" bash -euc '
        breakwater group add other
        breakwater project add acme/api
        breakwater user add stranger --service'
}

# identity_copy USER SECRET IMAGE: copies an image of the group with all its blobs, as skopeo does it.
identity_copy() {
    rm -rf "$HOME/identity"
    skopeo copy --quiet --src-tls-verify=false --src-creds "$1:$2" "docker://$GROUP/$3" "dir:$HOME/identity"
}

# identity_kept: the names of all blobs that the box has.
identity_kept() {
    find "$BREAKWATER_DATA/blobs" -type f | sort
}

identity_fills() {
    check "1: podman logs in with a token that has both scopes" \
        podman login --tls-verify=false --username ci --password-stdin "$BOX" <<<"$TOKEN"
    check "1: ... pulls, and so fills the cache" podman pull --quiet --tls-verify=false "$GROUP/small:latest"
    hub_stop
    podman rmi --all --force >/dev/null
    check "1: ... and with the upstream stopped the pull still works" \
        podman pull --quiet --tls-verify=false "$GROUP/small:latest"
    check_contains "1: ... and has the upstream's digest" "@${HUB_DIGESTS[small]}" \
        "$(podman image inspect --format '{{.RepoDigests}}' "$GROUP/small:latest" 2>&1)"
    podman logout "$BOX" >/dev/null
    hub_start
    stop box
    box_start
}

identity_reads() {
    local before asked blobs
    identity_token --user ci --scope read_registry
    before=$(identity_kept)
    blobs=$(hub_manifest six | jq '[.config.digest, .layers[].digest] | unique | length')
    asked=$(hub_count 'GET /v2/library/six/blobs/')
    check "4: a token that may only read gets what is cached" identity_copy ci "$SECRET" small:latest
    check "4: ... and what is not" identity_copy ci "$SECRET" six:latest
    check "4: ... and once more" identity_copy ci "$SECRET" six:latest
    check_equal "4: ... which leaves nothing behind" "$before" "$(identity_kept)"
    check_equal "4: ... so that the upstream was asked for every blob each time" "$((2 * blobs))" \
        "$(($(hub_count 'GET /v2/library/six/blobs/') - asked))"
    hub_stop
    sleep 1.5
    check "5: with the upstream down it gets what is cached" identity_copy ci "$SECRET" small:latest
    check_fails "5: ... and not what is not" identity_copy ci "$SECRET" six:latest
    check_contains "5: ... and is told which upstream is away" docker.io "$OUTPUT"
    hub_start
    stop box
    box_start
}

identity_deploy_token() {
    identity_token --deploy acme --username puller --scope read_registry,write_registry
    check "7: a deploy token works with its own user name" identity_copy puller "$SECRET" small:latest
    check_fails "7: ... and with no other" identity_copy ci "$SECRET" small:latest
    check_contains "7: ... which is unauthorized" "invalid username/password" "$OUTPUT"
    # podman's exit status for it is 125, which `check_fails` takes for a deadline's.
    OUTPUT=$(podman login --tls-verify=false --username ci --password-stdin "$BOX" <<<"$SECRET" 2>&1) || true
    check_contains "7: podman login with another name fails as well" "invalid username/password" "$OUTPUT"
}

identity_group_token() {
    identity_token --group acme --level developer --scope read_registry
    check "9: a token of the group works with any user name" identity_copy whoever "$SECRET" small:latest
    identity_token --group other --level owner --scope read_registry
    check_fails "9: a token of a sibling does not" identity_copy whoever "$SECRET" small:latest
    check_contains "9: ... which is told that there is no such repository, or that it may not see it" \
        "is not known here, or you may not see it" "$OUTPUT"
}

identity_hidden() {
    local hidden
    identity_token --user stranger --scope read_registry,write_registry
    check "11: a user who is no member of the group can log in" \
        podman login --tls-verify=false --username stranger --password-stdin "$BOX" <<<"$SECRET"
    podman logout "$BOX" >/dev/null
    check_fails "11: ... but not pull" identity_copy stranger "$SECRET" small:latest
    hidden=$(identity_sentence acme)
    GROUP=$BOX/none/dependency_proxy/containers
    check_fails "11: ... nor from a group that does not exist" identity_copy stranger "$SECRET" small:latest
    GROUP=$BOX/acme/dependency_proxy/containers
    check_equal "11: ... and skopeo says the same of both" "$hidden" "$(identity_sentence none)"
}

# identity_sentence GROUP: what the last command said, without the time and the group's name.
identity_sentence() {
    sed "s/^time=[^ ]* //; s/$1/GROUP/g" <<<"$OUTPUT"
}

identity_job_token() {
    identity_token --job acme/api --user ci --ttl 10m
    check "12: a job's token works with the name gitlab-ci-token" \
        identity_copy gitlab-ci-token "$SECRET" small:latest
    check_fails "12: ... and with no other" identity_copy ci "$SECRET" small:latest
    check "12: ... until its job ends" breakwater token revoke "$ID"
    check_fails "12: ... and no longer" identity_copy gitlab-ci-token "$SECRET" small:latest
    check_contains "12: ... then it is unauthorized" "invalid username/password" "$OUTPUT"
    # Logins are written within about a second.
    sleep 2
    check "the audit tells of it" breakwater audit --user ci
    check_contains "... with the credential's kind" "credential=job token" "$OUTPUT"
    check_lacks "... and without the credential" "${SECRET#*_}" "$OUTPUT"
}
