#!/bin/sh
# Says whether this machine can pull through the Breakwater at @URL@, and if not, why.
# Run it here with: curl -fsS @URL@/-/client-check | sh
# `breakwater client check @URL@` says the same where the program is installed.
url='@URL@'
host=${url#*://}

# What a server sent may hold what a terminal obeys.
say() { printf '%s\n' "$*" | LC_ALL=C tr -cd '\011\012\040-\176'; }
wrong() {
    say "wrong: $1"
    say "  what to do: $2"
    exit 1
}

# The authority of the box, where clients look for it.
ca=
for client in docker containers containerd buildkit; do
    file=/etc/$client/certs.d/$host/ca.crt
    if [ -z "$ca" ] && [ -r "$file" ]; then ca=$file; fi
done
get() { curl -sS --max-time 10 ${ca:+--cacert "$ca"} "$@"; }

command -v curl >/dev/null || wrong "there is no curl on this machine" "install it, and run this again"
first=$(get -D - -o /dev/null "$url/v2/" 2>&1)
case $? in
0) ;;
6) wrong "$host has no address: $first" "use the name or the address that the box is known by" ;;
60 | 77) wrong "the authority of the certificate of $host is not known here: $first" \
    "copy ca.crt of the box (below its data directory, in tls) to /usr/local/share/ca-certificates/breakwater.crt and run update-ca-certificates; for docker alone to /etc/docker/certs.d/$host/ca.crt" ;;
*) wrong "$url cannot be reached: $first" \
    "see that the box listens beyond loopback (server.listen, tls.listen), and that no firewall is in between" ;;
esac
say "fine: $url answers"

case $first in
*'service="dependency_proxy"'*) say "fine: it is a Breakwater" ;;
*) wrong "what answers at $url is no Breakwater" "use the URL that \`breakwater client docker\` prints on the box" ;;
esac

theirs=$(printf '%s' "$first" | tr -d '\r' | sed -n 's/^[Dd]ate: //p')
# An empty one would be read as the midnight before.
if [ -n "$theirs" ]; then
    theirs=$(date -d "$theirs" +%s 2>/dev/null || date -D '%a, %d %b %Y %H:%M:%S GMT' -d "$theirs" +%s 2>/dev/null)
fi
if [ -n "$theirs" ]; then
    off=$(($(date +%s) - theirs))
    if [ "${off#-}" -gt 60 ]; then
        wrong "the clocks of this machine and of the box differ by ${off#-} seconds" "set the wrong one, with NTP for example"
    fi
    say "fine: the clocks agree"
fi

answer=$(get -w '\n%{http_code}' "$url/jwt/auth?service=dependency_proxy&scope=repository:library/alpine:pull" 2>&1)
case $answer in
*200) say "fine: this machine may pull through the mirror without a login" ;;
*401) wrong "this machine may not use the mirror without a login: $(printf '%s' "$answer" | sed -n 's/.*"message":"\([^"]*\)".*/\1/p')" \
    "run that command on the box, or log in with \`docker login $host\` and pull by the path of a group" ;;
*) wrong "the box gives no token for the mirror: $answer" "look into the log of the box" ;;
esac
