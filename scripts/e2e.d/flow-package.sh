# shellcheck shell=bash
# scripts/install, scripts/uninstall and scripts/package on a machine with systemd: what is installed
# serves, an upgrade keeps everything, one that fails is taken back, and removing loses no data.
# Sourced.

# shellcheck disable=SC2153 # set by run.sh
# shellcheck source=scripts/e2e.d/package-load.sh
source "$HERE/package-load.sh"
# shellcheck source=scripts/e2e.d/package-script.sh
source "$HERE/package-script.sh"
# shellcheck source=scripts/e2e.d/package-hostile.sh
source "$HERE/package-hostile.sh"
# shellcheck source=scripts/e2e.d/package-dpkg.sh
source "$HERE/package-dpkg.sh"

# Where programs and packages are there.
readonly THERE=/mnt
readonly DATA=/var/lib/breakwater

flow_package() {
    machine_start
    cp -- "$BINARY" "$WORK/exchange/breakwater"
    package_make_broken_program
    package_by_script
    package_hostile
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

# package_check_no_gate: whether the upgrade has left nothing that could hold the service.
package_check_no_gate() {
    check_equal "... and no gate is left" "" \
        "$(machine sh -c 'find /run/breakwater-upgrade /run/systemd/system/breakwater.service.d 2>/dev/null')"
}

# package_hold_ports: TLS by an authority of the box, and both ports held by systemd, as the README has it.
package_hold_ports() {
    check "a certificate for TLS" machine breakwater tls self-signed --name localhost
    machine sed -i "s|^#certificate = .*|certificate = \"$DATA/tls/server.crt\"|; s|^#key = .*|key = \"$DATA/tls/server.key\"|; s|^#listen = \[\]|listen = [\"127.0.0.1:5443\"]|" \
        /etc/breakwater/breakwater.toml
    check "systemd holds the ports" machine sh -euc "$(recipe sockets)"
    check "a large image is cached" load_prepare
}

# package_free_ports: the service has them itself again.
package_free_ports() {
    check "the service holds the ports again" machine sh -c \
        "systemctl --quiet disable --now breakwater.socket breakwater-tls.socket; systemctl restart breakwater"
}

package_sets() {
    machine find /var/backups/breakwater -mindepth 1 -maxdepth 1 -type d | sort
}
