#!/bin/bash
# Two corporate networks behind NAT routers that let nothing in, and one public dmz-relay; examples/intranets.
# relayctl places calls from one to the other: audio, audio and video; answered, refused, not answered in time,
# ended by either side. The dmz-relay carries the session in which the two say so, and has neither SDP nor keys.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/intranets.sh"
. "$(dirname "$0")/lib/placed.sh"

N=100
# So short that the moment in which a receiver begins is a tenth of it.
SECONDS_SENT=2

public_host dmz-a "$RELAY"
for c in a b; do
    intranet $c random
    lets_out $c ip saddr "${INNER[$c]}" ip daddr "$RELAY" tcp dport $TUNNEL
done
host_firewall dmz-a <<RULES
    counter strangers { }
    chain let-in {
        ip saddr { ${NAT_OUT[a]}, ${NAT_OUT[b]} } tcp dport $TUNNEL ct state new accept
    }
    chain let-out {
        udp sport { $MEDIA, $((MEDIA + 1)) } counter name "strangers" accept
    }
RULES
sites_up

# ---------------------------------------------------------------- words

# place COMPANY [relayctl-argument...]: a call to the other one, with the SDP in place.sdp; CALL is its Call-ID.
place() {
    local from=$1
    shift
    CALL=$(ctl inner-"$from" call place "${SITE[$(other "$from")]}" --sdp "$W/place.sdp" "$@" 2>"$W/place.err")
}
# over COMPANY TEXT: it is no call there any more, and the reason is such a one.
over() {
    [ -z "$(state "$1")" ] && ctl_json inner-"$1" call list >/dev/null &&
        asked "$1" | jq -r '.state + ": " + .reason' | grep -qE -- "^ended: .*$2"
}
asked() { printf '{"command": "call-state", "call_id": "%s"}\n' "$CALL" | line_of "$1"; }
line_of() { python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(sys.stdin.buffer.read())
sys.stdout.write(s.makefile().readline())' "$RUN/inner-$1.sock"; }
# rings COMPANY: "call wait" there says that CALL rings; its SDP is in rings.sdp.
rings() {
    timeout 10 "$NET_CTL" -s "$RUN/inner-$1.sock" --json call wait >"$W/rings.json" || return 1
    jq -j .sdp "$W/rings.json" >"$W/rings.sdp"
    [ "$(jq -r .call_id "$W/rings.json")" = "$CALL" ]
}
no_sas() { for d in dmz inner-a inner-b; do sas_at $d 0 || return 1; done; }

# ---------------------------------------------------------------- audio, answered

key_a=$(new_key $SUITE) key_b=$(new_key $SUITE)
sdp a 9000 "$key_a" >"$W/place.sdp"
sdp b 9000 "$key_b" >"$W/answer.sdp"
timeout 20 "$NET_CTL" -s "$RUN/inner-b.sock" --json call wait >"$W/waited.json" &
waiter=$!
timeout 20 "$NET_CTL" -s "$RUN/inner-a.sock" --json call place "${SITE[b]}" --sdp "$W/place.sdp" --wait >"$W/placed.json" &
placer=$!
check "who waits at the other site hears of the call" wait "$waiter"
CALL=$(jq -r .call_id "$W/waited.json")
is "it comes from the site" "$(jq -r .site "$W/waited.json")" "${SITE[a]}"
like "the Call-ID names who placed it" "$CALL" "^[0-9a-f]{16}@${SITE[a]}\$"
is "the phone there is to send to its inner-relay" "$(jq -r .sdp "$W/waited.json" | tr -d '\r' | grep -E '^(c|m)=' | xargs)" \
    "c=IN IP4 ${INNER[b]} m=audio $MEDIA RTP/SAVP 0"
for c in a b; do check "it rings at site $c" wait_for 10 state_is $c ringing; done
check "it is answered" ctl inner-b call answer "$CALL" --sdp "$W/answer.sdp"
check "who has placed it gets the answer" wait "$placer"
is "with the address of its own inner-relay" "$(jq -r .sdp "$W/placed.json" | tr -d '\r' | grep -E '^(c|m)=' | xargs)" \
    "c=IN IP4 ${INNER[a]} m=audio $MEDIA RTP/SAVP 0"
is "and the other's key" "$(jq -r .sdp "$W/placed.json" | grep -c "$key_b")" 1
for c in a b; do
    is "site $c: the call is there" "$(state $c)" answered
    is "site $c: two SAs" "$(status_of inner-$c .sas)" 2
    is "site $c: with whom" "$(ctl_json inner-$c call list | jq -r '.calls[0].site')" "${SITE[$(other $c)]}"
done
like "call show says so, too" "$(ctl inner-a call show "$CALL" | grep -E '^(other site|direction)' | xargs)" \
    "^other site ${SITE[b]} direction to\$"
check "four at the dmz-relay" wait_for 10 sas_at dmz 4

# A sender and a receiver cannot share a port here, and media goes back to where it came from last. The SSRCs
# are learned, so that the dmz-relay drops the first packets.
say "real audio: ffmpeg to GStreamer, then GStreamer to ffmpeg"
gst_receive got-ffmpeg lan-b "${LAN[b]}" 9000 $SUITE "$key_a" 3
ffmpeg_send ffmpeg lan-a 440 $SECONDS_SENT $SUITE "$key_a" 3 9000 "${INNER[a]}" $MEDIA
check "the packets come to site b" wait_for 20 at_least $((SECONDS_SENT * 48)) verdict inner-b accepted tunnel
end_stream ffmpeg
ffmpeg_receive got-gst lan-a "${LAN[a]}" 9000 $SUITE "$key_b"
gst_send gst lan-b 550 $SECONDS_SENT $SUITE "$key_b" 4 "${LAN[b]}" 9000 "${INNER[b]}" $MEDIA
check "and to site a" wait_for 20 at_least $((SECONDS_SENT * 48)) verdict inner-a accepted tunnel
end_stream gst
check "from site a: 440 Hz" "$NET_TOOLS/toneck" --frequency 440 --expect-seconds $SECONDS_SENT --min 0.85 "$W/got-ffmpeg.wav"
check "from site b: 550 Hz" "$NET_TOOLS/toneck" --frequency 550 --expect-seconds $SECONDS_SENT --min 0.85 "$W/got-gst.wav"

for c in a b; do is "site $c has opened one tunnel" "$(fw_count nat-$c opened)" "$(connections_of 1)"; done
# What the dmz-relay knows of it: the keys by which it verifies, and no others; and not a line of SDP.
# It stands still while its memory is searched; where that takes more than 1.5 s, both tunnels are opened anew.
if grep -q __asan <"$NET_SBIN/dmz-relay"; then
    ok "# SKIP AddressSanitizer's memory cannot be searched"
else
    printf '%s\n' "a $SUITE $key_a" "b $SUITE $key_b" | "$NET_TOOLS/keyneedles" >"$W/all"
    grep -vE '^[^ ]*\.rtc?p-auth\.' "$W/all" >"$W/needles"
    printf '%s\n' "m=audio 9000" "a=crypto:1 AES" "RTP/SAVP 0" "c=IN IP4 ${LAN[a]}" "c=IN IP4 ${LAN[b]}" |
        text_needles >>"$W/needles"
    is "the dmz-relay has no key that decrypts, and no SDP" "$(found dmz)" 0 || sed -n '1,5s/^/#   /p' "$W/found"
    check "the inner-relay has some of that: the search finds" test "$(found inner-a)" -gt 0
    grep -E '^[^ ]*\.rtp-auth\.' "$W/all" >"$W/needles"
    check "the dmz-relay has what it verifies with" test "$(found dmz)" -gt 0
fi
check "site a hangs up" ctl inner-a call end "$CALL"
for c in a b; do check "and it is over at site $c" wait_for 10 over $c ''; done
check "no SA is left" wait_for 10 no_sas

# ---------------------------------------------------------------- audio and video, octet for octet

key_a=$(new_key $SUITE) key_b=$(new_key $SUITE) video_a=$(new_key $SUITE) video_b=$(new_key $SUITE)
sdp b 6000 "$key_b" 102 6002 "$video_b" 104 >"$W/place.sdp"
sdp a 6000 "$key_a" 101 6002 "$video_a" 103 >"$W/answer.sdp"
check "site b places a call with video" place b
check "it rings at site a" rings a
is "with both lines" "$(grep -c '^m=' "$W/rings.sdp")" 2
check "it is answered" ctl inner-a call answer "$CALL" --sdp "$W/answer.sdp"
check "at site b, too" wait_for 10 state_is b answered
check "eight SAs at the dmz-relay" wait_for 10 sas_at dmz 8
say "real video: ffmpeg to ffmpeg"
cat >"$W/video.sdp" <<END
v=0
o=- 1 1 IN IP4 ${LAN[b]}
s=-
c=IN IP4 ${LAN[b]}
t=0 0
m=video 6002 RTP/SAVP 96
a=rtpmap:96 VP8/90000
a=crypto:1 $SUITE inline:$video_a
END
start got-seen lan-b ffmpeg -nostdin -hide_banner -loglevel warning -protocol_whitelist file,udp,rtp,srtp,crypto \
    -max_delay 200000 -i "$W/video.sdp" -f framecrc -flush_packets 1 -y "$W/seen"
wait_for 10 bound lan-b 6002 || bail "ffmpeg does not listen"
start seen lan-a ffmpeg -nostdin -hide_banner -loglevel warning -re -f lavfi \
    -i "testsrc=size=320x240:rate=25:duration=10" -c:v libvpx -deadline realtime -cpu-used 8 -g 5 -b:v 300k -payload_type 96 \
    -ssrc 103 -seq 1000 -rtpflags send_bye -f rtp -sdp_file /dev/null -srtp_out_suite $SUITE -srtp_out_params "$video_a" \
    "srtp://${INNER[a]}:$MEDIA?localrtpport=6002&localrtcpport=6003&pkt_size=1200&localaddr=${LAN[a]}"
# seen: frames that were decoded, of that size.
seen() { ! grep -q '^#dimensions 0: 320x240' "$W/seen" && echo 0 || grep -c '^0,' "$W/seen"; }
check "site b sees site a" wait_for 20 at_least 40 seen
end_stream seen

ssrc=100
for row in "a b audio 6000 $key_a" "b a audio 6000 $key_b" "a b video 6002 $video_a" "b a video 6002 $video_b"; do
    read -r from to kind port key <<<"$row"
    ssrc=$((ssrc + 1))
    name=$kind-$from
    receive "got-$name" lan-$to "${LAN[$to]}:$port" --ports 2 --key "$key" --count $((N + 2)) --wait 20
    send_now "$name" lan-$from --from "${LAN[$from]}:$port" --to "${INNER[$from]}:$MEDIA" --key "$key" --ssrc $ssrc \
        --seq 5000 --rtcp-index 1000 --count $N --rate 0 --rtcp-every $((N / 2)) --save "$W/$name.sent"
    check "$kind from site $from comes to site $to" finish_of "got-$name" 10
    check "octet for octet" same_datagrams "$W/$name.sent" "$W/got-$name.got"
done

# The site of who has placed it loses its inner-relay, and has it back with the state file.
state=$W/hosts/inner-b/run/media-relay/inner-relay.state
wait_for 20 grep -aqF "$CALL" "$state" || bail "site b has not written its state"
stop inner-b KILL || :
launch_example intranets inner-relay-b
tunnels_up inner-b
# goes_on: the call at site b is one between sites.
goes_on() {
    ctl inner-b call show "$CALL" | grep -E '^(state|other site|direction)' | xargs | grep -qx "state restored other site ${SITE[a]} direction to"
}
check "after a restart the call is one between sites still" wait_for 10 goes_on
check "who was called hangs up" ctl inner-a call end "$CALL"
for c in a b; do check "and it is over at site $c" wait_for 10 over $c ''; done
check "no SA is left" wait_for 10 no_sas

# ---------------------------------------------------------------- not answered

sdp a 9000 "$key_a" >"$W/place.sdp"
check "a call that will be refused" place a
check "rings" rings b
check "it is refused" ctl inner-b call refuse "$CALL" --reason "in a meeting"
check "the caller is told why" wait_for 10 over a 'refused by the other site: in a meeting'
refuse "it cannot be answered any more" ctl inner-b call answer "$CALL" --sdp "$W/answer.sdp"

check "a call that is ended while it rings" place a
check "rings" rings b
check "the caller hangs up" ctl inner-a call end "$CALL"
check "it is over there" wait_for 10 over b 'ended by the other site'

# Nobody knows of the cut yet, and what is said into it is lost.
say "hung up in a cut"
sdp b 9000 "$key_b" >"$W/answer.sdp"
check "a call" place a
check "rings" rings b
check "it is answered" ctl inner-b call answer "$CALL" --sdp "$W/answer.sdp"
check "at site a, too" wait_for 10 state_is a answered
in_ns nat-a nft -f - <<END || bail "rules of nat-a"
table inet cut {
    chain forward { type filter hook forward priority filter - 1; policy drop; }
}
END
check "the caller hangs up" ctl inner-a call end "$CALL"
wait_for 10 tunnel_not_up inner-a || bail "the tunnel is up"
is "which the other site has not heard" "$(state b)" answered
in_ns nat-a nft delete table inet cut || bail "rules of nat-a"
tunnels_up inner-a
check "when both are there again it is over there, too" wait_for 20 over b 'the other site has it no more'
check "no SA is left" wait_for 10 no_sas

# again COMPANY NAME=VALUE: its ini file, read again.
again() {
    sed -i "s/^${2%%=*}= *.*/${2%%=*}=${2#*=}/" "$W/hosts/inner-$1/etc/media-relay/inner-relay.ini"
    ctl inner-"$1" reload >/dev/null || bail "reload of site $1"
}
again b "ring-timeout =2s"
check "a call that nobody answers" place a
check "rings" rings b
check "for ring-timeout, and the caller is told" wait_for 15 over a 'nobody has answered'
check "both are done with it" wait_for 10 over b 'nobody has answered'

sed -i '/^\[site/a refuse = yes' "$W/hosts/inner-b/etc/media-relay/inner-relay.ini"
ctl inner-b reload >/dev/null || bail "reload of site b"
place a --wait
check "a site that takes no calls says so" grep -q 'takes no calls of this one' "$W/place.err"
sdp b 9000 "$key_b" >"$W/place.sdp"
check "and still places its own" place b
check "which ring" rings a
ctl inner-b call end "$CALL" >/dev/null
sdp a 9000 "$key_a" >"$W/place.sdp"

sed -i '/^\[site branch/,/^$/d' "$W/hosts/dmz-a/etc/media-relay/dmz-relay.ini"
ctl dmz reload >/dev/null || bail "reload of the dmz-relay"
place a --wait
check "the dmz-relay refuses what its policy does not allow" grep -q 'no call-from that allows it' "$W/place.err"
check "no SA is left of all these" wait_for 10 no_sas
refuse "a site without a section cannot be called" ctl inner-a call place nobody.example.com --sdp "$W/place.sdp"

sdp b 9000 "$key_b" >"$W/place.sdp"
stop inner-a TERM || bail "inner-a did not stop"
place b --wait
check "a site that is not connected cannot be called" grep -q 'not connected' "$W/place.err"

is "the dmz-relay sent no media anywhere but into tunnels" "$(fw_count dmz-a strangers)" 0
for c in a b; do
    is "nat-$c: nothing was opened inwards" "$(fw_count nat-$c inward)" 0
    is "nat-$c: nothing was refused, and no packet was invalid" "$(fw_count nat-$c refused)+$(invalid nat-$c)" 0+0
done
is "and to no inner-relay anything that failed" "$(verdict inner-b auth-fail)" 0
done_testing
