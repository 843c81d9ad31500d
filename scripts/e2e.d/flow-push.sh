# shellcheck shell=bash
# Pushing to the box and pulling from it again: docker, podman, buildah, skopeo. Sourced.

# shellcheck source=scripts/e2e.d/flow-docker.sh
source "$HERE/flow-docker.sh"
# shellcheck source=scripts/e2e.d/flow-podman.sh
source "$HERE/flow-podman.sh"

flow_push() {
    podman_configure
    recipe_to podman-mirror /etc/containers/registries.conf
    recipe_to docker-mirror /etc/docker/daemon.json
    box_new
    push_docker
    push_skopeo
    push_podman
    push_buildah
    push_referrer
    push_delete
    push_survives
}

# images_digest NAME TAG: the digest of the manifest that the box has there.
images_digest() {
    skopeo_raw "$BOX/acme/api/$1:$2"
}

# skopeo_raw REFERENCE: the digest of the manifest's bytes, or skopeo's complaint.
skopeo_raw() {
    if skopeo inspect --raw --tls-verify=false --creds "ci:$TOKEN" "docker://$1" >"$WORK/raw" 2>"$WORK/raw.err"; then
        echo "sha256:$(sha256sum <"$WORK/raw" | cut -d' ' -f1)"
    else
        cat "$WORK/raw.err"
    fi
}

# box_count PATTERN: how many requests the box has logged whose method, path and status match.
box_count() {
    jq -r 'select(.method) | "\(.method) \(.path) \(.status)"' "$WORK/log/box.log" | grep -cE -- "$1" || true
}

push_docker() {
    local pushed sent
    docker_empty
    check "docker: the README's recipe" recipe_run push
    pushed=$(docker image inspect --format '{{.RepoDigests}}' "$BOX/acme/api/alpine:v1" 2>&1)
    check_contains "docker knows the digest that it pushed" "@$(images_digest alpine v1)" "$pushed"
    sent=$(box_count 'PATCH /v2/acme/api/alpine/blobs/uploads/.* 202')
    check "docker pushes it once more, without sending a layer" docker push --quiet "$BOX/acme/api/alpine:v1"
    check_equal "... by what the box logged" "$sent" "$(box_count 'PATCH /v2/acme/api/alpine/blobs/uploads/.* 202')"
    check "docker: tagged as another repository" docker tag "$BOX/acme/api/alpine:v1" "$BOX/acme/api/copy:v1"
    check "... and pushed: its layers are mounted" docker push --quiet "$BOX/acme/api/copy:v1"
    check_equal "... by what the box logged" yes \
        "$( (($(box_count 'POST /v2/acme/api/copy/blobs/uploads/ 201') > 0)) && echo yes)"
    docker_empty
    check "docker logs in on another machine" docker_login ci "$TOKEN"
    check "... and pulls it" docker pull --quiet "$BOX/acme/api/alpine:v1"
    check_contains "... with the same digest" "@$(images_digest alpine v1)" \
        "$(docker image inspect --format '{{.RepoDigests}}' "$BOX/acme/api/alpine:v1" 2>&1)"
    stop dockerd
}

push_skopeo() {
    local name to
    mkdir -p "$HOME/pushed"
    for name in small six multi schema2; do
        check "skopeo pushes $name with all that it has" skopeo copy --quiet --all --preserve-digests \
            --src-tls-verify=false --dest-tls-verify=false --dest-creds "ci:$TOKEN" \
            "docker://$HUB/library/$name:latest" "docker://$BOX/acme/api/$name:v1"
        check_equal "... byte for byte" "${HUB_DIGESTS[$name]}" "$(images_digest "$name" v1)"
        check "... and pulls it, hashing every blob" skopeo copy --quiet --all --preserve-digests \
            --src-tls-verify=false --src-creds "ci:$TOKEN" \
            "docker://$BOX/acme/api/$name:v1" "dir:$HOME/pushed/$name"
    done
    to=acme/api/mirrored
    check "skopeo copies an image of two architectures to another repository" skopeo copy --quiet --all \
        --preserve-digests --src-tls-verify=false --dest-tls-verify=false \
        --src-creds "ci:$TOKEN" --dest-creds "ci:$TOKEN" \
        "docker://$BOX/acme/api/multi:v1" "docker://$BOX/$to:v1"
    check_equal "... it is the same" "${HUB_DIGESTS[multi]}" "$(images_digest mirrored v1)"
    check_equal "... and layers were mounted" yes \
        "$( (($(box_count "POST /v2/$to/blobs/uploads/ 201") > 0)) && echo yes)"
    check_contains "skopeo lists the tags" '"v1"' \
        "$(skopeo list-tags --tls-verify=false --creds "ci:$TOKEN" "docker://$BOX/$to" 2>&1)"
}

push_podman() {
    local id
    podman_empty
    check "podman logs in" podman login --tls-verify=false --username ci --password-stdin "$BOX" <<<"$TOKEN"
    check "podman pulls an image from elsewhere" podman pull --quiet --tls-verify=false "$HUB/library/six:latest"
    id=$(podman image inspect --format '{{.Id}}' "$HUB/library/six:latest" 2>&1)
    check "podman pushes it" podman push --quiet --tls-verify=false "$HUB/library/six:latest" "$BOX/acme/api/podman:v1"
    podman_empty
    check "podman pulls it" podman pull --quiet --tls-verify=false "$BOX/acme/api/podman:v1"
    check_equal "... it is the same image" "$id" \
        "$(podman image inspect --format '{{.Id}}' "$BOX/acme/api/podman:v1" 2>&1)"
}

push_buildah() {
    local container
    check "buildah logs in" buildah login --tls-verify=false --username ci --password-stdin "$BOX" <<<"$TOKEN"
    container=$(buildah from --tls-verify=false "$BOX/acme/api/podman:v1" 2>&1)
    check "buildah begins with a pushed image" buildah config --label flow=push "$container"
    check "... commits" buildah commit --quiet "$container" built
    check "... and pushes" buildah push --quiet --tls-verify=false built "docker://$BOX/acme/api/built:v1"
    check_equal "... what it made" push "$(skopeo inspect --tls-verify=false --creds "ci:$TOKEN" \
        --format '{{index .Labels "flow"}}' "docker://$BOX/acme/api/built:v1" 2>&1)"
    check "buildah makes an index of it" buildah manifest create both built
    check "... pushes the index with its image" buildah manifest push --all --tls-verify=false both \
        "docker://$BOX/acme/api/both:v1"
    check_equal "... an index of one image" 1 "$(images_digest both v1 >/dev/null; jq '.manifests | length' "$WORK/raw" 2>&1)"
}

# api METHOD PATH [CURL OPTIONS...]: a request with a token for acme/api/six.
api() {
    local method=$1 path=$2 jwt
    shift 2
    jwt=$(curl -fsS -u "ci:$TOKEN" \
        "http://$BOX/jwt/auth?service=container_registry&scope=repository:acme/api/six:pull,push" | jq -r .token)
    curl -fsS -X "$method" -H "Authorization: Bearer $jwt" "$@" "http://$BOX$path"
}

# No client in Debian 12 attaches artifacts, so curl does.
push_referrer() {
    local subject=${HUB_DIGESTS[six]} type=application/vnd.example.sbom.v1+json empty digest found
    empty=sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
    check "curl pushes the empty blob" api POST "/v2/acme/api/six/blobs/uploads/?digest=$empty" --data-binary '{}'
    jq -cn --arg subject "$subject" --arg empty "$empty" --arg type "$type" '{
        schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", artifactType: $type,
        config: {mediaType: "application/vnd.oci.empty.v1+json", digest: $empty, size: 2},
        layers: [{mediaType: "application/vnd.oci.empty.v1+json", digest: $empty, size: 2}],
        subject: {mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $subject, size: 1},
        annotations: {"org.example": "attached"}}' >"$WORK/artifact.json"
    digest=sha256:$(sha256sum <"$WORK/artifact.json" | cut -d' ' -f1)
    check "curl attaches an artifact to an image" api PUT "/v2/acme/api/six/manifests/$digest" \
        -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary "@$WORK/artifact.json"
    found=$(api GET "/v2/acme/api/six/referrers/$subject?artifactType=${type/+/%2B}" 2>&1)
    check_equal "... and finds it again" "$digest attached" \
        "$(jq -r '.manifests[] | "\(.digest) \(.annotations["org.example"])"' <<<"$found" 2>&1)"
}

push_delete() {
    local secret
    check_fails "a developer deletes nothing" \
        skopeo delete --tls-verify=false --creds "ci:$TOKEN" "docker://$BOX/acme/api/small:v1"
    check "the README's recipe for deleting" recipe_run delete
    secret=$(breakwater token create --name cleaner --user ci --scope api 2>&1 | tail -n 1)
    check "skopeo deletes a tag's image" skopeo delete --tls-verify=false --creds "ci:$secret" "docker://$BOX/acme/api/small:v1"
    check_contains "... and it is gone" "manifest unknown" "$(images_digest small v1 | tr 'A-Z_' 'a-z ')"
    check_equal "... and nothing else is" "${HUB_DIGESTS[six]}" "$(images_digest six v1)"
}

# After a crash, with the upstream gone, everything pushed is still there.
push_survives() {
    hub_stop
    box_restart KILL
    check "after a crash: pull an index, hashing every blob" skopeo copy --quiet --all --preserve-digests \
        --src-tls-verify=false --src-creds "ci:$TOKEN" "docker://$BOX/acme/api/multi:v1" "dir:$HOME/again"
    check "after a crash: verify finds nothing wrong" breakwater verify
    hub_start
}
