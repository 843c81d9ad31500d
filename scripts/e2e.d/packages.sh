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
