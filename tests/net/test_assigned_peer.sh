#!/bin/bash
# Server-assigned SSRCs between two companies, with examples/fig9: company A compares the SSRC of its
# sender and verifies nothing, company B verifies. What A cannot tell, B drops.
. "$(dirname "$0")/lib.sh"

N=20
SUITE=AES_CM_128_HMAC_SHA1_80
FROM=${LAN[a]}
TO=${LAN[b]}

company a b
rules_peer a b | firewall fwx-a
rules_peer b a | firewall fwx-b
rules_tunnel a | firewall fwi-a
rules_tunnel b | firewall fwi-b
capture between fwx-a internet
for c in a b; do
    launch_example 9 dmz-relay-$c
    launch_example 9 inner-relay-$c
done
tunnels_up inner-a dmz-a inner-b dmz-b
verifications() { stats_of "$1" .counters.srtp_verifications; }

# call NAME PORT: an SA with an assigned SSRC in A, and one that verifies in B.
declare -A key=() ssrc=()
call() {
    local reply
    key[$1]=$(new_key $SUITE)
    reply=$(sa_add inner-a --side internal --source "$FROM:$2" --assign-ssrc --peer company-b) ||
        bail "sa add in A: $reply"
    ssrc[$1]=$(jq .ssrc <<<"$reply")
    sa_add inner-b --side external --peer company-a --suite $SUITE --key "${key[$1]}" \
        --ssrc "${ssrc[$1]}" --to "$TO:$2" >/dev/null || bail "sa add in B"
}
call tool 8000
call ffmpeg 8010
wait_for 3 sas_at dmz-a 2 || bail "the SAs did not reach the dmz-relay of A"
wait_for 3 sas_at dmz-b 2 || bail "the SAs did not reach the dmz-relay of B"

# from RTPSEND-ARGUMENT...: N RTP packets and 2 of RTCP.
from() {
    send_now sender lan-a --from "$FROM:8000" --to "${INNER[a]}:$MEDIA" --key "${key[tool]}" \
        --rate 0 --count $N --rtcp-every 10 "$@"
}
in_a="inner-a/rtp/accepted=$N inner-a/rtcp/accepted=2 dmz-a/tunnel/accepted=$((N + 2))"
at_b() { echo "dmz-b/rtp/$1=$N dmz-b/rtcp/$1=2"; }
receive tool lan-b "$TO:8000" --ports 2 --suite $SUITE --key "${key[tool]}" --wait 60 --timeout 60
moves "the SSRC that was given" "$in_a $(at_b accepted) inner-b/tunnel/accepted=$((N + 2))" -- \
    from --ssrc "${ssrc[tool]}" --save "$W/tool.sent"
moves "another SSRC, under the right key: dropped in A" \
    "inner-a/rtp/ssrc-mismatch=$N inner-a/rtcp/ssrc-mismatch=2" -- \
    from --ssrc $((ssrc[tool] ^ 1)) --seq 100
moves "the packets once more: dropped in B" "$in_a $(at_b replay)" -- \
    from --resend "$W/tool.sent"
moves "under a wrong key: dropped in B" "$in_a $(at_b auth-fail)" -- \
    from --ssrc "${ssrc[tool]}" --seq 200 --rtcp-index 100 --wrong-key
stop tool TERM
check "the sender's packets arrive octet for octet, and no other" \
    same_datagrams "$W/tool.sent" "$W/tool.got"

say "real media: ffmpeg in A, GStreamer in B"
before=$(verdict inner-b accepted tunnel)
gst_receive got-ffmpeg lan-b "$TO" 8010 $SUITE "${key[ffmpeg]}" "${ssrc[ffmpeg]}"
ffmpeg_send ffmpeg lan-a 660 $SECONDS_SENT $SUITE "${key[ffmpeg]}" "${ssrc[ffmpeg]}" 8010 "${INNER[a]}" $MEDIA
all_here() { at_least $((before + SECONDS_SENT * 50)) verdict inner-b accepted tunnel; }
check "every packet came" wait_for 20 all_here
end_streams ffmpeg
check "660 Hz in B" hears 660 "$W/got-ffmpeg.wav"
for daemon in inner-a dmz-a; do
    is "$daemon: not one SRTP call" "$(verifications $daemon)" 0
done
for daemon in dmz-b inner-b; do
    check "$daemon: one for each packet at least" at_least $((N + 2 + SECONDS_SENT * 50)) verifications $daemon
done

end_capture between
is "between the companies: nothing but the two ports" \
    "$(packets between "$QUIET and not (udp and src host ${DMZ_OUT[a]} and dst host ${DMZ_OUT[b]}
        and portrange $MEDIA-$((MEDIA + 1)))")" 0
# outer PORT: the SSRCs in front of what went there, each once.
outer() { payloads between "udp and dst port $1" | cut -c1-8 | sort -u | paste -sd ' '; }
given=$(printf '%08x\n' "${ssrc[@]}" | sort | paste -sd ' ')
is "RTP' has the SSRCs that were given in front" "$(outer $MEDIA)" "$given"
is "and so has RTCP'" "$(outer $((MEDIA + 1)))" "$given"
nothing_refused
done_testing
