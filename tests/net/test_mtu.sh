#!/bin/bash
# Packets that are larger than the relay takes, or than the path to the receiver allows: verdict
# too-big, never a fragment; smaller ones of the same sender go on.
. "$(dirname "$0")/lib.sh"

N=10
SUITE=AES_CM_128_HMAC_SHA1_80
SMALL=160
BIG=1300

pair_up
# Room for jumbo packets on the way to the dmz-relay; little behind each relay.
for link in "inet eth0" "fwx inet0" "fwx dmz0" "dmz eth0"; do
    read -r at device <<<"$link"
    in_ns "$at" ip link set "$device" mtu 9000
done
in_ns inside ip link set lan0 mtu 1280
in_ns lan ip link set eth0 mtu 1500
capture lan lan eth0 udp or 'ip[6:2] & 0x3fff != 0'

key=$(new_key $SUITE)
out_key=$(new_key $SUITE)
six_key=$(new_key $SUITE)
sa_add inner --side external --source $CLIENT:5004 --suite $SUITE --key "$key" --ssrc 1000 \
    --to $PHONE:6000 >/dev/null || bail "sa add"
sa_add inner --side external --source "[$CLIENT6]:5004" --suite $SUITE --key "$six_key" --ssrc 3000 \
    --to "[$PHONE6]:7000" >/dev/null || bail "sa add"
sa_add inner --side internal --source $PHONE:5004 --suite $SUITE --key "$out_key" --ssrc 2000 \
    --to $CLIENT:6000 >/dev/null || bail "sa add"
wait_for 3 sas_at dmz 3 || bail "the SAs did not reach the dmz-relay"

too_big() { verdict "$1" too-big "$2"; }
# three NAME SPACE KEY SSRC FROM TO: small, big and small packets.
three() {
    local name=$1 space=$2 key=$3 ssrc=$4 from=$5 to=$6 seq=1 size
    for size in $SMALL $BIG $SMALL; do
        send_now "$name$seq" "$space" --from "$from" --to "$to" --key "$key" --ssrc "$ssrc" \
            --seq $seq --count $N --rate 200 --size $size
        seq=$((seq + N))
    done
}

receive phone lan $PHONE:6000 --key "$key" --count $((2 * N)) --wait 15
three in inet "$key" 1000 $CLIENT:5004 $DMZ_RTP:$DMZ_PORT
check "the small ones arrive inside" finish_of phone 10
is "and only they" "$(field phone .rtp)" $((2 * N))
is "the inner-relay has the big ones as too-big" "$(too_big inner tunnel)" $N

receive phone6 lan "[$PHONE6]:7000" --key "$six_key" --count $((2 * N)) --wait 15
three six inet "$six_key" 3000 "[$CLIENT6]:5004" "[$DMZ_RTP6]:$DMZ_PORT"
check "IPv6: the small ones arrive inside" finish_of phone6 10
is "IPv6: and only they" "$(field phone6 .rtp)" $((2 * N))
is "IPv6: the inner-relay has the big ones as too-big" "$(too_big inner tunnel)" $((2 * N))

# Outbound, the narrow place is one hop further: the firewall reports it (ICMP), then the kernel knows.
in_ns inside ip link set lan0 mtu 1500
in_ns fwx ip link set inet0 mtu 1280
in_ns inet ip link set eth0 mtu 1500
receive client inet $CLIENT:6000 --key "$out_key" --count $((2 * N)) --wait 15
three out lan "$out_key" 2000 $PHONE:5004 $INNER_RTP:$INNER_PORT
check "the small ones arrive outside" finish_of client 10
is "and only they" "$(field client .rtp)" $((2 * N))
check "the dmz-relay has the big ones as too-big, but for the first, of which the firewall tells" \
    test "$(too_big dmz tunnel)" -ge $((N - 2))
in_ns fwx ip link set inet0 mtu 9000
in_ns inet ip link set eth0 mtu 9000

# Larger than the relay takes at all.
before=$(too_big dmz listener)
for ((i = 0; i < N; i++)); do
    printf '\x0b\xb8\x80\0' # u16 length 3000, then the datagram
    head -c 2998 /dev/zero
done >"$W/jumbo.packets"
send_now jumbo inet --from $CLIENT:5004 --to $DMZ_RTP:$DMZ_PORT --rate 200 --resend "$W/jumbo.packets"
check "packets of 3,000 octets are too-big on arrival" \
    wait_for 3 equals $((before + N)) too_big dmz listener
end_capture lan
is "no fragment was sent to the inside" "$(packets lan 'ip[6:2] & 0x3fff != 0')" 0
done_testing
