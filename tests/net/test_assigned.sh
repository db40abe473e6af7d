#!/bin/bash
# Server-assigned SSRCs, with examples/fig4: ffmpeg and GStreamer inside send with the SSRC that the
# inner-relay gave them. It compares the SSRC and verifies nothing; who receives does. Another SSRC is
# dropped at the inner-relay. A killed inner-relay still knows whose it is.
. "$(dirname "$0")/lib.sh"

N=20
SUITE=AES_CM_128_HMAC_SHA1_80
PHONE=${LAN[a]}

company a
rules_anybody a | firewall fwx-a
rules_tunnel a | firewall fwi-a
capture lan lan-a eth0
capture tunnel fwi-a dmz
capture internet fwx-a internet
launch_example 4 dmz-relay
launch_example 4 inner-relay
tunnels_up inner dmz
verifications() { stats_of "$1" .counters.srtp_verifications; }

declare -A key=() ssrc=() id=()
# give NAME PORT RECEIVER-PORT ARGUMENT...: an SA with an assigned SSRC.
give() {
    local name=$1 reply
    reply=$(sa_add inner --side internal --source "$PHONE:$2" --to "$WEB:$3" --assign-ssrc "${@:4}") ||
        bail "sa add $name: $reply"
    ssrc[$name]=$(jq .ssrc <<<"$reply")
    id[$name]=$(jq .id <<<"$reply")
    key[$name]=$(new_key $SUITE)
    check "$name: is told an SSRC that fits into 31 bits" \
        test "${ssrc[$name]}" -ge 1 -a "${ssrc[$name]}" -le 2147483647
}
give ffmpeg 8020 8020
give gst 8030 8030 --suite $SUITE
give tool 8040 8040 --suite $SUITE --key "$(new_key $SUITE)"
is "three SSRCs" "$(printf '%s\n' "${ssrc[@]}" | sort -u | wc -l)" 3
like "relayctl says it in words" \
    "$(ctl inner sa add --side internal --source "$PHONE:8050" --to "$WEB:8050" --assign-ssrc)" \
    'the sender must use SSRC [0-9]+ \(0x[0-7][0-9a-f]{7}\)'
wait_for 3 sas_at dmz 4 || bail "the SAs did not reach the dmz-relay"

say "the counter counts: a sender outside, whose packets both relays verify"
in_key=$(new_key $SUITE)
sa_add inner --side external --source $WEB:6000 --suite $SUITE --key "$in_key" --ssrc 77 \
    --to "$PHONE:7000" >/dev/null || bail "sa add"
wait_for 3 sas_at dmz 5 || bail "the SA did not reach the dmz-relay"
moves "a sender outside" "dmz/rtp/accepted=$N dmz/rtcp/accepted=2 inner/tunnel/accepted=$((N + 2))" -- \
    send_now outside inet --from $WEB:6000 --to "${DMZ_OUT[a]}:$MEDIA" --key "$in_key" --ssrc 77 \
    --rate 0 --count $N --rtcp-every 10
for daemon in dmz inner; do
    is "$daemon: srtp_verifications" "$(verifications $daemon)" $((N + 2))
done

say "real media: ffmpeg and GStreamer with the SSRC that they were given"
before=$(verdict dmz accepted)
gst_receive got-ffmpeg inet $WEB 8020 $SUITE "${key[ffmpeg]}" "${ssrc[ffmpeg]}"
ffmpeg_receive got-gst inet $WEB 8030 $SUITE "${key[gst]}"
ffmpeg_send ffmpeg lan-a 660 $SECONDS_SENT $SUITE "${key[ffmpeg]}" "${ssrc[ffmpeg]}" 8020 "${INNER[a]}" $MEDIA
gst_send gst lan-a 770 $SECONDS_SENT $SUITE "${key[gst]}" "${ssrc[gst]}" "$PHONE" 8030 "${INNER[a]}" $MEDIA
# Of each: the sum alone would be reached with the RTCP of both before the last RTP packets of one.
whole() {
    ctl_json inner sa show "${id[$1]}" | jq -e ".sa | .packets > .streams[0].received and
        .streams[0].received >= $((SECONDS_SENT * 50))"
}
all_here() { whole ffmpeg && whole gst && at_least $((before + 2 * SECONDS_SENT * 50)) verdict dmz accepted; }
check "every packet came" wait_for 20 all_here
end_streams ffmpeg gst
check "ffmpeg: 660 Hz at a receiver that verifies" hears 660 "$W/got-ffmpeg.wav"
check "gst: 770 Hz at a receiver that verifies" hears 770 "$W/got-gst.wav"
for name in ffmpeg gst; do
    show=$(ctl_json inner sa show "${id[$name]}" | jq .sa)
    is "$name: nothing lost, nothing dropped, origin, key" \
        "$(jq -r '"\(.streams[0].lost) \(.dropped) \(.streams[0].origin) \(.key)"' <<<"$show")" \
        "0 0 assigned none"
    check "$name: RTP and RTCP" test "$(jq ".packets > .streams[0].received and
        .streams[0].received >= $((SECONDS_SENT * 50))" <<<"$show")" = true
done

for daemon in dmz inner; do
    is "$daemon: no SRTP call for any of it" "$(verifications $daemon)" $((N + 2))
done

# from RTPSEND-ARGUMENT...: N RTP packets and 2 of RTCP of the third sender.
from() {
    send_now sender lan-a --from "$PHONE:8040" --to "${INNER[a]}:$MEDIA" --key "${key[tool]}" \
        --rate 0 --count $N --rtcp-every 10 "$@"
}
forwarded="inner/rtp/accepted=$N inner/rtcp/accepted=2 dmz/tunnel/accepted=$((N + 2))"
dropped="inner/rtp/ssrc-mismatch=$N inner/rtcp/ssrc-mismatch=2"
receive tool inet $WEB:8040 --ports 2 --suite $SUITE --key "${key[tool]}" --wait 60 --timeout 60
moves "the SSRC that was given" "$forwarded" -- from --ssrc "${ssrc[tool]}" --save "$W/tool.sent"
moves "another SSRC, under the right key" "$dropped" -- from --ssrc $((ssrc[tool] ^ 1)) --seq 100
moves "the SSRC of another sender" "$dropped" -- from --ssrc "${ssrc[gst]}" --seq 200
moves "the SSRC that was given, from another port" "inner/rtp/no-sa=$N inner/rtcp/no-sa=2" -- \
    from --from "$PHONE:8044" --ssrc "${ssrc[tool]}" --seq 300
moves "too short for the tag of its suite" "inner/rtp/malformed=$N" -- \
    send_now sender lan-a --from "$PHONE:8040" --to "${INNER[a]}:$MEDIA" --plain --size 0 \
    --ssrc "${ssrc[tool]}" --seq 400 --rate 0 --count $N

say "the inner-relay is killed, and goes on by its state file"
kept() { [ "$(ctl_json inner sa show "${id[tool]}" | jq -c .sa.ssrc)" = "[${ssrc[tool]}]" ]; }
stop inner KILL
launch_example 4 inner-relay
tunnels_up inner dmz
wait_for 5 synced || bail "the SAs did not come into step"
check "the SSRC is the sender's still" kept
moves "and it sends on" "$forwarded" -- from --ssrc "${ssrc[tool]}" --seq 500 --save "$W/more.sent"
moves "with that SSRC only" "$dropped" -- from --ssrc $((ssrc[tool] ^ 1)) --seq 600
is "inner: not one SRTP call since its start" "$(verifications inner)" 0
is "dmz: none for senders inside" "$(verifications dmz)" $((N + 2))
stop tool TERM
is "the receiver verified all of them" "$(field tool '"\(.rtp) \(.rtcp) \(.auth_failures)"')" "$((2 * N)) 4 0"
cat "$W/tool.sent" "$W/more.sent" >"$W/wanted.sent"
check "octet for octet" same_datagrams "$W/wanted.sent" "$W/tool.got"

for name in internet tunnel lan; do end_capture $name; done
two_ports internet a
nothing_refused
done_testing
