#!/bin/sh
# A dmz-relay in the background: its start, a second one beside it, a refused reload, its stop.
# On loopback addresses; as root, too, which the ini file allows.
set -u
LC_ALL=C
export LC_ALL

source=$(cd "${srcdir:-.}" && pwd)
build=$PWD
relay=$build/dmz-relay/dmz-relay
command -v openssl >/dev/null || { echo "openssl is not installed" && exit 77; }
[ "$(uname)" = Linux ] || exit 77

top=$(mktemp -d "${TMPDIR:-/tmp}/test_start.XXXXXX") || exit 1
trap 'stop; rm -rf "$top"' EXIT
trap 'exit 130' INT TERM
. "$source/tests/words.sh"

stop() {
    [ ! -s "$top/pid" ] || kill "$(cat "$top/pid")" 2>/dev/null
}
is_gone() { ! kill -0 "$1" 2>/dev/null; }

ini() {
    cat <<END
[listener main]
address = 127.88.${octet}.1
rtp-port = 40000
[tunnel]
listen = 127.88.${octet}.1:4600
sites = inner.example
certificate = $top/ca/dmz.example.crt
key = $top/ca/dmz.example.key
ca = $top/ca/ca.crt
[control]
socket = $top/run/sock
[daemon]
allow-root = yes
pid-file = $top/pid
END
}

certs=$source/certs/media-relay-certs
{ "$certs" -d "$top/ca" init && "$certs" -d "$top/ca" issue dmz.example --role dmz; } >"$top/out" 2>&1 ||
    fail "no certificates"
octet=$((100 + $$ % 100))
ini >"$top/ini"

ends 0 "$relay" -t -c "$top/ini"
ends 0 "$relay" -c "$top/ini"
pid=$(cat "$top/pid")
ends 0 kill -0 "$pid"
ends 4 "$build/common/daemon/relayctl" -s "$top/run/sock" status
says "process $pid"

# A second daemon must neither start nor take anything from the first.
ends 1 "$relay" -c "$top/ini"
says "cannot bind UDP 127.88.$octet.1:40000"
ends 0 grep -qx "$pid" "$top/pid"
ini | sed "s/40000/40010/; s/4600/4610/" >"$top/ini2"
ends 1 "$relay" -c "$top/ini2"
says "another daemon listens there"
ends 0 grep -qx "$pid" "$top/pid"

echo "colour = red" >>"$top/ini"
ends 1 "$build/common/daemon/relayctl" -s "$top/run/sock" reload
says "$top/ini:15: [daemon] colour: unknown key"
ends 2 "$relay" -c "$top/ini"
ini | sed "s,dmz.example.key,nothing.key," >"$top/ini"
ends 2 "$relay" -t -c "$top/ini"
says "$top/ini:8: [tunnel] key $top/ca/nothing.key cannot be opened"
ends 4 "$build/common/daemon/relayctl" -s "$top/run/sock" status

kill "$pid"
holds "the daemon did not end" is_gone "$pid"
holds "the pid file stayed" test ! -e "$top/pid"
holds "the control socket stayed" test ! -e "$top/run/sock"

echo "$checks checks, $failures failed"
[ $failures = 0 ]
