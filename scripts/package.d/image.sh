# shellcheck shell=bash
# The image of the box itself, from scratch. Sourced by scripts/package.

# Nobody's number on most machines, so that what escapes owns nothing.
readonly IMAGE_USER=65532

# build_image PROGRAM VERSION FILE: prints FILE. Uses $work and SOURCE_DATE_EPOCH of scripts/package.
# shellcheck disable=SC2154
build_image() {
    local program=$1 version=$2 file=$3 tree=$work/tree library container
    install -D -m 0755 -- "$program" "$tree/usr/bin/breakwater"
    # With the loader, each where the program looks for it.
    while read -r library; do
        install -D -m 0755 -- "$library" "$tree$library"
    done < <(ldd "$program" | grep -o '/[^ ]*')
    if [[ ! -e /etc/ssl/certs/ca-certificates.crt ]]; then
        say_error "no certificate authorities in /etc/ssl/certs (apt install ca-certificates)"
        return 1
    fi
    install -D -m 0644 -- /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/ca-certificates.crt"
    echo "breakwater:x:$IMAGE_USER:$IMAGE_USER::/var/lib/breakwater:/" >"$tree/etc/passwd"
    echo "breakwater:x:$IMAGE_USER:" >"$tree/etc/group"
    mkdir -m 1777 "$tree/tmp"
    mkdir -p "$work/data"
    mkdir -m 0700 "$work/data/breakwater"
    find "$tree" "$work/data" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

    container=$(buildah from --format docker scratch)
    # shellcheck disable=SC2064 # the name as it is now
    trap "buildah rm '$container' >/dev/null; rm -rf -- '$work'" EXIT
    buildah copy --quiet "$container" "$tree/" / >/dev/null
    buildah copy --quiet --chown "$IMAGE_USER:$IMAGE_USER" "$container" "$work/data/" /var/lib/ >/dev/null
    buildah config --user "$IMAGE_USER:$IMAGE_USER" --workingdir / --port 5000 --volume /var/lib/breakwater \
        --env BREAKWATER_DATA=/var/lib/breakwater --env BREAKWATER_SERVER_LISTEN=0.0.0.0:5000 \
        --entrypoint '["/usr/bin/breakwater"]' --cmd serve --stop-signal SIGTERM \
        --healthcheck 'CMD /usr/bin/breakwater status' --healthcheck-interval 30s \
        --label org.opencontainers.image.title=breakwater --label org.opencontainers.image.version="$version" \
        --label org.opencontainers.image.licenses=Apache-2.0 "$container"
    rm -f -- "$file"
    # Docker's format, because that of OCI has no place for a health check.
    buildah commit --quiet --format docker --timestamp "$SOURCE_DATE_EPOCH" "$container" \
        "docker-archive:$file:breakwater:latest" >/dev/null
    echo "$file"
}
