#!/bin/sh
# rtp-prime as a program: its options and the page's, its start and end, and two of them back to back,
# on loopback addresses: SRTP of rtpsend, and of ffmpeg and GStreamer where they are installed, arrives
# octet for octet.
set -u
LC_ALL=C
export LC_ALL

source=$(cd "${srcdir:-.}" && pwd)
build=$PWD
prime=$build/rtp-prime/rtp-prime
tools=$build/tests/tools
[ "$(uname)" = Linux ] || exit 77

top=$(mktemp -d "${TMPDIR:-/tmp}/test_rtp_prime.XXXXXX") || exit 1
pids=
trap 'stop_all; rm -rf "$top"' EXIT
trap 'exit 130' INT TERM
. "$source/tests/words.sh"
net=127.89.$((100 + $$ % 100))
key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd
suite=AES_CM_128_HMAC_SHA1_80

stop_all() {
    for pid in $pids; do
        kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
    done
    pids=
}
# start NAME OPTION...: an rtp-prime in the background, ready once this returns; its output is NAME.out,
# its process $last.
start() {
    name=$1
    shift
    "$prime" "$@" >"$top/$name.out" 2>&1 &
    last=$!
    pids="$pids $last"
    holds "$name is not ready" grep -qs "^ready: " "$top/$name.out"
}
# ended NAME PID: stops it; it must end with 0.
ended() {
    checks=$((checks + 1))
    kill "$2"
    wait "$2" || fail "$1 ended with $?: $(cat "$top/$1.out")"
}

# ---------------------------------------------------------------- options, and the page

ends 0 "$prime" --version
says "rtp-prime "
ends 0 "$prime" --help
sed -n 's/^  --\([a-z]*\) .*/\1/p' "$top/out" | sort >"$top/help"
sed -n 's/^\.\(TP\|B\|BR\) .*\\-\\-\([a-z]*\).*/\2/p' "$source/man/rtp-prime.1" | sort -u >"$top/page"
[ "$(wc -l <"$top/help")" -ge 10 ] || fail "--help lists few options"
ends 0 diff "$top/help" "$top/page"

least="--listen $net.1:5004 --relay $net.2:41000 --from $net.1:6000"
# shellcheck disable=SC2086
{
    ends 2 "$prime"
    says "--listen is missing"
    ends 2 "$prime" $least --colour
    says "--colour: no such option"
    ends 2 "$prime" $least --relay "$net.1:6000"
    says "--relay and --from have a port in common"
    ends 1 "$prime" $least --from 192.0.2.1:6000
    says "choose an address that this host has"
    start one $least
    ends 1 "$prime" $least
    says "cannot bind UDP $net.1:5004"
}

# ---------------------------------------------------------------- signals

says "ready: the client at $net.1:5004, the relay $net.2:41000 from $net.1:6000" one.out
kill -USR1 "$last"
holds "no counters" grep -q '^keepalive packets=' "$top/one.out"
kill -USR1 "$last"
holds "counters once only" test "$(grep -c '^client-rtp packets=0$' "$top/one.out")" -ge 1
ended one "$last"
[ "$(grep -c '^relay-rtcp packets=0$' "$top/one.out")" -ge 2 ] || fail "no counters at the end"

# ---------------------------------------------------------------- two back to back

# relays [OPTION...]: here and there, each the other's relay. Clients of here send to .1, of there to .2.
relays() {
    start here --listen "$net.1:5004" --client "$net.3:7000" --from "$net.1:6000" --relay "$net.2:6000" "$@"
    here=$last
    start there --listen "$net.2:5004" --client "$net.4:7000" --from "$net.2:6000" --relay "$net.1:6000" "$@"
    there=$last
}
relays_end() {
    ended here "$here"
    ended there "$there"
    pids=
    for name in here there; do
        checks=$((checks + 1))
        # Nothing but what they send each other before their first packets.
        awk '/=/ { for (i = 3; i <= NF; i++) if ($i !~ /^(passed|empty)=/) exit 1 }' "$top/$name.out" ||
            fail "$name dropped something: $(cat "$top/$name.out")"
    done
}
# listen NAME OPTION...: rtprecv, listening once this returns; its process is $listener.
listen() {
    name=$1
    shift
    rm -f "$top/$name.ready"
    "$tools/rtprecv" --ready "$top/$name.ready" --brief "$@" >"$top/$name.out" 2>&1 &
    listener=$!
    pids="$pids $listener"
    holds "$name does not listen" test -e "$top/$name.ready"
}
heard() {
    checks=$((checks + 1))
    wait "$2" || fail "$1 ended with $?: $(cat "$top/${3-out}")"
}

# Both ways at once, RTP and RTCP; SSRCs that look like RTP of version 2 in front.
both_ways() {
    ports=2
    [ "$1" = "" ] || ports=1
    # shellcheck disable=SC2086
    {
        "$tools/rtpsend" --from "$net.3:7100" --to "$net.1:5004" --key $key --ssrc 0x80c80006 --count 400 \
            --rate 800 --rtcp-every 10 --save "$top/sent" $1 >"$top/send.out" 2>&1 &
        sender=$!
        "$tools/rtpsend" --from "$net.4:7100" --to "$net.2:5004" --key $key --ssrc 0xbfffffff --count 400 \
            --rate 800 --rtcp-every 10 --save "$top/sent2" $1 >"$top/send2.out" 2>&1 &
        sender2=$!
    }
    pids="$pids $sender $sender2"
    heard sender "$sender" send.out
    heard sender2 "$sender2" send2.out
    heard there_got "$there_got" there_got.out
    heard here_got "$here_got" here_got.out
    for got in there_got here_got; do
        says '"packets": 440' $got.out
        says '"duplicates": 0' $got.out
    done
    ends 0 cmp_sorted sent there_saved
    ends 0 cmp_sorted sent2 here_saved
}
# The files of --save without an order: two ports can overtake each other.
cmp_sorted() {
    for file; do
        od -An -v -tx1 -w1 "$top/$file" | awk '
            function digit(c) { return index("0123456789abcdef", c) - 1 }
            function octet(h) { return digit(substr(h, 1, 1)) * 16 + digit(substr(h, 2, 1)) }
            {
                if (head < 2) { left = left * 256 + octet($1); head++; line = "" }
                else { line = line $1; left-- }
                if (head == 2 && left == 0) { print line; head = 0 }
            }' | sort >"$top/$file.hex"
    done
    [ -s "$top/$1.hex" ] && cmp "$top/$1.hex" "$top/$2.hex"
}

for mux in "" --mux; do
    # shellcheck disable=SC2086
    relays $mux
    ports=2
    [ -z "$mux" ] || ports=1
    listen there_got --listen "$net.4:7000" --ports $ports --count 440 --key $key --save "$top/there_saved"
    there_got=$listener
    listen here_got --listen "$net.3:7000" --ports $ports --count 440 --key $key --save "$top/here_saved"
    here_got=$listener
    both_ways "$mux"
    relays_end
done

# ---------------------------------------------------------------- real clients

ffmpeg_sends() {
    ffmpeg -nostdin -hide_banner -loglevel warning -re -f lavfi \
        -i "sine=frequency=440:sample_rate=8000:duration=$1:samples_per_frame=160" -c:a pcm_mulaw \
        -ssrc 0xbadcafe -rtpflags send_bye -f rtp -sdp_file /dev/null -srtp_out_suite $suite \
        -srtp_out_params $key "srtp://$2?localrtpport=$3&localrtcpport=$(($3 + 1))&localaddr=$net.3&pkt_size=200"
}
gst_sends() {
    gst-launch-1.0 -q audiotestsrc num-buffers=$(($1 * 50)) samplesperbuffer=160 is-live=true ! \
        audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay ssrc=195939070 ! application/x-rtp ! \
        srtpenc key="$(printf %s $key | base64 -d | od -An -v -tx1 | tr -d ' \n')" \
        rtp-cipher=aes-128-icm rtp-auth=hmac-sha1-80 rtcp-cipher=aes-128-icm rtcp-auth=hmac-sha1-80 ! \
        udpsink host="${2%:*}" port="${2#*:}" bind-address="$net.3" bind-port="$3"
}

# real NAME COMMAND: what it sends arrives authentic through both; and once more, what it sends to nobody
# in between is compared octet for octet.
real() {
    name=$1
    relays
    listen live --listen "$net.4:7000" --ports 2 --timeout 1 --key $key
    ends 0 "$2" 1 "$net.1:5004" 7200
    heard "$name, live" "$listener" live.out
    says '"auth_failures": 0' live.out
    says '"ssrcs": 1' live.out
    listen direct --listen "$net.3:7300" --ports 2 --timeout 1 --key $key --save "$top/direct"
    ends 0 "$2" 1 "$net.3:7300" 7210
    heard "$name, direct" "$listener" direct.out
    listen through --listen "$net.4:7000" --ports 2 --timeout 1 --key $key --compare "$top/direct" --save "$top/through"
    ends 0 "$tools/rtpsend" --from "$net.3:7100" --to "$net.1:5004" --resend "$top/direct" --rate 500
    heard "$name, through" "$listener" through.out
    ends 0 cmp_sorted direct through
    relays_end
}
if command -v ffmpeg >/dev/null; then real ffmpeg ffmpeg_sends; else echo "ffmpeg is not installed: left out"; fi
if command -v gst-launch-1.0 >/dev/null; then
    real GStreamer gst_sends
else
    echo "gst-launch-1.0 is not installed: left out"
fi

echo "$checks checks, $failures failed"
[ $failures = 0 ]
