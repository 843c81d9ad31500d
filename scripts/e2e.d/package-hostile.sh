# shellcheck shell=bash
# scripts/install and scripts/uninstall on machines that are not as expected: see flow-package.sh. Sourced.

package_hostile() {
    local install=$ROOT/scripts/install uninstall=$ROOT/scripts/uninstall
    hostile_rights
    hostile_port
    hostile_end
    hostile_data_elsewhere
    hostile_link
    hostile_without_backup
    hostile_by_hand
    check "scripts/uninstall --purge" machine "$uninstall" --purge
    hostile_user
}

hostile_rights() {
    local script
    for script in "$install" "$uninstall"; do
        check_fails "scripts/${script##*/} by somebody else than root" \
            machine setpriv --reuid 65534 --regid 65534 --clear-groups bash "$script" --prefix /usr/local
        check_contains "... says what it needs" "needs root" "$OUTPUT"
    done
    # shellcheck disable=SC2016 # expanded there
    check_fails "scripts/install while another one runs" \
        machine flock /run/breakwater-install.lock "$install" --binary "$THERE/breakwater"
    check_contains "... says so" "it runs already" "$OUTPUT"
    check_fails "scripts/install where systemd does not look for units" \
        machine "$install" --binary "$THERE/breakwater" --prefix /opt/breakwater
    check_contains "... says so" "systemd does not look for units in /opt/breakwater/lib/systemd/system" "$OUTPUT"
    check_fails "... and has installed nothing" machine sh -c "ls /usr/local/bin/breakwater || ls /opt/breakwater"
}

# Somebody else has the port.
hostile_port() {
    start other python3 -m http.server --bind 127.0.0.1 5000 --directory "$WORK/exchange"
    wait_for other curl -fs "http://$BOX/"
    check_fails "scripts/install where somebody else has the port" machine "$install" --binary "$THERE/breakwater"
    check_contains "... says which" "127.0.0.1:5000" "$OUTPUT"
    check_contains "... and why" "in use" "$OUTPUT"
    check_contains "... and what comes of it" "tried again" "$OUTPUT"
    stop other
    check "... and the service has it when it is free" package_eventually curl -fs "http://$BOX/-/readiness"
    package_check_no_gate
    package_use_hub
    package_check_serves "installed"
}

package_eventually() {
    local attempt
    for ((attempt = 0; attempt < 100; attempt++)); do
        ! "$@" || return 0
        sleep 0.2
    done
    return 1
}

# hostile_place TEXT EXPECTED DROPIN: what scripts/install takes for the data directory, of a service that is
# stopped and has these lines.
hostile_place() {
    machine mkdir -p /etc/systemd/system/breakwater.service.d
    machine sh -c "printf '[Service]\n%b\n' \"\$1\" >/etc/systemd/system/breakwater.service.d/place.conf; systemctl daemon-reload" sh "$3"
    # shellcheck disable=SC2016 # expanded there
    check_equal "the data directory by $1" "$2" "$(machine bash -c '
        say_error() { :; }
        source "$1/scripts/install.d/data.sh"
        data_directory /usr/local/bin/breakwater 2>/dev/null || echo refused' bash "$ROOT")"
}

hostile_data_elsewhere() {
    local begin='ExecStart=\nExecStart=/usr/local/bin/breakwater serve'
    # The running service knows better than what has been written since it began.
    machine sed -i 's|^#data = .*|"data" = "/srv/by # file" # a comment|' /etc/breakwater/breakwater.toml
    hostile_place "the running service" "$DATA" 'Environment=BREAKWATER_DATA=/srv/new'
    machine systemctl stop breakwater
    machine sh -c 'echo "data = \"/srv/other\"" >/etc/breakwater/other.toml; printf "# x\nBREAKWATER_DATA=\"/srv/by-environment-file\"\n" >/etc/default/breakwater'
    hostile_place "the configuration" "/srv/by # file" ''
    hostile_place "Environment=" /srv/by-environment 'Environment=A=b BREAKWATER_DATA=/srv/by-environment'
    hostile_place "EnvironmentFile=" /srv/by-environment-file 'EnvironmentFile=-/etc/default/breakwater\nEnvironment=BREAKWATER_DATA=/srv/x'
    hostile_place "BREAKWATER_CONFIG" /srv/other 'Environment=BREAKWATER_CONFIG=/etc/breakwater/other.toml'
    hostile_place "--data" /srv/by-option "$begin --listen 127.0.0.1:5000 --data /srv/by-option\nEnvironment=BREAKWATER_DATA=/srv/x"
    hostile_place "--config=" /srv/other "$begin --config=/etc/breakwater/other.toml"
    hostile_place "an environment with blanks" refused 'Environment="BREAKWATER_DATA=/srv/by environment"'
    hostile_place "an option with blanks" refused "$begin --data \"/srv/by option\""
    hostile_place "an option with a variable" refused "$begin --data \${PLACE}"
    hostile_place "a shell" refused "ExecStart=\nExecStart=/bin/sh -c 'exec breakwater serve --data \"/srv/by shell\"'"
    hostile_place "a configuration that is none" refused 'Environment=BREAKWATER_CONFIG=/etc/hostname'

    check_fails "scripts/install where that is not known" machine "$install" --binary "$THERE/breakwater"
    check_contains "... says so" "it is not known what has to be saved, so nothing was changed" "$OUTPUT"
    check_fails "scripts/uninstall --purge there" machine "$uninstall" --purge
    check_contains "... says so" "it is not known what has to be removed" "$OUTPUT"
    check "... and nothing is removed" machine test -s "$DATA/access.sqlite" -a -x /usr/local/bin/breakwater
    machine sh -c 'rm -r /etc/systemd/system/breakwater.service.d /etc/breakwater/other.toml /etc/default/breakwater; systemctl daemon-reload'
    machine sed -i 's|^"data" = .*|#data = "/var/lib/breakwater"|' /etc/breakwater/breakwater.toml
}

# The data lie on another disk, and a symbolic link leads there.
hostile_link() {
    local set
    machine sh -euc "mv $DATA /srv/real; ln -s /srv/real $DATA"
    check_fails "scripts/install where a symbolic link has the place of the unit's StateDirectory" \
        machine "$install" --binary "$THERE/breakwater"
    check_contains "... says what systemd refuses" "$DATA is a symbolic link" "$OUTPUT"
    check "the README's lines for data elsewhere" hostile_move
    package_check_serves "moved"
    check "a user is added" machine breakwater user add linked --service
    check "scripts/install there" machine "$install" --binary "$THERE/breakwater"
    package_check_serves "upgraded"
    set=$(package_sets | tail -n 1)
    check "... saves the databases" machine test -s "$set/databases/access.sqlite" -a -s "$set/databases/cache.sqlite"
    machine sed 's|/var/lib/breakwater|/srv/breakwater|' "$THERE/broken" >"$WORK/exchange/broken-there"
    chmod 0755 "$WORK/exchange/broken-there"
    check_fails "an upgrade there that does not serve" machine "$install" --binary "$THERE/broken-there"
    check_contains "... is put back" "is in its place again, and so are the databases" "$OUTPUT"
    package_check_serves "put back"
    package_check_user "... with its users" linked 1
    check "... and the link" machine test -L /srv/breakwater
}

# The recipe's place is a link here, too: the disk has another name.
hostile_move() {
    machine rm "$DATA"
    machine ln -s /srv/real /srv/breakwater
    machine sed -i -e 's|/var/lib/breakwater|/srv/breakwater|' -e '1i data = "/srv/breakwater"' /etc/breakwater/breakwater.toml
    machine mkdir -p /etc/systemd/system/breakwater.service.d
    recipe data-elsewhere >"$WORK/exchange/elsewhere.conf"
    machine cp "$THERE/elsewhere.conf" /etc/systemd/system/breakwater.service.d/
    machine sh -c 'systemctl daemon-reload; systemctl restart breakwater'
}

# Killed while the service is held, and stopped there.
hostile_end() {
    local signal
    package_hold_ports
    for signal in KILL TERM; do
        load_begin
        # shellcheck disable=SC2016 # expanded there
        check_fails "scripts/install, ended by SIG$signal while the service is held" package_exit_status machine bash -c '
            "$1" --binary "$2" & while [[ ! -e /run/breakwater-upgrade/gate ]]; do sleep 0.01; done
            kill "-$3" $! && wait $!' bash "$install" "$THERE/breakwater" "$signal"
        load_end
        package_check_serves "ended by SIG$signal"
        check "... and the program is whole" machine cmp "$THERE/breakwater" /usr/local/bin/breakwater
    done
    check "scripts/install after it" machine "$install" --binary "$THERE/breakwater"
    package_check_no_gate
    package_free_ports
}

# A server that somebody has started by hand, where there is a service.
hostile_by_hand() {
    machine systemctl stop breakwater.socket breakwater-tls.socket breakwater
    start by-hand machine breakwater serve --data /srv/breakwater
    wait_for by-hand curl -fs "http://$BOX/-/readiness"
    check_fails "scripts/install under a server that is not the service" machine "$install" --binary "$THERE/breakwater"
    check_contains "... says so" "a server still runs on /srv/real, and is not the service" "$OUTPUT"
    check_fails "scripts/uninstall --purge under it" machine "$uninstall" --purge
    check_contains "... says so, too" "a server still runs on /srv/real, and is not the service" "$OUTPUT"
    check "... and the server goes on" curl -fs "http://$BOX/-/readiness"
    machine pkill -TERM -x breakwater
    stop by-hand
}

hostile_without_backup() {
    local count
    count=$(package_sets | wc -l)
    check "scripts/install --without-backup" machine "$install" --without-backup --binary "$THERE/breakwater"
    check_equal "... saves nothing" "$count" "$(package_sets | wc -l)"
    package_check_no_gate
    package_check_serves "upgraded"
    check_fails "scripts/install --without-backup to a program whose server does not start" \
        machine "$install" --without-backup --binary "$THERE/broken"
    check_contains "... says that nothing is put back" "nothing was saved, so nothing is put back" "$OUTPUT"
    package_check_no_gate
    check "the way back from it, to the newest set" \
        machine "$install" --without-backup --back-to "$(package_sets | tail -n 1)"
    package_check_serves "gone back"
    package_check_user "... with its users" linked 1
}

# There is somebody of that name already.
hostile_user() {
    check_equal "... leaves no data" "" "$(machine find /srv/real "$DATA" 2>/dev/null)"
    machine rm /srv/breakwater
    machine rm -r /etc/systemd/system/breakwater.service.d
    machine useradd --create-home --no-user-group --gid users --shell /bin/bash breakwater
    check "scripts/install where there is a user breakwater, without a group" machine "$install" --binary "$THERE/breakwater"
    package_use_hub
    package_check_serves "installed"
    check "scripts/uninstall --purge" machine "$uninstall" --purge
    check_contains "... keeps that user" "kept the user breakwater, who was there before" "$OUTPUT"
    check "... and its home" machine sh -c 'getent passwd breakwater && test -d /home/breakwater'
    machine sh -c 'userdel --remove breakwater; groupdel breakwater 2>/dev/null; ! getent group breakwater'
}
