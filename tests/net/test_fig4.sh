#!/bin/bash
# FIG. 4: a client on the Internet and a client in the corporate network, with examples/fig4. The SA
# is found by who sends (IP, port). No SA: dropped. An SSRC that is not the SA's: dropped, though the
# packet is authentic. The SA's: forwarded. RTP and RTCP, both directions, and real media.
. "$(dirname "$0")/lib.sh"

N=20
SUITE=AES_CM_128_HMAC_SHA1_80
PHONE=${LAN[a]}

company a
rules_anybody a | firewall fwx-a
rules_tunnel a | firewall fwi-a
show_firewalls
capture internet fwx-a internet
capture tunnel fwi-a dmz
capture lan lan-a eth0
launch_example 4 dmz-relay
launch_example 4 inner-relay
tunnels_up inner dmz

key=$(new_key $SUITE)
outside=(--from $WEB:6000 --to "${DMZ_OUT[a]}:$MEDIA" --key "$key")
inside=(--from "$PHONE:6000" --to "${INNER[a]}:$MEDIA" --key "$key")
both() { echo "$1/rtp/$2=$N $1/rtcp/$2=2"; }
# from SPACE RTPSEND-ARGUMENT...: N RTP packets and 2 of RTCP.
from() {
    local space=$1
    shift
    send_now sender "$space" --rate 0 --count $N --rtcp-every 10 "$@"
}
# Here the source is what tells the sender: it is not learned.
add() { sa_add inner --source-policy strict --suite $SUITE --key "$key" "$@" || bail "sa add"; }

# direction NAME SIDE SPACE DAEMON OTHER-DAEMON SOURCE TO TO-SPACE SENDER...: all rows of one direction,
# whose packets come to DAEMON and go through the tunnel to OTHER-DAEMON.
direction() {
    local name=$1 side=$2 space=$3 here=$4 there=$5 source=$6 to=$7 to_space=$8 id sas forwarded
    shift 8
    local sender=("$@") elsewhere=("$@") other_port=("$@")
    elsewhere[1]=${ELSEWHERE[$side]}:6000
    other_port[1]=${source%:*}:6002
    forwarded="$(both "$here" accepted) $there/tunnel/accepted=$((N + 2))"

    moves "$name: no SA" "$(both "$here" no-sa)" -- from "$space" "${sender[@]}" --ssrc 1000
    sas=$(status_of dmz .sas)
    id=$(add --side "$side" --source "$source" --ssrc 1000 --to "$to" | jq .id)
    wait_for 3 sas_at dmz $((sas + 1)) || bail "the SA did not reach the dmz-relay"
    moves "$name: an SA, but another host sends" "$(both "$here" no-sa)" -- \
        from "$space" "${elsewhere[@]}" --ssrc 1000 --seq 100
    moves "$name: an SA, but another port sends" "$(both "$here" no-sa)" -- \
        from "$space" "${other_port[@]}" --ssrc 1000 --seq 100
    moves "$name: authentic with the SA's key, but of another SSRC" "$(both "$here" ssrc-mismatch)" -- \
        from "$space" "${sender[@]}" --ssrc 1001 --save "$W/$name-other.sent"
    receive "$name" "$to_space" "$to" --ports 2 --key "$key" --count $((N + 2)) --wait 20
    moves "$name: the SSRC of the SA" "$forwarded" -- \
        from "$space" "${sender[@]}" --ssrc 1000 --seq 200 --save "$W/$name.sent"
    check "$name: and they arrive" finish_of "$name" 10
    check "$name: octet for octet" same_datagrams "$W/$name.sent" "$W/$name.got"

    # That those of the other SSRC were authentic: an SA with that SSRC takes the very same packets.
    ctl inner sa delete "$id" >/dev/null || bail "sa delete"
    wait_for 3 sas_at dmz "$sas" || bail "the SA did not go"
    moves "$name: the SA is gone" "$(both "$here" no-sa)" -- \
        from "$space" "${sender[@]}" --ssrc 1000 --seq 300
    add --side "$side" --source "$source" --ssrc 1001 --to "$to" >/dev/null
    wait_for 3 sas_at dmz $((sas + 1)) || bail "the SA did not reach the dmz-relay"
    receive "$name" "$to_space" "$to" --ports 2 --key "$key" --count $((N + 2)) --wait 20
    moves "$name: those of the other SSRC, for an SA that has it" "$forwarded" -- \
        from "$space" "${sender[@]}" --resend "$W/$name-other.sent"
    check "$name: they arrive now" finish_of "$name" 10
    check "$name: as they were sent" same_datagrams "$W/$name-other.sent" "$W/$name.got"
}
declare -A ELSEWHERE=([external]=$WEB_OTHER [internal]=${PHONE%.*}.2)
direction inward external inet dmz inner $WEB:6000 "$PHONE:7000" lan-a "${outside[@]}"
direction outward internal lan-a inner dmz "$PHONE:6000" $WEB:7000 inet "${inside[@]}"

say "real media: ffmpeg and GStreamer on either side, four streams at once"
declare -A real=()
# real NAME SIDE FROM TO SSRC: its SA.
real() {
    real[$1]=$(new_key $SUITE)
    sa_add inner --side "$2" --source "$3" --suite $SUITE --key "${real[$1]}" --ssrc "$5" --to "$4" \
        >/dev/null || bail "sa add $1"
}
real in-ffmpeg external $WEB:8000 "$PHONE:8000" 11
real in-gst external $WEB:8010 "$PHONE:8010" 12
real out-ffmpeg internal "$PHONE:8020" $WEB:8020 13
real out-gst internal "$PHONE:8030" $WEB:8030 14
wait_for 3 sas_at dmz 6 || bail "the SAs did not reach the dmz-relay"
before=$(verdict dmz accepted)
ffmpeg_receive got-in-gst lan-a "$PHONE" 8010 $SUITE "${real[in-gst]}"
gst_receive got-in-ffmpeg lan-a "$PHONE" 8000 $SUITE "${real[in-ffmpeg]}" 11
ffmpeg_receive got-out-gst inet $WEB 8030 $SUITE "${real[out-gst]}"
gst_receive got-out-ffmpeg inet $WEB 8020 $SUITE "${real[out-ffmpeg]}" 13
ffmpeg_send in-ffmpeg inet 440 $SECONDS_SENT $SUITE "${real[in-ffmpeg]}" 11 8000 "${DMZ_OUT[a]}" $MEDIA
gst_send in-gst inet 550 $SECONDS_SENT $SUITE "${real[in-gst]}" 12 $WEB 8010 "${DMZ_OUT[a]}" $MEDIA
ffmpeg_send out-ffmpeg lan-a 660 $SECONDS_SENT $SUITE "${real[out-ffmpeg]}" 13 8020 "${INNER[a]}" $MEDIA
gst_send out-gst lan-a 770 $SECONDS_SENT $SUITE "${real[out-gst]}" 14 "$PHONE" 8030 "${INNER[a]}" $MEDIA
all_here() { at_least $((before + 4 * SECONDS_SENT * 50)) verdict dmz accepted; }
check "every packet came" wait_for 20 all_here
end_streams in-ffmpeg in-gst out-ffmpeg out-gst
for row in "in-ffmpeg 440" "in-gst 550" "out-ffmpeg 660" "out-gst 770"; do
    read -r name tone <<<"$row"
    check "$name: $tone Hz" hears "$tone" "$W/got-$name.wav"
done
for name in internet tunnel lan; do end_capture $name; done
for row in "in-ffmpeg $PHONE 8001" "in-gst $PHONE 8011" "out-ffmpeg $WEB 8021" "out-gst $WEB 8031"; do
    read -r name address port <<<"$row"
    capture=lan
    [ "$address" = "$PHONE" ] || capture=internet
    check "$name: RTCP, too" test "$(packets $capture "udp and dst host $address and dst port $port")" -gt 0
done

one_tunnel tunnel a
two_ports internet a
nothing_refused
done_testing
