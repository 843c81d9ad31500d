# shellcheck shell=bash
# Where an installation's files are, for scripts/install, scripts/uninstall and scripts/package.
# Sourced.

# stage_files PROGRAM PREFIX DIRECTORY: all that belongs to PROGRAM, below DIRECTORY as it will lie
# below /. The manual and the completions are what the program itself writes.
stage_files() {
    local program=$1 prefix=$2 directory=$3 unit
    install -D -m 0755 -- "$program" "$directory$prefix/bin/breakwater"
    for unit in "$ROOT"/systemd/*.{service,socket,timer}; do
        [[ -e $unit ]] || continue
        install -D -m 0644 -- "$unit" "$directory$prefix/lib/systemd/system/${unit##*/}"
        sed -i "s|=/usr/local/bin/breakwater|=$prefix/bin/breakwater|" "$directory$prefix/lib/systemd/system/${unit##*/}"
    done
    "$program" man --out "$directory$prefix/share/man"
    local bash=$prefix/share/bash-completion/completions zsh=$prefix/share/zsh/site-functions \
        fish=$prefix/share/fish/vendor_completions.d
    # Debian's own packages have a place of their own.
    [[ $prefix != /usr ]] || zsh=/usr/share/zsh/vendor-completions
    mkdir -p "$directory"{"$bash","$zsh","$fish"}
    "$program" completions bash >"$directory$bash/breakwater"
    "$program" completions zsh >"$directory$zsh/_breakwater"
    "$program" completions fish >"$directory$fish/breakwater.fish"
    install -D -m 0644 --target-directory "$directory$prefix/share/breakwater" -- \
        "$ROOT"/scripts/monitoring/{dashboard.json,alerts.yml}
    chmod -R u=rwX,go=rX "$directory"
}

# installed_files PREFIX: what stage_files of this or another version may have put there, one a line.
installed_files() {
    local destination=${DESTDIR-}
    compgen -G "$destination$1/bin/breakwater" || true
    compgen -G "$destination$1/lib/systemd/system/breakwater*.*" || true
    compgen -G "$destination$1/share/man/man1/breakwater.1" || true
    compgen -G "$destination$1/share/man/man1/breakwater-*.1" || true
    compgen -G "$destination$1/share/man/man5/breakwater.toml.5" || true
    compgen -G "$destination$1/share/man/man7/breakwater-*.7" || true
    compgen -G "$destination$1/share/breakwater/dashboard.json" || true
    compgen -G "$destination$1/share/breakwater/alerts.yml" || true
    compgen -G "$destination$1/share/bash-completion/completions/breakwater" || true
    compgen -G "$destination$1/share/zsh/site-functions/_breakwater" || true
    compgen -G "$destination$1/share/fish/vendor_completions.d/breakwater.fish" || true
}

# What the user is called who is made here, beside the name.
USER_COMMENT=Breakwater

# user_is_ours: whether the user breakwater was made by scripts/install or the package, and is nobody else.
user_is_ours() {
    [[ $(getent passwd breakwater) == *:$USER_COMMENT:/var/lib/breakwater:* ]]
}

# package_is_installed: whether what is below /usr belongs to dpkg, though it may have come halfway only.
package_is_installed() {
    case $(dpkg-query --show --showformat '${db:Status-Status}' breakwater 2>/dev/null) in
    '' | not-installed | config-files) return 1 ;;
    esac
}

# systemd_runs: whether there is a service to touch.
systemd_runs() {
    [[ -d /run/systemd/system ]]
}

# systemd_reads DIRECTORY: whether it looks for units there.
systemd_reads() {
    systemctl show --property=UnitPath --value | tr ' ' '\n' | grep -qxF -- "$1"
}
