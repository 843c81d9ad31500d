# shellcheck shell=bash
# The REST API with GitLab's own client library, and pulls with a token that was made by it. Sourced.

flow_api() {
    local admin began=$SECONDS
    box_new
    # The library shall make the group itself.
    check "the recipe's group goes" breakwater group remove acme --yes
    admin=$(breakwater token create --name e2e --user root --scope api)
    TOKEN=$admin check "the README's recipe makes a group, and finds it" recipe_run rest-api
    check_contains "... as JSON" '"full_path":"payments"' "$OUTPUT"
    check "GitLab's client library makes, changes, rotates and removes everything" \
        "$E2E_PYTHON" "$HERE/api.py" "http://$BOX" "$admin" "$WORK/pull-token"
    check "docker's way of logging in, by skopeo, with the token that it made" \
        skopeo login --tls-verify=false --authfile "$WORK/auth.json" --username bot \
        --password "$(cat "$WORK/pull-token")" "$BOX"
    check "a pull with that token" skopeo copy --quiet --src-tls-verify=false --authfile "$WORK/auth.json" \
        "docker://$BOX/acme/dependency_proxy/containers/six:latest" "dir:$HOME/by-api"
    check_equal "... byte for byte" "${HUB_DIGESTS[six]}" \
        "sha256:$(sha256sum "$HOME/by-api/manifest.json" 2>&1 | cut -d' ' -f1)"
    api_images "$admin"
    api_revocation "$admin"
    check "all of it within a minute" test "$((SECONDS - began))" -lt 60
}

# Pushes two images with the token, and looks at them by the library; then its rule keeps the token out.
api_images() {
    local tag
    check "a project is made by REST" curl -fsS -H "PRIVATE-TOKEN: $1" \
        --data 'path=web' --data 'namespace_id=acme' "http://$BOX/api/v4/projects"
    for tag in one two; do
        check "a push of $tag" skopeo copy --quiet --src-tls-verify=false --dest-tls-verify=false \
            --authfile "$WORK/auth.json" "docker://$BOX/library/$([[ $tag == one ]] && echo small || echo six):latest" \
            "docker://$BOX/acme/web:$tag"
    done
    check "the library lists, protects and deletes what was pushed" \
        "$E2E_PYTHON" "$HERE/api_images.py" "http://$BOX" "$1" acme/web
    check_fails "a push to what is protected now" skopeo copy --quiet --src-tls-verify=false --dest-tls-verify=false \
        --authfile "$WORK/auth.json" "docker://$BOX/library/small:latest" "docker://$BOX/acme/web:three"
    check_contains "... with the reason" "container protected; you are not allowed to push new package" \
        "$(skopeo copy --quiet --src-tls-verify=false --dest-tls-verify=false --authfile "$WORK/auth.json" \
            "docker://$BOX/library/small:latest" "docker://$BOX/acme/web:three" 2>&1)"
}

# Revokes the token by REST: the pull after that is refused.
api_revocation() {
    local id
    id=$(curl -fsS -H "PRIVATE-TOKEN: $1" "http://$BOX/api/v4/groups/acme/access_tokens?state=active" | jq '.[0].id')
    check "the token is revoked by REST" \
        curl -fsS -X DELETE -H "PRIVATE-TOKEN: $1" "http://$BOX/api/v4/groups/acme/access_tokens/$id"
    check_fails "a pull with the revoked token" skopeo inspect --raw --tls-verify=false --authfile "$WORK/auth.json" \
        "docker://$BOX/acme/dependency_proxy/containers/six:latest"
}
