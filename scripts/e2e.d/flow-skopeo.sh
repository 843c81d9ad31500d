# shellcheck shell=bash
# skopeo: the mirror's paths without credentials, a group's path with a token. Sourced.

flow_skopeo() {
    box_new
    skopeo_herd
    in_three_phases TERM skopeo_pull_all
    hub_start
    skopeo_passwords
    skopeo_hanging_upstream
}

skopeo_pull_all() {
    local phase=$1 name place
    local target=$HOME/skopeo
    rm -rf "$target"
    mkdir "$target"
    check "$phase: the README's recipe" recipe_run skopeo
    rm -rf "$HOME/alpine"
    for name in "${HUB_IMAGES[@]}"; do
        for place in "library/$name" "acme/dependency_proxy/containers/$name"; do
            check_equal "$phase: $place has the upstream's digest" "${HUB_DIGESTS[$name]}" \
                "$(skopeo_digest "$BOX/$place:latest")"
        done
        # --all takes both architectures of an index, and skopeo hashes every blob.
        check "$phase: library/$name with all its blobs" \
            skopeo copy --quiet --all --preserve-digests --src-tls-verify=false \
            "docker://$BOX/library/$name:latest" "dir:$target/$name"
        check_equal "$phase: library/$name was copied byte for byte" "${HUB_DIGESTS[$name]}" \
            "sha256:$(sha256sum "$target/$name/manifest.json" 2>&1 | cut -d' ' -f1)"
    done
    check "$phase: six by its digest, through the group, with a token" \
        skopeo copy --quiet --src-tls-verify=false --src-creds "ci:$TOKEN" \
        "docker://$BOX/acme/dependency_proxy/containers/six@${HUB_DIGESTS[six]}" "dir:$target/six-by-digest"
    check "$phase: the arm64 image of multi" \
        skopeo copy --quiet --src-tls-verify=false --override-arch arm64 \
        "docker://$BOX/library/multi:latest" "oci:$target/arm64:latest"
    check_equal "$phase: ... is for arm64" arm64 \
        "$(skopeo inspect --override-arch arm64 --format '{{.Architecture}}' "oci:$target/arm64:latest" 2>&1)"
    check "$phase: the arm64 image of multi, through the group" \
        skopeo copy --quiet --src-tls-verify=false --src-creds "ci:$TOKEN" --override-arch arm64 \
        "docker://$BOX/acme/dependency_proxy/containers/multi:latest" "oci:$target/arm64-group:latest"
}

# skopeo_digest REFERENCE: the digest of the manifest as it came over the wire, or skopeo's
# complaint.
skopeo_digest() {
    local credentials=()
    [[ $1 == *dependency_proxy* ]] && credentials=(--creds "ci:$TOKEN")
    if skopeo inspect --raw --tls-verify=false "${credentials[@]}" "docker://$1" >"$WORK/raw" 2>"$WORK/raw.err"; then
        echo "sha256:$(sha256sum <"$WORK/raw" | cut -d' ' -f1)"
    else
        cat "$WORK/raw.err"
    fi
}

# Sixteen ask for one cold blob at once: the upstream is asked once, and all get it whole.
skopeo_herd() {
    local blob before pids=() number
    blob=$(hub_manifest six | jq -r '.layers[0].digest')
    before=$(hub_count "GET /v2/library/six/blobs/$blob ")
    curl -fsS -o /dev/null -H 'Accept: application/vnd.oci.image.manifest.v1+json' \
        "http://$BOX/v2/library/six/manifests/latest" || true
    for number in {1..16}; do
        curl -fsS "http://$BOX/v2/library/six/blobs/$blob" 2>&1 | sha256sum >"$WORK/herd.$number" &
        pids+=($!)
    done
    wait "${pids[@]}" || true
    check_equal "a herd of 16 cold pulls of one blob: all are whole" "16 ${blob#sha256:}" \
        "$(cut -d' ' -f1 "$WORK"/herd.* | sort | uniq -c | awk '{print $1, $2}')"
    check_equal "a herd of 16 cold pulls of one blob: the upstream is asked once" 1 \
        "$(($(hub_count "GET /v2/library/six/blobs/$blob ") - before))"
}

skopeo_passwords() {
    check_fails "a wrong secret is refused on a group's path" \
        skopeo inspect --raw --tls-verify=false --creds "ci:bwp_wrong" \
        "docker://$BOX/acme/dependency_proxy/containers/small:latest"
    check_fails "a wrong password is refused on the mirror's path too, although the network is trusted" \
        skopeo inspect --raw --tls-verify=false --creds "root:wrong" "docker://$BOX/library/small:latest"
    check_fails "a group's path needs credentials" \
        skopeo inspect --raw --tls-verify=false "docker://$BOX/acme/dependency_proxy/containers/small:latest"
    check "a user logs in by password" skopeo inspect --raw --tls-verify=false \
        --creds "root:$(cat "$WORK/box/data/initial_root_password")" \
        "docker://$BOX/acme/dependency_proxy/containers/small:latest"
}

# An upstream that accepts connections and then says nothing is worse than one that is gone.
skopeo_hanging_upstream() {
    # shellcheck disable=SC2153 # set by start
    kill -STOP "${PIDS[hub]}"
    sleep 1.5
    check "a hanging upstream does not hang what is cached" \
        timeout 30 skopeo copy --quiet --src-tls-verify=false \
        "docker://$BOX/library/small:latest" "dir:$HOME/hanging"
    kill -CONT "${PIDS[hub]}"
}
