# shellcheck shell=bash
# What the README tells the administrator to do, on a running box. Sourced.

flow_operation() {
    box_new
    check "the README's recipe for networks" recipe_run network
    check_contains "... shows the network that was added" "10.0.0.0/8" "$OUTPUT"

    check "pulling something to look at" \
        skopeo copy --quiet --src-tls-verify=false "docker://$BOX/library/small:latest" "dir:$WORK/operation"
    check "the README's recipe for looking inside" recipe_run inside
    check_contains "... shows the upstream" "docker.io" "$OUTPUT"
    check_contains "... and the image" "docker.io/library/small:latest" "$OUTPUT"
    check_contains "... and that nothing is damaged" "nothing is damaged" "$OUTPUT"

    operation_repair

    check "the README's recipe for metrics" recipe_run metrics
    check_contains "... and health" '"status":"ok"' "$OUTPUT"
    recipe_to prometheus "$WORK/prometheus.yml"
    check "the README's scrape configuration is one" promtool check config "$WORK/prometheus.yml"
    check "the alert rules are rules" promtool check rules "$ROOT/scripts/monitoring/alerts.yml"
    check "... and alert when they should" promtool test rules "$ROOT/scripts/monitoring/alerts-test.yml"

    BACKUPS=$WORK/backups
    export BACKUPS
    mkdir -p "$BACKUPS"
    check "the README's recipe for a backup" recipe_run backup
    check_equal "... which only its owner can read" 600 "$(stat -c %a "$BACKUPS/breakwater.sqlite")"
    check "the manual's recipe for a backup with images" recipe_run backup-images
    check_equal "... has every file of an image" "$(find "$BREAKWATER_DATA/blobs" -type f | wc -l)" "$(find "$BACKUPS/images/blobs" -type f | wc -l)"
    check "a user is added after the backup" breakwater user add latecomer --service
    stop box
    check "the README's recipe for restoring it" recipe_run restore
    box_start
    check "users are listed" breakwater user list
    check_equal "... and the one who came after the backup is gone" 0 "$(grep -c latecomer <<<"$OUTPUT")"
    rm -rf "$BACKUPS"
    unset BACKUPS

    check "the README's recipe for going offline" recipe_run offline
    check_contains "... shows that it was" "offline, by command" "$OUTPUT"

    NEW_PASSWORD=$(head -c 18 /dev/urandom | base64)
    export NEW_PASSWORD
    check "the README's recipe for root's password" recipe_run passwd
    check "... after which the file of the first one is gone" test ! -e "$BREAKWATER_DATA/initial_root_password"
    check "... and the new one opens the box" \
        curl -fsS --user "root:$NEW_PASSWORD" "http://$BOX/jwt/auth?service=dependency_proxy"
    unset NEW_PASSWORD
    rm -rf "$WORK/operation"
}

# A layer is damaged on the disk: found, fetched again from the registry that it came from, and pulled whole without it.
operation_repair() {
    local layer
    layer=$(find "$BREAKWATER_DATA/blobs" -type f -printf '%s %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-)
    printf 'damaged' | dd of="$layer" bs=1 seek=100 conv=notrunc status=none
    check_fails "verify finds a damaged layer" breakwater verify
    check "verify --repair mends it" breakwater verify --repair
    check_contains "... by fetching it again" "whole again: sha256:${layer##*/} of docker.io/library/small" "$OUTPUT"
    check "... and nothing is damaged afterwards" breakwater verify
    hub_stop
    rm -rf "$WORK/operation"
    check "... and the image is pulled whole while its upstream is away" \
        skopeo copy --quiet --src-tls-verify=false "docker://$BOX/library/small:latest" "dir:$WORK/operation"
    hub_start
}
