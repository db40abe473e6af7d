#!/bin/bash
# A real SRTP audio stream each way, made and decoded by ffmpeg, through the pair and both
# firewalls: the tones are heard, the packets arrive octet for octet, and nothing but the two UDP
# ports and one TCP connection was used.
. "$(dirname "$0")/lib.sh"

SUITE=AES_CM_128_HMAC_SHA1_80
IN_SSRC=$((0x10203040))
OUT_SSRC=$((0x50607080))

topology
show_rules
certificates "$DMZ_NAME=dmz" "$SITE_A=inner"
dmz_config
inner_config
capture inet fwx inet0
capture dmz fwi dmz0
capture lan lan eth0
launch dmz
launch inner
wait_for 10 tunnel_up inner || bail "the tunnel did not come up"

in_key=$(new_key $SUITE)
out_key=$(new_key $SUITE)
reply=$(sa_add inner --side external --source-policy strict --source $CLIENT:5004 --suite $SUITE --key-file - \
    --ssrc $IN_SSRC --to $PHONE:6000 --call-id audio <<<"$in_key") || bail "sa add: $reply"
is "the sender outside is told where to send" "$(jq -r .send_to <<<"$reply")" "$DMZ_RTP:$DMZ_PORT"
is "and where to send RTCP" "$(jq -r .send_rtcp_to <<<"$reply")" "$DMZ_RTP:$((DMZ_PORT + 1))"
in_id=$(jq .id <<<"$reply")
reply=$(sa_add inner --side internal --source-policy strict --source $PHONE:5004 --suite $SUITE --key-file - \
    --ssrc $OUT_SSRC --to $CLIENT:6000 --call-id audio --reverse "$in_id" <<<"$out_key") ||
    bail "sa add: $reply"
is "the sender inside is told where to send" "$(jq -r .send_to <<<"$reply")" "$INNER_RTP:$INNER_PORT"
out_id=$(jq .id <<<"$reply")
check "the dmz-relay has both SAs" wait_for 3 sas_at dmz 2

ffmpeg_receive inside lan $PHONE 6000 $SUITE "$in_key"
ffmpeg_receive internet inet $CLIENT 6000 $SUITE "$out_key"
ffmpeg_send in inet 440 $SECONDS_SENT $SUITE "$in_key" $IN_SSRC 5004 $DMZ_RTP $DMZ_PORT
ffmpeg_send out lan 880 $SECONDS_SENT $SUITE "$out_key" $OUT_SSRC 5004 $INNER_RTP $INNER_PORT
accepted() { verdict dmz accepted "$1"; }
check "the counters move while it runs" wait_for 3 at_least 50 accepted 'listener main rtp$'
check "in both directions" wait_for 3 at_least 50 accepted tunnel
finish_of in 20
finish_of out 20
check "the receiver inside ends by the sender's BYE" finish_of inside 5
check "the receiver outside ends by the sender's BYE" finish_of internet 5

check "440 Hz inside" hears 440 "$W/inside.wav"
check "880 Hz outside" hears 880 "$W/internet.wav"
refuse "and not the tone that was sent the other way" hears 880 "$W/inside.wav"

expected=$((SECONDS_SENT * 50))
for id in $in_id $out_id; do
    for daemon in dmz inner; do
        show=$(ctl_json $daemon sa show "$id")
        is "$daemon: SA $id had no loss" "$(jq '.sa.streams[0].lost' <<<"$show")" 0
        is "$daemon: SA $id had every packet" \
            "$(jq '.sa.packets >= '$expected' and .sa.dropped == 0' <<<"$show")" true
    done
done

# Nothing more moves now: what the captures have is all.
for name in inet dmz lan; do end_capture $name; done
for pair in "in $DMZ_PORT 6000 $CLIENT $INNER_RTP" "out $INNER_PORT 6000 $PHONE $DMZ_RTP"; do
    read -r way sent_port got_port from by <<<"$pair"
    sent=inet got=lan
    [ $way = in ] || sent=lan got=inet
    for offset in 0 1; do
        text="RTP"
        [ $offset = 0 ] || text="RTCP"
        payloads $sent "src host $from and udp dst port $((sent_port + offset))" >"$W/sent.hex"
        payloads $got "src host $by and udp dst port $((got_port + offset))" >"$W/got.hex"
        check "$way: $text arrives octet for octet, in order ($(wc -l <"$W/sent.hex") packets)" \
            cmp "$W/sent.hex" "$W/got.hex"
        check "$way: and there was $text" test -s "$W/sent.hex"
    done
done

ours="ip and udp and host $DMZ_RTP and (port $DMZ_PORT or port $((DMZ_PORT + 1)))"
# Neighbours and multicast groups of a link are no traffic between networks.
quiet="not arp and not icmp6 and not dst net ff02::/16"
is "external firewall: nothing but the two UDP ports" "$(packets inet "$quiet and not ($ours)")" 0
is "external firewall: in, only to the two ports" \
    "$(packets inet "udp and dst host $DMZ_RTP and not dst portrange $DMZ_PORT-$((DMZ_PORT + 1))")" 0
is "external firewall: out, only from the two ports" \
    "$(packets inet "udp and src host $DMZ_RTP and not src portrange $DMZ_PORT-$((DMZ_PORT + 1))")" 0
is "internal firewall: nothing but TCP with the tunnel port" \
    "$(packets dmz "$quiet and not (tcp and host $DMZ_TUNNEL and port $DMZ_TCP)")" 0
is "internal firewall: one connection" \
    "$(packets dmz 'tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn')" "$(connections_of 1)"
is "internal firewall: opened from the inside" \
    "$(packets dmz 'src host 10.9.0.10 and tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn')" "$(connections_of 1)"
is "external firewall refused nothing" "$(fw_packets fwx refused)" 0
is "internal firewall refused nothing" "$(fw_packets fwi refused)" 0
is "media to the inside has DSCP EF" \
    "$(packets lan "src host $INNER_RTP and udp and ip[1] & 0xfc != 0xb8")" 0
is "media to the Internet has DSCP EF" \
    "$(packets inet "src host $DMZ_RTP and udp and ip[1] & 0xfc != 0xb8")" 0
check "the tunnel has DSCP EF" test "$(packets dmz 'tcp and ip[1] & 0xfc == 0xb8')" -gt 200

for daemon in dmz inner; do
    is "$daemon: every packet was accepted" "$(verdicts $daemon | tr ' ' '\n' | grep -vc '^accepted=')" 0
done
done_testing
