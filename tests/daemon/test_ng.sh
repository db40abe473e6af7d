#!/bin/sh
# The ng protocol at an inner-relay on loopback, whose tunnel is down: with rtpengine's own client where
# it is installed, and over a Unix socket.
set -u
LC_ALL=C
export LC_ALL

source=$(cd "${srcdir:-.}" && pwd)
build=$PWD
relay=$build/inner-relay/inner-relay
command -v openssl >/dev/null || { echo "openssl is not installed" && exit 77; }
command -v rtpengine-ng-client >/dev/null || { echo "rtpengine-ng-client is not installed" && exit 77; }
[ "$(uname)" = Linux ] || exit 77

top=$(mktemp -d "${TMPDIR:-/tmp}/test_ng.XXXXXX") || exit 1
trap 'stop; rm -rf "$top"' EXIT
trap 'exit 130' INT TERM
. "$source/tests/words.sh"

stop() {
    [ ! -s "$top/pid" ] || kill "$(cat "$top/pid")" 2>/dev/null
}
is_gone() { ! kill -0 "$1" 2>/dev/null; }

octet=$((100 + $$ % 100))
address=127.89.$octet.1
ini() {
    cat <<END
[dmz main]
address = $address:4600
name = dmz.example
[listener main]
address = $address
rtp-port = 40000
[tunnel]
certificate = $top/ca/inner.example.crt
key = $top/ca/inner.example.key
ca = $top/ca/ca.crt
[networks]
internal = 10.0.0.0/8
[signalling]
ng = udp:$address:2223, unix:$top/run/ng
[state]
file =
[control]
socket = $top/run/sock
[daemon]
allow-root = yes
pid-file = $top/pid
END
}

certs=$source/certs/media-relay-certs
{ "$certs" -d "$top/ca" init && "$certs" -d "$top/ca" issue inner.example --role inner; } >"$top/out" 2>&1 ||
    fail "no certificates"
ini >"$top/ini"
ends 0 "$relay" -c "$top/ini"
pid=$(cat "$top/pid")

ask() {
    command=$1
    shift
    rtpengine-ng-client "$command" --proxy-address=$address --proxy-port=2223 "$@"
}
offer() {
    ask offer "$@" --call-id=i --from-tag=f --direction=external,internal \
        --received-from=IP4 --received-from=192.0.2.7 --sdp="$(printf 'v=0\r\no=- 1 1 IN IP4 192.0.2.7\r
s=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 0\r
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd\r\n')"
}

ends 0 ask ping
says "pong"
ends 0 ask ping --json
says "pong"
ends 0 ask list
says "calls => []"
ends 0 ask statistics
says "sessionsown"
ends 0 ask list --json
says "calls => []"
# No tunnel was ever up: nobody knows what address an SDP would have to show.
ends 255 offer
says "Error reason"
ends 255 offer --json
says "Error reason"
ends 255 ask query --call-id=nobody
says "Unknown call-id"
ends 255 ask play-media --call-id=nobody
says "Unrecognized command"

# What operators see of calls. Two phones inside need no tunnel.
ctl() { "$build/common/daemon/relayctl" -s "$top/run/sock" "$@"; }
# inside COMMAND CALL-ID FROM-TAG ADDRESS KEY [OPTION...]: of a call between two of them.
inside() {
    what=$1 call=$2 from=$3
    printf '%s\r\n' v=0 "o=- 1 1 IN IP4 $4" s=- "c=IN IP4 $4" "t=0 0" "m=audio 4000 RTP/SAVP 0" \
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:$5" >"$top/sdp"
    shift 5
    ask "$what" --call-id="$call" --from-tag="$from" --direction=internal,internal --sdp-file="$top/sdp" "$@"
}
# shown TEXT...: the last command says so, and no key and no SDP.
shown() {
    for text in "$@"; do
        says "$text"
    done
    checks=$((checks + 1))
    ! grep -q 'AAECAwQF\|d0Rmdm\|inline\|crypto:\|m=audio' "$top/out" || fail "a key, or SDP"
}
key_1=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd
key_2=d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj

ends 0 ctl call list
says "no calls"
ends 0 inside offer one@example a 10.0.0.10 $key_1
ends 0 ctl call list
shown "one@example  offered"
ends 0 ctl call show one@example
shown "offer of a, inside to inside" "10.0.0.10:4000" "audio  direct"
ends 0 ctl explain one@example
shown "there is no answer yet" "Check first: Does the phone ring?"
ends 0 inside answer one@example a 10.0.0.11 $key_2 --to-tag=b
ends 0 ctl call list
shown "one@example  answered" "a, b"
ends 0 ctl --json call show one@example --tag b
shown '"kind":"audio"' '"way":"direct"' '"sa":null' '"signalled":null' '"held":false'
ends 0 ctl explain one@example
shown "does not go through this relay" "relay-internal = yes"
ends 0 inside offer one@example c 10.0.0.12 $key_1
ends 1 ctl call end one@example
says "--tag: 2 calls have this Call-ID; the tag of a party says which one is meant: c, a"
ends 0 ctl call end one@example --tag=c
says "SAs deleted: 0"
ends 4 ctl status # the tunnel is down
says "calls: 1 of at most"
ends 0 ctl call end one@example
ends 0 ctl call list
says "no calls"
ends 0 ctl stats
says "calls_ended                             2"
ends 1 ctl call show one@example
says "relayctl call list"
ends 1 ctl call end nobody@example
says "relayctl call list"
ends 1 ctl explain nobody@example
says "relayctl call list"
ends 2 ctl call show
ends 255 ask query --call-id=one@example

# A datagram without a cookie is counted, and nothing else.
if command -v python3 >/dev/null; then
    ends 0 python3 -c 'import socket, sys
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"nothing", (sys.argv[1], 2223))' "$address"
    dropped() { ctl --json stats | grep -q '"ng_dropped": *1'; }
    holds "a datagram without a cookie is not counted" dropped
fi

# A Unix socket: no cookie, one request.
unix() {
    python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(sys.argv[2].encode())
while True:
    d = s.recv(65536)
    if not d: break
    sys.stdout.write(d.decode())' "$top/run/ng" "$1"
}
if command -v python3 >/dev/null; then
    ends 0 unix 'd7:command4:pinge'
    says "d6:result4:ponge"
    ends 0 unix '{"command":"list"}'
    says '{"result":"ok","calls":[]}'
fi

kill "$pid"
holds "the daemon did not end" is_gone "$pid"
holds "the Unix socket stayed" test ! -e "$top/run/ng"

echo "$checks checks, $failures failed"
[ $failures = 0 ]
