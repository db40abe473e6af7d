#!/bin/bash
# FIG. 9: two companies, each with a dmz-relay in the DMZ and an inner-relay inside, with
# examples/fig9. RTP' between the two DMZs, one TCP connection in each company, opened from the
# inside; the external firewalls let the two dmz-relays talk to each other and to nobody else.
. "$(dirname "$0")/lib.sh"

N=20
SUITE=AES_CM_128_HMAC_SHA1_80

company a b
rules_peer a b | firewall fwx-a
rules_peer b a | firewall fwx-b
for c in a b; do rules_tunnel $c | firewall fwi-$c; done
show_firewalls
for c in a b; do
    capture internet-$c fwx-$c internet
    capture tunnel-$c fwi-$c dmz
    launch_example 9 dmz-relay-$c
    launch_example 9 inner-relay-$c
done
tunnels_up inner-a dmz-a inner-b dmz-b

# primed FILE SSRC PORT: the datagrams that FILE holds of that port, in hex, as they must look
# between the DMZs: the SSRC in network order in front. RTCP has payload types from 200.
primed() {
    local types='^..[^c]'
    [ "$3" = $MEDIA ] || types='^..c'
    datagrams "$1" | grep "$types" | sed "s/^/$(printf %08x "$2")/"
}

# direction FROM TO SSRC: all rows for a sender in one company and a receiver in the other.
direction() {
    local a=$1 b=$2 ssrc=$3 key name=$1-to-$2 id port hop
    local sent="inner-$a/rtp/accepted=$N inner-$a/rtcp/accepted=2 dmz-$a/tunnel/accepted=$((N + 2))"
    local got="dmz-$b/rtp/accepted=$N dmz-$b/rtcp/accepted=2 inner-$b/tunnel/accepted=$((N + 2))"
    key=$(new_key $SUITE)
    local sender=(--rate 0 --count $N --rtcp-every 10 --key "$key" --ssrc "$ssrc"
        --from "${LAN[$a]}:6000" --to "${INNER[$a]}:$MEDIA")

    sa_add "inner-$a" --side internal --source "${LAN[$a]}:6000" --suite $SUITE --key "$key" \
        --ssrc "$ssrc" --peer company-$b >/dev/null || bail "sa add at $a"
    wait_for 3 sas_at "dmz-$a" 1 || bail "the SA did not reach the dmz-relay of $a"
    moves "$name: the other company has no SA" "$sent dmz-$b/rtp/no-sa=$N dmz-$b/rtcp/no-sa=2" -- \
        send_now sender "lan-$a" "${sender[@]}"
    id=$(sa_add "inner-$b" --side external --peer company-$a --suite $SUITE \
        --key "$(new_key $SUITE)" --ssrc "$ssrc" --to "${LAN[$b]}:7000" | jq .id)
    wait_for 3 sas_at "dmz-$b" 1 || bail "the SA did not reach the dmz-relay of $b"
    moves "$name: it has another key" "$sent dmz-$b/rtp/auth-fail=$N dmz-$b/rtcp/auth-fail=2" -- \
        send_now sender "lan-$a" "${sender[@]}" --seq 100 --rtcp-index 100
    ctl "inner-$b" sa delete "$id" >/dev/null
    sa_add "inner-$b" --side external --peer company-$a --suite $SUITE --key "$key" --ssrc "$ssrc" \
        --to "${LAN[$b]}:7000" >/dev/null || bail "sa add at $b"
    wait_for 3 equals 1 status_of "dmz-$b" .sas || bail "the SA did not reach the dmz-relay of $b"

    moves "$name: another SSRC does not leave the company" \
        "inner-$a/rtp/ssrc-mismatch=$N inner-$a/rtcp/ssrc-mismatch=2" -- \
        send_now sender "lan-$a" "${sender[@]}" --ssrc $((ssrc + 1))
    receive "$name" "lan-$b" "${LAN[$b]}:7000" --ports 2 --key "$key" --count $((N + 2)) --wait 20
    capture "$name" net "to-$a" udp
    moves "$name: all is right" "$sent $got" -- \
        send_now sender "lan-$a" "${sender[@]}" --seq 200 --rtcp-index 200 --save "$W/$name.sent"
    check "$name: the packets arrive" finish_of "$name" 10
    check "$name: octet for octet" same_datagrams "$W/$name.sent" "$W/$name.got"
    end_capture "$name"
    for port in $MEDIA $((MEDIA + 1)); do
        hop="src host ${DMZ_OUT[$a]} and src port $port and dst host ${DMZ_OUT[$b]} and dst port $port"
        payloads "$name" "$hop" | sort >"$W/$name.hop"
        primed "$W/$name.sent" "$ssrc" $port | sort >"$W/$name.primed"
        check "$name: port $port between the DMZs: SSRC + packet ($(wc -l <"$W/$name.hop") packets)" \
            cmp "$W/$name.primed" "$W/$name.hop"
        check "$name: and there were some" test -s "$W/$name.hop"
    done
    ctl "inner-$a" sa delete "$(ctl_json "inner-$a" sa list | jq '.sas[].id')" >/dev/null
    ctl "inner-$b" sa delete "$(ctl_json "inner-$b" sa list | jq '.sas[].id')" >/dev/null
    wait_for 3 sas_at "dmz-$b" 0 && wait_for 3 sas_at "dmz-$a" 0 || bail "the SAs stayed"
}
direction a b 1000
direction b a 2147483650 # which looks like version 2 of RTP

say "real media, both ways at once"
key_ab=$(new_key $SUITE) key_ba=$(new_key $SUITE)
call() { sa_add "$1" --suite $SUITE --call-id real "${@:2}" >/dev/null || bail "sa add at $1"; }
call inner-a --side internal --source "${LAN[a]}:8000" --key "$key_ab" --ssrc 11 --peer company-b
call inner-b --side external --peer company-a --key "$key_ab" --ssrc 11 --to "${LAN[b]}:8000"
call inner-b --side internal --source "${LAN[b]}:8010" --key "$key_ba" --ssrc 12 --peer company-a
call inner-a --side external --peer company-b --key "$key_ba" --ssrc 12 --to "${LAN[a]}:8010"
wait_for 3 sas_at dmz-a 2 && wait_for 3 sas_at dmz-b 2 || bail "the SAs did not reach the dmz-relays"
before_a=$(verdict inner-a accepted tunnel) before_b=$(verdict inner-b accepted tunnel)
gst_receive got-ab lan-b "${LAN[b]}" 8000 $SUITE "$key_ab" 11
ffmpeg_receive got-ba lan-a "${LAN[a]}" 8010 $SUITE "$key_ba"
ffmpeg_send ab lan-a 440 $SECONDS_SENT $SUITE "$key_ab" 11 8000 "${INNER[a]}" $MEDIA
gst_send ba lan-b 550 $SECONDS_SENT $SUITE "$key_ba" 12 "${LAN[b]}" 8010 "${INNER[b]}" $MEDIA
at_a() { at_least $((before_a + SECONDS_SENT * 50)) verdict inner-a accepted tunnel; }
at_b() { at_least $((before_b + SECONDS_SENT * 50)) verdict inner-b accepted tunnel; }
check "every packet came to company a" wait_for 20 at_a
check "every packet came to company b" wait_for 20 at_b
end_streams ab ba
check "b hears 440 Hz" hears 440 "$W/got-ab.wav"
check "a hears 550 Hz" hears 550 "$W/got-ba.wav"
nothing_refused

say "nobody else gets to a dmz-relay"
refused=$(fw_count fwx-a refused)
moves "a client on the Internet" "" -- send_now sender inet --rate 0 --count $N --rtcp-every 10 \
    --key "$key_ab" --ssrc 11 --from $WEB:$MEDIA --to "${DMZ_OUT[a]}:$MEDIA"
is "its packets end at the external firewall" "$(fw_count fwx-a refused)" $((refused + N + 2))

for c in a b; do
    end_capture internet-$c
    end_capture tunnel-$c
    one_tunnel tunnel-$c $c
done
two_ports internet-b b
ours="udp and src portrange $MEDIA-$((MEDIA + 1)) and dst portrange $MEDIA-$((MEDIA + 1))"
is "between the companies: the two ports of the two dmz-relays, and nothing else" "$(packets \
    internet-b "$QUIET and not ($ours and host ${DMZ_OUT[a]} and host ${DMZ_OUT[b]})")" 0
done_testing
