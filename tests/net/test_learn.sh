#!/bin/bash
# Senders that are not where SDP says, with examples/fig4: phones behind a NAT router that takes other
# ports, whose SDP shows their private addresses, and of which only SIP told where they are; a phone
# that moves to another network. No SSRC is named. Media of ffmpeg and GStreamer goes both ways.
. "$(dirname "$0")/lib.sh"

SUITE=AES_CM_128_HMAC_SHA1_80
PHONE=${LAN[a]}
MOBILE=192.168.1.2

company a
home random
rules_anybody a | firewall fwx-a
rules_tunnel a | firewall fwi-a
show_firewalls
capture home home eth0 udp and src host "${DMZ_OUT[a]}"
capture web inet eth0 udp and dst host $WEB
capture internet fwx-a internet
capture tunnel fwi-a dmz
launch_example 4 dmz-relay
launch_example 4 inner-relay
tunnels_up inner dmz

# A phone sends and receives at one port, which two programs cannot: its receivers have their own.
for s in home lan-a; do
    in_ns $s nft -f - <<END || bail "ports of $s"
table netdev phones {
    chain in {
        type filter hook ingress device "eth0" priority -500;
        udp dport { 8000, 8001, 8010, 8011 } udp dport set udp dport map { 8000 : 9000, 8001 : 9001, 8010 : 9010, 8011 : 9011 }
    }
}
END
done

sa_field() { ctl_json "$1" sa show "$2" | jq -r ".sa.$3"; }
# call NAME KEY-OUTSIDE KEY-INSIDE PORT ARGUMENT...: a call of a phone, whose SDP and SIP are the
# arguments, with PHONE:PORT. Its SAs are OUTSIDE[NAME] and INSIDE[NAME].
declare -A OUTSIDE=() INSIDE=()
call() {
    local name=$1 key_out=$2 key_in=$3 port=$4
    shift 4
    OUTSIDE[$name]=$(sa_add inner --side external --suite $SUITE --key "$key_out" \
        --to "$PHONE:$port" --call-id "$name" "$@" | jq .id)
    INSIDE[$name]=$(sa_add inner --side internal --suite $SUITE --key "$key_in" \
        --source "$PHONE:$port" --reverse "${OUTSIDE[$name]}" --call-id "$name" | jq .id)
    [[ -n ${OUTSIDE[$name]} && -n ${INSIDE[$name]} ]] || bail "call $name"
}

# ---------------------------------------------------------------- real media, both ways

declare -A key=()
for name in ffmpeg gst; do
    key[$name-out]=$(new_key $SUITE)
    key[$name-in]=$(new_key $SUITE)
done
call ffmpeg "${key[ffmpeg-out]}" "${key[ffmpeg-in]}" 8000 --source $MOBILE:8000 --hint $NAT_ADDRESS
# Of this one SDP has the public address, as a client has that asks STUN, and ports that are no more.
call gst "${key[gst-out]}" "${key[gst-in]}" 8010 --source $NAT_ADDRESS:4000
wait_for 3 sas_at dmz 4 || bail "the SAs did not reach the dmz-relay"

moves "before the phone has sent, nothing can be sent to it" \
    "inner/rtp/accepted=5 dmz/tunnel/no-destination=5" -- \
    send_now early lan-a --rate 0 --count 5 --from "$PHONE:8000" --to "${INNER[a]}:$MEDIA" \
    --key "${key[ffmpeg-in]}" --ssrc 20 --seq 1
is "and nothing was" "$(packets home)" 0

gst_receive got-up-ffmpeg lan-a "$PHONE" 9000 $SUITE "${key[ffmpeg-out]}" 11
ffmpeg_receive got-up-gst lan-a "$PHONE" 9010 $SUITE "${key[gst-out]}"
ffmpeg_receive got-down-gst home $MOBILE 9000 $SUITE "${key[ffmpeg-in]}"
gst_receive got-down-ffmpeg home $MOBILE 9010 $SUITE "${key[gst-in]}" 23
ffmpeg_send up-ffmpeg home 440 $SECONDS_SENT $SUITE "${key[ffmpeg-out]}" 11 8000 "${DMZ_OUT[a]}" $MEDIA $MOBILE
gst_send up-gst home 550 $SECONDS_SENT $SUITE "${key[gst-out]}" 12 $MOBILE 8010 "${DMZ_OUT[a]}" $MEDIA
heard_by() { at_least 1 sa_field dmz "$1" packets; }
check "the first packets of both phones are theirs" \
    wait_for 5 eval "heard_by ${OUTSIDE[ffmpeg]} && heard_by ${OUTSIDE[gst]}"
gst_send down-gst lan-a 660 $SECONDS_SENT $SUITE "${key[ffmpeg-in]}" 22 "$PHONE" 8000 "${INNER[a]}" $MEDIA
SEQ=1000 ffmpeg_send down-ffmpeg lan-a 770 $SECONDS_SENT $SUITE "${key[gst-in]}" 23 8010 "${INNER[a]}" $MEDIA
for row in up-ffmpeg:ffmpeg:OUTSIDE up-gst:gst:OUTSIDE down-gst:ffmpeg:INSIDE down-ffmpeg:gst:INSIDE; do
    IFS=: read -r name of side <<<"$row"
    declare -n ids=$side
    at=dmz
    [ "$side" = OUTSIDE ] || at=inner
    check "$name: every packet came" wait_for 15 at_least $((SECONDS_SENT * 50)) \
        sa_field $at "${ids[$of]}" packets
done
end_streams up-ffmpeg up-gst down-gst down-ffmpeg
for row in "up-ffmpeg 440" "up-gst 550" "down-gst 660" "down-ffmpeg 770"; do
    read -r name tone <<<"$row"
    check "$name: $tone Hz" hears "$tone" "$W/got-$name.wav"
done
source=$(sa_field dmz "${OUTSIDE[ffmpeg]}" bound)
like "the phone is bound where the NAT router has it" "$source" "^$NAT_ADDRESS:[0-9]+$"
refuse "at another port than it has itself" test "$source" = "$NAT_ADDRESS:8000"
is "its SSRC is known to the dmz-relay" "$(sa_field dmz "${OUTSIDE[ffmpeg]}" 'streams[0].ssrc')" 11
is "and to the inner-relay" "$(sa_field inner "${OUTSIDE[ffmpeg]}" 'streams[0].ssrc')" 11

# ---------------------------------------------------------------- 50 phones behind one address

phones_key=$(new_key $SUITE)
sending=(--from 192.168.1.1:20000 --to "${DMZ_OUT[a]}:$MEDIA" --key "$phones_key" --derive --ssrc 1000)
in_ns home "$NET_TOOLS/rtpsend" "${sending[@]}" --streams 50 --print-keys >"$W/phones"
jq -r .key "$W/phones" >>"$W/keys"
n=0 first=
while read -r stream_key; do
    n=$((n + 1))
    id=$(sa_add inner --side external --suite $SUITE --key "$stream_key" --source "192.168.1.$n:4000" \
        --hint $NAT_ADDRESS --to "$PHONE:$((10000 + 2 * n))" | jq .id)
    first=${first:-$id}
done < <(jq -r .key "$W/phones")
wait_for 5 sas_at dmz 54 || bail "the SAs did not reach the dmz-relay"
before=$(stats_of dmz '.counters.learn_tries')
send_now phones home "${sending[@]}" --streams 30 --count 100
# packets COUNT: of each of the 30, after those that were needed to find out whose they are.
ctl_json dmz sa list | jq --argjson first "$first" \
    '[.sas[] | select(.id >= $first) | .packets]' >"$W/heard"
say "packets of each phone that were forwarded, of 100: $(jq -c sort "$W/heard")"
is "30 of 50 phones behind one address send, and each is heard within a second" \
    "$(jq '[.[] | select(. > 50)] | length' "$W/heard")" 30
is "the 20 silent ones are not" "$(jq '[.[] | select(. == 0)] | length' "$W/heard")" 20
say "verifications for unknown senders: $(($(stats_of dmz '.counters.learn_tries') - before))"

# ---------------------------------------------------------------- handover

move_out=$(new_key $SUITE) move_in=$(new_key $SUITE)
call move "$move_out" "$move_in" 8020 --source $MOBILE:6000 --hint $NAT_ADDRESS
wait_for 3 sas_at dmz 56 || bail "the SAs did not reach the dmz-relay"
at_home_since=$(now_ms)
send_now there home --from $MOBILE:6000 --to "${DMZ_OUT[a]}:$MEDIA" --key "$move_out" --ssrc 30 --count 20
like "the phone is in its home network" "$(sa_field dmz "${OUTSIDE[move]}" bound)" "^$NAT_ADDRESS:"
send back lan-a --from "$PHONE:8020" --to "${INNER[a]}:$MEDIA" --key "$move_in" --ssrc 31 --count 0
came=$(packets web "dst port 7000")
is "nothing is sent to the other network yet" "$came" 0
at_home=$(sa_field inner "${OUTSIDE[move]}" packets)
begun=$(now_ms)
send mobile inet --from $WEB:7000 --to "${DMZ_OUT[a]}:$MEDIA" --key "$move_out" --ssrc 30 --seq 21 --count 100
at_web() { [ "$(sa_field dmz "${OUTSIDE[move]}" bound)" = $WEB:7000 ]; }
check "it moves, and the way back follows" wait_for 5 at_web
say "after $(($(now_ms) - begun)) ms"
# The last of 20 packets left there 380 ms after the first, at least.
check "not before a second without a packet from home" \
    test $(($(now_ms) - at_home_since)) -ge 1380
came() { at_least 5 packets web "dst port 7000"; }
check "media arrives there" wait_for 5 came
finish_of mobile 10 || bail "rtpsend mobile"
stop back
check "none of its packets is lost inward" \
    wait_for 3 equals $((at_home + 100)) sa_field inner "${OUTSIDE[move]}" packets

for name in internet tunnel home web; do end_capture $name; done
one_tunnel tunnel a
two_ports internet a
done_testing
