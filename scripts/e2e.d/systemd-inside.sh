#!/usr/bin/env bash
# The part of flow-systemd.sh that runs on its machine: systemd-inside.sh SOURCE EXCHANGE. Prints a line a
# check: PASS or FAIL, the text, and what was found, with tabs between them.
set -uo pipefail

SOURCE=$1
EXCHANGE=$2
PORT=127.0.0.1:5000
TLS_PORT=localhost:5443
CA=/var/lib/breakwater/tls/ca.crt
WORK=$(mktemp -d)

# check TEXT COMMAND...
check() {
    local text=$1 output
    shift
    if output=$("$@" 2>&1); then
        printf 'PASS\t%s\t\n' "$text"
    else
        printf 'FAIL\t%s\t%s\n' "$text" "$(tr '\n\t' '; ' <<<"$* says: $output" | tail -c 2000)"
    fi
}

property() { systemctl show --value --property "$1" breakwater.service; }
answers() { curl -fsS -o /dev/null --max-time 20 "http://$PORT/-/liveness"; }
answers_by_tls() { curl -fsS -o /dev/null --max-time 20 --cacert "$CA" "https://$TLS_PORT/-/liveness"; }
serial() { openssl s_client -connect "$TLS_PORT" </dev/null 2>/dev/null | openssl x509 -noout -serial; }

# eventually COMMAND...: within 30 seconds.
eventually() {
    local attempt
    for ((attempt = 0; attempt < 300; attempt++)); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    return 1
}

# load_start: four clients that ask on one new connection after another.
load_start() {
    rm -f "$WORK"/load.* "$WORK/enough"
    local number
    for number in 1 2 3 4; do
        while [[ ! -e $WORK/enough ]]; do
            if ((number % 2)); then answers; else answers_by_tls; fi && echo answered || echo failed
        done >"$WORK/load.$number" 2>&1 &
    done
}

# load_stop TEXT: passes if all were answered, and some were.
load_stop() {
    touch "$WORK/enough"
    wait
    check "$1: all of $(cat "$WORK"/load.* | grep -c answered) requests on new connections were answered" \
        bash -c "! grep -hv answered $WORK/load.* && grep -q answered $WORK/load.1 && grep -q answered $WORK/load.2"
}

tls_lines() {
    breakwater tls self-signed --name box.example >"$WORK/trust" &&
        awk '/^# / { inside = /^# The box:/; next } inside' "$WORK/trust" >/etc/breakwater/breakwater.toml
}

restarts() {
    local number
    for number in 1 2 3; do
        systemctl restart breakwater || return 1
        sleep 0.5
    done
}

renews() {
    local number
    for number in 1 2 3; do
        breakwater tls self-signed --renew >/dev/null && systemctl reload breakwater || return 1
        sleep 1
    done
}

hurry_watchdog() {
    mkdir -p /etc/systemd/system/breakwater.service.d
    printf '[Service]\nWatchdogSec=3\nTimeoutAbortSec=1\n' >/etc/systemd/system/breakwater.service.d/hurry.conf
    systemctl daemon-reload && systemctl restart breakwater
}

# is_another PID: the service runs again, and not as that process.
is_another() {
    local pid
    pid=$(property MainPID)
    ((pid != 0 && pid != $1)) && [[ $(property ActiveState) == active ]]
}

check "scripts/install starts the service" "$SOURCE/scripts/install" --binary "$EXCHANGE/breakwater"
export PATH=/usr/local/bin:$PATH
check "it is ready when systemctl says so" answers
check "systemd-analyze security: 2.0 or better" systemd-analyze security --no-pager --threshold=20 breakwater.service
systemd-analyze security --no-pager breakwater.service | tail -n 1
began=$(date +%s%N)
systemctl restart breakwater
echo "from stop to ready: $((($(date +%s%N) - began) / 1000000)) ms; idle: $(grep VmRSS "/proc/$(property MainPID)/status" | tr -s ' \t' ' ')"

check "a certificate for [tls]" tls_lines
check "the README's commands for ports that systemd holds" bash -euo pipefail "$EXCHANGE/sockets"
check "... and answered" answers
check "... by TLS too" answers_by_tls

load_start
check "systemctl restart, three times under load" restarts
load_stop "... through it"

before=$(serial)
load_start
check "the certificate is renewed and loaded by systemctl reload, three times under load" renews
load_stop "... through it"
check "... and it is another one" test "$before" != "$(serial)" -a -n "$before"

check "a watchdog of 3 seconds" hurry_watchdog
pid=$(property MainPID)
sleep 7
check "a service that answers is left alone" test "$pid" = "$(property MainPID)"
kill -STOP "$pid"
check "one that is stopped by SIGSTOP is ended and started again" eventually is_another "$pid"
check "... because of the watchdog" bash -c "journalctl -u breakwater.service | grep -q 'Watchdog timeout'"
check "... and answers" eventually answers

systemctl stop breakwater.socket breakwater-tls.socket breakwater
check "it stops with success" test "$(property Result)" = success
echo finished
