# shellcheck shell=sh
# Where the service's data are. Sourced by scripts/install and scripts/uninstall, and copied word for word
# into the package's preinst: POSIX sh. Whoever has it has say_error.

# data_directory PROGRAM: prints the directory, without symbolic links. A running service tells by the database
# that it has open. Otherwise PROGRAM, which is the installed one, tells, given what the unit gives the service:
# the options --data and --config of ExecStart=, and BREAKWATER_DATA and BREAKWATER_CONFIG of Environment= and
# EnvironmentFile=. Fails, and says why, where that does not tell: no other directory may be taken for it.
data_directory() {
    data_options=
    data_variables=
    if [ -d /run/systemd/system ]; then
        data_process=$(systemctl show --property=MainPID --value breakwater.service)
        for data_file in "/proc/$data_process/fd"/*; do
            data_file=$(readlink "$data_file") || continue
            case $data_file in
            */access.sqlite)
                printf '%s\n' "${data_file%/access.sqlite}"
                return
                ;;
            esac
        done
        data_options=$(unit_options) && data_variables=$(unit_variables) || return 1
    fi
    if "$1" data-directory --help >/dev/null 2>&1; then
        # shellcheck disable=SC2086 # words without blanks
        data_found=$(set -f && cd / && env -u BREAKWATER_DATA -u BREAKWATER_CONFIG $data_variables \
            "$1" data-directory $data_options) || {
            say_error "$1 does not tell where the data are: mend the configuration"
            return 1
        }
    else
        data_found=$(data_by_lines)
    fi
    realpath -m -- "$data_found"
}

# unit_options: --data and --config of the service's command line, each with its value.
unit_options() {
    # shellcheck disable=SC2046 # systemctl shows words without their quotes
    set -f -- $(systemctl show --property=ExecStart --value breakwater.service |
        sed -n 's/^.*argv\[\]=\(.*\) ; ignore_errors=.*$/\1/p')
    [ $# -gt 0 ] || return 0
    while [ $# -gt 0 ] && [ "$1" != serve ]; do shift; done
    [ $# -eq 0 ] || shift
    while [ $# -gt 0 ]; do
        case "$1 ${2-}" in
        *[\$\"\'\\]*) break ;;
        esac
        case $1 in
        --data=* | --config=*) echo "$1" ;;
        --listen=*) ;;
        --data | --config) echo "$1=${2-}" && shift ;;
        --listen) shift ;;
        *) break ;;
        esac
        shift
    done
    if [ $# -gt 0 ]; then
        say_error "ExecStart= of breakwater.service has \`$1\`, and where the data are cannot be told from that (name them by a plain --data DIR there, or in the configuration)"
        return 1
    fi
}

# unit_variables: BREAKWATER_DATA and BREAKWATER_CONFIG of the service, as NAME=VALUE.
unit_variables() {
    data_lines=$({
        systemctl show --property=Environment --value breakwater.service | tr ' ' '\n'
        systemctl show --property=EnvironmentFiles --value breakwater.service | sed 's/ (ignore_errors=[a-z]*)$//' |
            while read -r data_file; do
                [ ! -r "$data_file" ] || sed "s/=\([\"']\)\(.*\)\1[[:space:]]*\$/=\2/" "$data_file"
            done
    } | grep -E "^[[:space:]\"'$]*BREAKWATER_(DATA|CONFIG)=") || true
    case $data_lines in
    *[\ \"\'\\\$]*)
        say_error "the environment of breakwater.service has \`$data_lines\`, and where the data are cannot be told from that (name them without blanks and quotes, or in the configuration)"
        return 1
        ;;
    esac
    printf '%s\n' "$data_lines"
}

# data_by_lines: where there is no program that tells, as far as plain lines do.
data_by_lines() {
    {
        printf '%s\n' "$data_options" | sed -n 's/^--data=//p'
        printf '%s\n' "$data_variables" | sed -n 's/^BREAKWATER_DATA=//p' | tail -n 1
        sed -n -e '/^[[:space:]]*\[/q' \
            -e "s/^[[:space:]]*data[[:space:]]*=[[:space:]]*[\"']\([^\"']*\)[\"'].*/\1/p" \
            /etc/breakwater/breakwater.toml 2>/dev/null || true
        echo /var/lib/breakwater
    } | sed -n 1p
}
