# shellcheck shell=bash
# The image of the box itself, built by buildah and run by podman. Sourced.

# shellcheck source=scripts/e2e.d/flow-podman.sh
source "$HERE/flow-podman.sh"

flow_image() {
    podman_configure
    # crun takes one kind of control groups, and this machine may have both.
    umount -R /sys/fs/cgroup 2>/dev/null || true
    mount -t cgroup2 none /sys/fs/cgroup
    update-ca-certificates >/dev/null 2>&1
    check "scripts/package --image" "$ROOT/scripts/package" --image --binary "$BINARY" --out "$WORK/image"
    IMAGE_FILE=$(tail -n 1 <<<"$OUTPUT")
    export IMAGE_FILE
    # What this machine does not have, control groups that may be written and a Docker Hub, is said beside the recipe.
    cat >>/etc/containers/containers.conf <<CONFIG
[containers]
cgroups = "disabled"
default_ulimits = ["nofile=16384:16384", "nproc=4096:4096"]
env = ["BREAKWATER_UPSTREAMS_DOCKER_IO_URL=http://$HUB"]
CONFIG
    check "the manual's recipe for running it" recipe_run image-run
    check_equal "it runs as nobody in particular" 65532:65532 \
        "$(podman container inspect --format '{{.Config.User}}' breakwater)"
    check "... and answers" curl -fs --retry 30 --retry-connrefused --retry-delay 1 "http://$BOX/-/readiness"
    check "its health check finds it well" podman healthcheck run breakwater
    check "an image is pulled through it" image_pull
    check "commands run in it" podman exec breakwater /usr/bin/breakwater cache list
    check_contains "... and see what was pulled" docker.io/library/small:latest "$OUTPUT"
    check "it stops in good order" podman stop --time 20 breakwater
    check_contains "... and says so" '"message":"stopped"' "$(podman logs breakwater 2>&1)"
    check "it is removed" podman rm --force breakwater
    check "another one starts on the same volume" recipe_run image-run
    check "... and answers" curl -fs --retry 30 --retry-connrefused --retry-delay 1 "http://$BOX/-/readiness"
    check_contains "... and has the image" docker.io/library/small:latest \
        "$(podman exec breakwater /usr/bin/breakwater cache list 2>&1)"
    podman rm --force --time 5 breakwater >/dev/null 2>&1
    podman_empty
}

image_pull() {
    skopeo copy --quiet --src-tls-verify=false "docker://$BOX/library/small:latest" "dir:$WORK/image/pulled"
}
