# shellcheck shell=bash
# scripts/install and scripts/uninstall on a machine: see flow-package.sh. Sourced.

package_by_script() {
    local install=$ROOT/scripts/install uninstall=$ROOT/scripts/uninstall set process
    check_equal "the README's command" "scripts/install" "$(recipe install)"
    check "scripts/install on a new machine" machine "$install" --binary "$THERE/breakwater"
    check "... enables the service" machine systemctl --quiet is-enabled breakwater
    package_use_hub
    package_check_serves "installed"
    check_equal "... as a user of its own, who alone may read the data" "breakwater 700 breakwater" \
        "$(machine sh -c "stat -c '%U %a' $DATA; ps -o user= -p \$(systemctl show -P MainPID breakwater)" | xargs)"
    check "... with a manual that man can show" machine man --warnings breakwater-token-create
    check_contains "... which has its examples" "EXAMPLES" "$OUTPUT"

    check "a user is added" machine breakwater user add early --service
    process=$(machine systemctl show -P MainPID breakwater)
    package_hold_ports
    load_begin
    check "scripts/install again" machine "$install" --binary "$THERE/breakwater"
    load_end
    package_check_no_gate
    check_lacks "... restarts the service" "$process" "$(machine systemctl show -P MainPID breakwater)"
    package_check_serves "upgraded"
    set=$(package_sets)
    check_equal "... and has saved a set, which root alone can read" "700 600" \
        "$(machine stat -c %a "$set" "$set/access.sqlite" | xargs)"
    check "... with program, unit and databases" machine ls "$set/files/usr/local/bin/breakwater" \
        "$set/files/usr/local/lib/systemd/system/breakwater.service" "$set/databases/access.sqlite" "$set/databases/cache.sqlite"

    load_begin
    package_broken_upgrade
    load_end
    package_check_no_gate
    package_free_ports
    check "a user is added after the upgrade" machine breakwater user add late --service
    check "scripts/install --back-to that set" machine "$install" --back-to "$set"
    package_check_serves "gone back"
    package_check_user "... to the databases of that time" late 0
    package_check_user "... and no older ones" early 1
    for _ in 1 2; do
        check "one more upgrade" machine "$install" --binary "$THERE/breakwater"
    done
    check_equal "... and no more than three sets are kept" 3 "$(package_sets | wc -l)"

    machine systemctl stop breakwater
    check "scripts/install while the service is stopped" machine "$install" --binary "$THERE/breakwater"
    check_fails "... leaves it stopped" machine systemctl --quiet is-active breakwater

    check "scripts/uninstall" machine "$uninstall"
    check_contains "... names what it keeps" "kept $DATA" "$OUTPUT"
    check_fails "... and nothing else is left" machine sh -c \
        'find /usr/local /etc/systemd -name "*breakwater*" | grep . || systemctl cat breakwater'
    check "scripts/uninstall again" machine "$uninstall"
    check "scripts/install after it" machine "$install" --binary "$THERE/breakwater"
    package_check_user "... finds the data again" early 1
    package_check_serves "... and the configuration"
    check "scripts/uninstall --purge" machine "$uninstall" --purge
    check_equal "... leaves nothing" "" "$(machine sh -c \
        'find /usr/local /etc /var/lib/breakwater /var/backups -name "*breakwater*" 2>/dev/null; getent passwd breakwater')"
    check "scripts/uninstall --purge again" machine "$uninstall" --purge

    check "scripts/install where systemd does not run" package_without_systemd "$install" --binary "$THERE/breakwater"
    check_contains "... says what it left out" "systemd does not run here" "$OUTPUT"
    check "... and has installed the program" machine breakwater --version
    check_fails "... which it does not replace under a server that it cannot stop" package_under_a_server
    check_contains "... and says so" "a server still runs on $DATA" "$OUTPUT"
    check "scripts/uninstall --purge there" package_without_systemd "$uninstall" --purge
}

package_without_systemd() {
    machine unshare --mount -- sh -c 'mount -n -t tmpfs tmpfs /run && exec "$@"' sh "$@"
}

# A server that somebody has started by hand.
package_under_a_server() {
    local status=0
    machine breakwater init >/dev/null
    start by-hand machine breakwater serve
    wait_for by-hand curl -fs "http://$BOX/-/readiness"
    package_without_systemd "$ROOT/scripts/install" --binary "$THERE/breakwater" || status=$?
    curl -fs "http://$BOX/-/readiness" || status=0
    machine pkill -TERM -x breakwater
    stop by-hand
    return "$status"
}

package_broken_upgrade() {
    check_fails "an upgrade to a program whose server does not start" \
        machine "$ROOT/scripts/install" --binary "$THERE/broken"
    check_contains "... says so" "does not become ready" "$OUTPUT"
    check_contains "... and what it did about it" "is in its place again" "$OUTPUT"
    check "... whose manual and all is as before" machine sh -c "cd $set/files && find . -type f | while read -r file; do cmp \"\$file\" \"/\$file\" || exit 1; done"
    check "... and the old program is in its place" machine cmp "$THERE/breakwater" /usr/local/bin/breakwater
    package_check_serves "... which can read its databases"
    package_check_user "... with all that is in them" early 1
}
