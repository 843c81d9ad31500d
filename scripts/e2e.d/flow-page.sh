# shellcheck shell=bash
# The operator's page in a real browser: Debian's Chromium, driven by playwright, judged by axe-core. Sourced.

flow_page() {
    local who tag verdict sentence
    box_new
    for who in alice carol sam; do
        check "a user $who" breakwater user add "$who" --password-stdin <<<"the password of $who"
    done
    check "... who owns acme" breakwater member add acme alice --level owner
    check "... who is a guest there" breakwater member add acme carol --level guest
    check "an image is kept, since the page's token shall only read" skopeo copy --quiet --src-tls-verify=false \
        --src-creds "ci:$TOKEN" "docker://$BOX/acme/dependency_proxy/containers/six:latest" "dir:$WORK/page-filled"
    check "... and a project" breakwater project add acme/api
    for tag in v1 same; do
        check "an image is pushed as $tag" skopeo copy --quiet --src-tls-verify=false --dest-tls-verify=false \
            --dest-creds "ci:$TOKEN" "docker://$HUB/library/small:latest" "docker://$BOX/acme/api:$tag"
    done
    check "the group has an upstream of its own" breakwater upstream add own.example http://127.0.0.1:9 --group acme --no-probe
    mkdir -p "$WORK/screenshots"
    while read -r verdict sentence; do
        case $verdict in
        PASS) pass "$sentence" ;;
        FAIL) fail "$sentence" ;;
        *) printf '     | %s %s\n' "$verdict" "$sentence" ;;
        esac
    done < <("$E2E_PYTHON" "$HERE/page.py" "http://$BOX" "$E2E_AXE" "$WORK/screenshots" "$(cat "$BREAKWATER_DATA/initial_root_password")" 2>&1 ||
        echo "FAIL the browser's run came to its end")
    [[ -z ${E2E_SCREENSHOTS-} ]] || cp -r "$WORK/screenshots/." "$E2E_SCREENSHOTS"
}
