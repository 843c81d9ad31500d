# shellcheck shell=bash
# scripts/install into a directory, its unit, and the first run of a newcomer. Sourced.

flow_install() {
    local destination=$WORK/destination unit
    check_equal "the README's command" "scripts/install" "$(recipe install)"
    check "scripts/install into DESTDIR" env DESTDIR="$destination" "$ROOT/scripts/install" --binary "$BINARY"
    check "scripts/install a second time" env DESTDIR="$destination" "$ROOT/scripts/install" --binary "$BINARY"
    check_equal "what it installs, beside a page of the manual for each command and topic" "$(printf '%s\n' \
        "/etc/breakwater/breakwater.toml 640" \
        "/etc/breakwater/warm.list 640" \
        "/usr/local/bin/breakwater 755" \
        "/usr/local/lib/systemd/system/breakwater-backup.service 644" \
        "/usr/local/lib/systemd/system/breakwater-backup.timer 644" \
        "/usr/local/lib/systemd/system/breakwater-warm.service 644" \
        "/usr/local/lib/systemd/system/breakwater-warm.timer 644" \
        "/usr/local/lib/systemd/system/breakwater.service 644" \
        "/usr/local/share/bash-completion/completions/breakwater 644" \
        "/usr/local/share/breakwater/alerts.yml 644" \
        "/usr/local/share/breakwater/dashboard.json 644" \
        "/usr/local/share/fish/vendor_completions.d/breakwater.fish 644" \
        "/usr/local/share/man/man1/breakwater.1 644" \
        "/usr/local/share/man/man5/breakwater.toml.5 644" \
        "/usr/local/share/zsh/site-functions/_breakwater 644")" \
        "$(cd "$destination" && find . -type f ! -name 'breakwater-*.[17]' ! -name '*.socket' -printf '/%P %m\n' | sort)"

    echo '# changed by the administrator' >"$destination/etc/breakwater/breakwater.toml"
    check "scripts/install over a changed configuration" \
        env DESTDIR="$destination" "$ROOT/scripts/install" --binary "$BINARY"
    check_equal "... keeps it" '# changed by the administrator' "$(cat "$destination/etc/breakwater/breakwater.toml")"

    unit=$destination/usr/local/lib/systemd/system/breakwater.service
    check "systemd-analyze verify of services, sockets and timer" install_verify_units "${unit%/*}"
    # Its scale goes from 0, the best, to 100.
    check "systemd-analyze security --threshold=20" \
        systemd-analyze security --offline=true --threshold=20 --no-pager "$unit"
    # shellcheck disable=SC2153 # set by check
    tail -n 1 <<<"$OUTPUT"

    check "scripts/uninstall below DESTDIR" env DESTDIR="$destination" "$ROOT/scripts/uninstall"
    check_equal "... leaves the configuration alone" "$(printf '%s\n' /etc/breakwater/breakwater.toml /etc/breakwater/warm.list)" \
        "$(cd "$destination" && find . -type f -printf '/%P\n' | sort)"

    install_default_configuration
    install_first_run
    install_root_makes_home
    rm -rf "$destination"
}

# What doctor advises where there is no store: by root, on a machine that has the service's account.
install_root_makes_home() {
    local home=$WORK/service
    { cat /etc/passwd && echo "breakwater:x:61234:61234::$home:/usr/sbin/nologin"; } >"$WORK/passwd"
    mount --bind "$WORK/passwd" /etc/passwd
    check_fails "doctor finds no store" breakwater doctor --data "$home"
    check_contains "... and says how one is made" "breakwater init" "$OUTPUT"
    check "root makes it" breakwater init --data "$home"
    check_equal "... for the account whose home it is" "61234:61234 700" "$(stat -c '%u:%g %a' "$home")"
    check_equal "... with all that is in it" "" "$(find "$home" ! -uid 61234)"
    umount /etc/passwd
}

# The unit names a binary that is not in its place on this machine.
install_verify_units() {
    local output
    mkdir -p "$WORK/units"
    cp -- "$1"/breakwater*.* "$WORK/units"
    sed -i "s|^ExecStart=/usr/local/bin/breakwater|ExecStart=$BINARY|" "$WORK"/units/*.service
    output=$(systemd-analyze verify "$WORK"/units/* 2>&1) || {
        echo "$output"
        return 1
    }
    # Warnings end with status 0, and about other units are not ours.
    if grep -F breakwater <<<"$output"; then
        return 1
    fi
}

# The file that is installed is all comments. Without them it must still be a valid
# configuration: that proves each key and each default in it.
install_default_configuration() {
    mkdir -p "$WORK/uncommented"
    sed -E 's/^#([a-z_]+ = )/\1/' "$ROOT/scripts/breakwater.toml" |
        sed "s|^data = .*|data = \"$WORK/uncommented/data\"|" >"$WORK/uncommented/breakwater.toml"
    start uncommented breakwater serve --config "$WORK/uncommented/breakwater.toml"
    wait_for uncommented curl -fs "http://$BOX/-/readiness"
    pass "the installed configuration, all comments taken away, is valid"
    stop uncommented
}

# README: one command, no configuration. Only the upstream's address differs here.
install_first_run() {
    local command
    command=$(recipe first-run)
    check_equal "the README's first run" "cargo run --release -- serve" "$command"
    mkdir -p "$WORK/first"
    start first env -C "$WORK/first" -u BREAKWATER_DATA "BREAKWATER_UPSTREAMS_DOCKER_IO_URL=http://$HUB" breakwater serve
    wait_for first curl -fs "http://$BOX/-/readiness"
    check "the first run, without a configuration file, makes the store below ./breakwater-data" \
        test -s "$WORK/first/breakwater-data/access.sqlite" -a -s "$WORK/first/breakwater-data/initial_root_password"
    check_equal "... which is nobody else's to read" "700 600" \
        "$(stat -c %a "$WORK/first/breakwater-data" "$WORK/first/breakwater-data/initial_root_password" | xargs)"
    check "... and serves as a mirror" \
        skopeo copy --quiet --src-tls-verify=false "docker://$BOX/library/small:latest" "dir:$WORK/first/small"
    stop first
    check_equal "... and ends with 0 on SIGTERM" 0 "$STOPPED"
    rm -rf "$WORK/first"
}
