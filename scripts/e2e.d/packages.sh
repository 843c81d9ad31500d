# shellcheck shell=bash
# Installs Debian packages for commands that are missing, and Python packages into a directory of
# their own. Sourced.

# install_packages COMMAND:PACKAGE...
# A command that is there already is left as it is, whoever installed it. Installing
# never removes a package: a machine with Docker's own packages keeps them.
install_packages() {
    local pair missing=()
    for pair in "$@"; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    if ! ((${#missing[@]})); then
        echo "all there"
        return
    fi
    local log
    log=$(mktemp)
    echo "apt-get install ${missing[*]}"
    if ! {
        apt-get -qq -o DPkg::Lock::Timeout=300 update &&
            DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
                --no-install-recommends --no-remove install "${missing[@]}"
    } >"$log" 2>&1 </dev/null; then
        tail -n 30 "$log" >&2
        rm -f "$log"
        echo "${0##*/}: installing ${missing[*]} failed (see above)" >&2
        return 1
    fi
    rm -f "$log"
}

# install_python_packages PYTHON REQUIREMENT...: makes the virtual environment whose interpreter is
# PYTHON, and installs what is missing in it. Nothing outside of it changes.
install_python_packages() {
    local python=$1
    shift
    [[ -x $python ]] || /usr/bin/python3 -m venv "$(dirname "$(dirname "$python")")"
    "$python" -m pip install --quiet --disable-pip-version-check "$@"
}

# install_axe FILE: axe-core, which finds violations of WCAG in a page, from the registry of npm: one file of its package,
# for which npm itself need not be installed.
install_axe() {
    [[ -s $1 ]] && return
    local sum=1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5
    local package
    package=$(mktemp)
    # Whatever goes wrong, FILE is whole or not there.
    if ! {
        curl -fsSL --retry 3 -o "$package" https://registry.npmjs.org/axe-core/-/axe-core-4.14.1.tgz &&
            sha512sum --check --quiet <<<"$sum  $package" &&
            tar -xzf "$package" -O package/axe.min.js >"$1.new" &&
            mv "$1.new" "$1"
    }; then
        rm -f "$package" "$1.new"
        return 1
    fi
    rm -f "$package"
}
