# shellcheck shell=bash
# The package of scripts/package on a machine: see flow-package.sh. Sourced.

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
    third=$(package_variant 3 cp -- "$WORK/exchange/broken" usr/bin/breakwater)
    if command -v lintian >/dev/null; then
        check "lintian finds nothing in it" lintian --allow-root --fail-on error,warning "$WORK/exchange/$second"
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
    # shellcheck disable=SC2016  # the variable is that of the shell in the container
    check_equal "... whose topics man can show without a warning" "" "$(machine sh -c \
        'for page in /usr/share/man/man[57]/breakwater*; do man --warnings --local-file "$page" 2>&1 >/dev/null; done')"
    check_contains "... and the program too" "Tokens" "$(machine breakwater help tokens)"
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

    package_hold_ports
    package_upgrades_under_load "$first" "$second" "$third"
    package_failing_upgrades "$second"

    check "apt remove" machine apt-get --quiet --yes remove breakwater
    check_fails "... stops the service" curl -fs "http://$BOX/-/readiness"
    check "... keeps data and configuration" machine test -s "$DATA/access.sqlite" -a -s /etc/breakwater/breakwater.toml
    check "apt install after it" machine apt-get --quiet --yes install "$THERE/$second"
    check "... starts what was enabled" machine systemctl is-active breakwater.socket breakwater-tls.socket breakwater.service
    check_lacks "... all of it" inactive "$OUTPUT"
    package_check_serves "installed again, with its configuration"
    package_check_user "... and its users" early 1
    check "apt purge" machine apt-get --quiet --yes purge breakwater
    check_contains "... names the data that it keeps" "kept $DATA" "$OUTPUT"
    check "... keeps them" machine test -s "$DATA/access.sqlite"
    check_equal "... and nothing else" "" "$(machine sh -c 'find /etc /usr/bin /usr/lib/systemd /usr/share/man -name "*breakwater*"')"
}

# package_variant REVISION COMMAND...: the second package as that revision, after the command has run in its
# tree; prints its name.
package_variant() {
    local tree=$WORK/variant revision=$1 name=${second/-2_/-$1_}
    shift
    dpkg-deb --raw-extract "$WORK/exchange/$second" "$tree"
    sed -i "s/^\(Version: .*\)-2\$/\1-$revision/" "$tree/DEBIAN/control"
    sed -i "s/gt \"\(.*\)-2\"/gt \"\1-$revision\"/" "$tree/DEBIAN/preinst"
    (cd "$tree" && "$@")
    dpkg-deb -Zgzip --root-owner-group --build "$tree" "$WORK/exchange/$name" >/dev/null
    rm -rf "$tree"
    echo "$name"
}

# package_check_version TEXT PACKAGE: whether dpkg has that one, whole.
package_check_version() {
    local version=${2#*_}
    # shellcheck disable=SC2016 # dpkg-query expands them
    check_equal "$1" "ii  ${version%_*}" "$(machine dpkg-query --show --showformat '${db:Status-Abbrev} ${Version}' breakwater)"
}

# package_upgrades_under_load FIRST SECOND BROKEN: the second is installed, and sockets hold the ports.
package_upgrades_under_load() {
    local first=$1 second=$2 third=$3 set
    check "a user is added after the upgrade" machine breakwater user add late --service
    set=$(package_sets | head -n 1)
    load_begin
    check "the way back, as the README has it" package_go_back "$set" "$THERE/$first"
    load_end
    package_check_no_gate
    package_check_version "... dpkg has the first version again" "$first"
    package_check_serves "gone back"
    package_check_user "... to the databases of that time" late 0
    package_check_user "... and no older ones" early 1

    load_begin
    check "apt install of a higher version under load" machine apt-get --quiet --yes install "$THERE/$second"
    load_end
    package_check_no_gate
    package_check_serves "upgraded"
    package_check_version "... by the second version" "$second"

    load_begin
    check_fails "apt install of a version whose server does not start" machine apt-get --quiet --yes install "$THERE/$third"
    check_contains "... says so, and what it did about it" "everything is put back as it was before" "$OUTPUT"
    load_end
    package_check_no_gate
    package_check_version "... dpkg has the second version" "$second"
    check "... whose program is in its place" machine cmp "$THERE/breakwater" /usr/bin/breakwater
    package_check_serves "... and can read its databases"
    package_check_user "... with all that is in them" early 1

    load_begin
    check "dpkg -i of the lower version" machine dpkg -i "$THERE/$first"
    load_end
    package_check_serves "... which can read the databases"
    load_begin
    check "WITHOUT_BACKUP=1 dpkg -i of the higher one" machine env WITHOUT_BACKUP=1 dpkg -i "$THERE/$second"
    load_end
    package_check_no_gate
    package_check_serves "upgraded"
}

# package_failing_upgrades SECOND: that one is installed, and sockets hold the ports.
package_failing_upgrades() {
    local second=$1 process count package
    package=$(package_variant 4 sed -i '2i exit 1' DEBIAN/postinst)
    load_begin
    check_fails "apt install of a version whose postinst fails" machine apt-get --quiet --yes install "$THERE/$package"
    load_end
    package_check_serves "... whose service runs all the same"
    check_fails "... and which scripts/install leaves alone" machine "$ROOT/scripts/install" --binary "$THERE/breakwater"
    check_contains "... for that reason" "Debian's package breakwater is installed" "$OUTPUT"
    check "... dpkg -i of one that does not" machine dpkg -i "$THERE/$second"
    package_check_no_gate
    package_check_version "... makes all well" "$second"

    package=$(package_variant 5 rm usr/share/doc/breakwater/copyright)
    count=$(package_sets | wc -l)
    process=$(machine systemctl show -P MainPID breakwater)
    machine mount -t tmpfs -o size=256k tmpfs /var/backups
    load_begin
    check_fails "apt install where there is no room for the set" machine apt-get --quiet --yes install "$THERE/$package"
    check_contains "... says so" "cannot be backed up, so nothing was changed" "$OUTPUT"
    check_equal "... and has not touched the service" "$process" "$(machine systemctl show -P MainPID breakwater)"
    # Room for the program and the backup, but not for all databases.
    machine mount -o remount,size=64m /var/backups
    machine sh -c "head -c 80000000 /dev/zero >$DATA/large.sqlite"
    check_fails "apt install where there is no room for the databases" machine apt-get --quiet --yes install "$THERE/$package"
    load_end
    check_equal "... leaves no half a set" 0 "$(package_sets | wc -l)"
    machine sh -c "umount /var/backups; rm $DATA/large.sqlite"
    package_check_no_gate
    package_check_version "... and the second version" "$second"
    package_check_serves "... which runs"
    check_equal "... with its sets" "$count" "$(package_sets | wc -l)"

    # shellcheck disable=SC2016 # expanded there
    package=$(package_variant 6 sh -c 'echo "kill -KILL \$PPID" >>DEBIAN/preinst')
    load_begin
    check_fails "dpkg -i, killed while the service is held" package_exit_status machine dpkg -i "$THERE/$package"
    load_end
    package_check_serves "... which runs again by itself"
    check "dpkg --configure -a" machine dpkg --configure -a
    check "dpkg -i after it" machine dpkg -i "$THERE/$second"
    package_check_no_gate
    package_check_version "... makes all well" "$second"
    package_check_serves "... and the service runs"
}

# package_exit_status COMMAND...: 1 for every failure, also one by a signal.
package_exit_status() {
    "$@" || return 1
}

# package_go_back SET PACKAGE: the README's recipe.
package_go_back() {
    local script
    script=$(recipe package-back) || return 1
    machine env SET="$1" PREVIOUS="$2" sh -euxc "$script"
}
