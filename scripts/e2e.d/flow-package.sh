# shellcheck shell=bash
# scripts/install, scripts/uninstall and scripts/package on a machine with systemd: what is installed
# serves, an upgrade keeps everything, one that fails is taken back, and removing loses no data.
# Sourced.

# Where programs and packages are there.
readonly THERE=/mnt
readonly DATA=/var/lib/breakwater

flow_package() {
    machine_start
    cp -- "$BINARY" "$WORK/exchange/breakwater"
    package_make_broken_program
    package_by_script
    package_by_dpkg
}

# A program that tells its version and writes its manual, but whose server brings the databases to a
# version that no other knows, and then ends.
package_make_broken_program() {
    cat >"$WORK/exchange/broken" <<'PROGRAM'
#!/usr/bin/python3
import glob, os, sqlite3, sys
if sys.argv[1] != "serve":
    os.execv("/mnt/breakwater", sys.argv)
for path in glob.glob("/var/lib/breakwater/*.sqlite"):
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 999")
    database.close()
sys.exit(1)
PROGRAM
    chmod 0755 "$WORK/exchange/broken"
}

# package_check_serves TEXT: whether the service runs, and an image comes through it.
package_check_serves() {
    check "$1: the service runs" machine systemctl --quiet is-active breakwater
    check "... and serves an image" \
        skopeo copy --quiet --src-tls-verify=false "docker://$BOX/library/small:latest" "dir:$WORK/served"
    rm -rf "$WORK/served"
}

# package_load_begin: connection after connection, none of which may be refused, until package_load_end.
package_load_begin() {
    : >"$WORK/load"
    # shellcheck disable=SC2016 # the other shell expands them
    start load bash -c 'while [[ -e $1 ]]; do
        curl --silent --show-error --fail --max-time 30 --output /dev/null "http://$2/-/liveness" &&
            echo answered || echo failed
    done' load "$WORK/load" "$BOX"
    sleep 0.5
}

package_load_end() {
    rm "$WORK/load"
    wait "${PIDS[load]}" || true
    unset "PIDS[load]"
    echo "     $(grep -c answered "$WORK/log/load.log") connections were answered meanwhile"
    check "... connections were answered before and after" grep -q answered "$WORK/log/load.log"
    check_lacks "... and none was refused or failed" failed "$(cat "$WORK/log/load.log")"
}

# package_use_hub: the configuration names the run's own Docker Hub, and is so changed by the
# administrator.
package_use_hub() {
    machine sed -i "s|^#url = .*|url = \"http://$HUB\"|" /etc/breakwater/breakwater.toml
    machine systemctl restart breakwater
}

# package_check_user TEXT NAME COUNT: whether the store knows that user.
package_check_user() {
    check_equal "$1" "$3" "$(machine breakwater user list --json | jq --arg name "$2" 'map(select(.username == $name)) | length')"
}

package_sets() {
    machine find /var/backups/breakwater -mindepth 1 -maxdepth 1 -type d | sort
}

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
    check "systemd holds the port" machine sh -c \
        "systemctl stop breakwater && systemctl --quiet enable --now breakwater.socket && systemctl start breakwater"
    package_load_begin
    check "scripts/install again" machine "$install" --binary "$THERE/breakwater"
    package_load_end
    check_lacks "... restarts the service" "$process" "$(machine systemctl show -P MainPID breakwater)"
    package_check_serves "upgraded"
    set=$(package_sets)
    check_equal "... and has saved a set, which root alone can read" "700 600" \
        "$(machine stat -c %a "$set" "$set/access.sqlite" | xargs)"
    check "the service holds the port again" machine sh -c \
        "systemctl --quiet disable --now breakwater.socket; systemctl restart breakwater"
    check "... with program, unit and databases" machine ls "$set/files/usr/local/bin/breakwater" \
        "$set/files/usr/local/lib/systemd/system/breakwater.service" "$set/databases/access.sqlite" "$set/databases/cache.sqlite"

    package_broken_upgrade
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

# package_build REVISION: as the administrator does, in the exchange directory; larger, but soon.
package_build() {
    DPKG_DEB_COMPRESSOR_TYPE=gzip "$ROOT/scripts/package" --binary "$BINARY" --out "$WORK/exchange" --revision "$1"
}

package_by_dpkg() {
    local first second third process set
    check_equal "the README's commands" "scripts/package"$'\n'"sudo apt install ./target/debian/breakwater_*.deb" "$(recipe package)"
    check "scripts/package" package_build 1
    first=${OUTPUT##*/}
    cp -- "$WORK/exchange/$first" "$WORK/first.deb"
    check "... makes the same package again" package_build 1
    check "... bit by bit" cmp "$WORK/exchange/$first" "$WORK/first.deb"
    check "scripts/package --revision 2" package_build 2
    second=${OUTPUT##*/}
    third=$(package_break "$second")
    if command -v lintian >/dev/null; then
        check "lintian finds no error in it" lintian --allow-root --fail-on error "$WORK/exchange/$second"
    else
        echo "lintian is not installed: left out"
    fi

    check "apt install on a new machine" machine apt-get --quiet --yes install "$THERE/$first"
    check "... enables the service" machine systemctl --quiet is-enabled breakwater
    package_use_hub
    package_check_serves "installed"
    # shellcheck disable=SC2016 # expanded there
    check_equal "... by the packaged program, whose configuration others cannot read" \
        "/usr/bin/breakwater 640 root breakwater" "$(machine sh -c \
            'readlink /proc/$(systemctl show -P MainPID breakwater)/exe; stat -c "%a %U %G" /etc/breakwater/breakwater.toml' | xargs)"
    check "... with a manual" machine man --warnings breakwater-serve
    check "... and completions that bash can read" machine bash -n /usr/share/bash-completion/completions/breakwater
    if command -v zsh >/dev/null; then
        check "... and zsh" machine zsh -n /usr/share/zsh/vendor-completions/_breakwater
    fi
    if command -v fish >/dev/null; then
        check "... and fish" machine fish --no-execute /usr/share/fish/vendor_completions.d/breakwater.fish
    fi
    check_fails "... which scripts/install leaves alone" machine "$ROOT/scripts/install" --binary "$THERE/breakwater"

    check "a user is added" machine breakwater user add early --service
    process=$(machine systemctl show -P MainPID breakwater)
    hub_stop
    check "apt install of a higher version" machine apt-get --quiet --yes install "$THERE/$second"
    check_lacks "... restarts the service" "$process" "$(machine systemctl show -P MainPID breakwater)"
    package_check_serves "upgraded, with the upstream down"
    package_check_user "... with its users" early 1
    hub_start
    set=$(package_sets)
    check_equal "... and has saved a set, which root alone can read" "700 600" \
        "$(machine stat -c %a "$set" "$set/access.sqlite" | xargs)"

    check "apt install of a version whose server does not start" machine apt-get --quiet --yes install "$THERE/$third"
    check_contains "... says so, and how to go back" "to go back: " "$OUTPUT"
    check_fails "... and nothing serves" curl -fs "http://$BOX/-/readiness"
    set=$(package_sets | tail -n 1)
    check "the way back, as the README has it" package_go_back "$set" "$THERE/$second"
    package_check_serves "gone back"
    package_check_user "... with its users" early 1

    check "apt remove" machine apt-get --quiet --yes remove breakwater
    check_fails "... stops the service" curl -fs "http://$BOX/-/readiness"
    check "... keeps data and configuration" machine test -s "$DATA/access.sqlite" -a -s /etc/breakwater/breakwater.toml
    check "apt install after it" machine apt-get --quiet --yes install "$THERE/$second"
    package_check_serves "installed again, with its configuration"
    package_check_user "... and its users" early 1
    check "apt purge" machine apt-get --quiet --yes purge breakwater
    check_contains "... names the data that it keeps" "kept $DATA" "$OUTPUT"
    check "... keeps them" machine test -s "$DATA/access.sqlite"
    check_equal "... and nothing else" "" "$(machine sh -c 'find /etc /usr/bin /usr/lib/systemd /usr/share/man -name "*breakwater*"')"
}

# package_break PACKAGE: the same with revision 3 and the program that does not serve; prints its name.
package_break() {
    local tree=$WORK/broken-package name=${1/-2_/-3_}
    dpkg-deb --raw-extract "$WORK/exchange/$1" "$tree"
    sed -i 's/^\(Version: .*\)-2$/\1-3/' "$tree/DEBIAN/control"
    sed -i 's/le "\(.*\)-2"/le "\1-3"/' "$tree/DEBIAN/preinst"
    cp -- "$WORK/exchange/broken" "$tree/usr/bin/breakwater"
    dpkg-deb -Zgzip --root-owner-group --build "$tree" "$WORK/exchange/$name" >/dev/null
    rm -rf "$tree"
    echo "$name"
}

# package_go_back SET PACKAGE: the README's recipe.
package_go_back() {
    local script
    script=$(recipe package-back) || return 1
    machine env SET="$1" PREVIOUS="$2" sh -euxc "$script"
}
