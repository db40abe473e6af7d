#!/bin/bash
# [dmz NAME] carrier = unordered: media goes in sealed frames on a connection of its own, both ways, octet for
# octet; each segment begins with a frame. When that connection is cut, media goes by the one of control until it
# is back. With several threads all their connections are sealed.
NET_CARRIER=unordered
. "$(dirname "$0")/lib.sh"

N=100
SUITE=AES_CM_128_HMAC_SHA1_80
PHONE=${LAN[a]}

company a
rules_anybody a | firewall fwx-a
rules_tunnel a | firewall fwi-a
launch_example 4 dmz-relay
launch_example 4 inner-relay
tunnels_up inner dmz
key=$(new_key $SUITE)

connections() { in_ns dmz-a ss -Htn state established "sport = :$TUNNEL" | wc -l; }
carrier() { ctl_json "$1" status | jq -r '.tunnels[0].carrier'; }
reason() { status_of "$1" '.tunnels[0].carrier_reason'; }
sealed() { ctl_json "$1" status | jq -r ".tunnels[0].sealed.$2"; }
on_carrier() { wait_for 5 equals "$1" carrier inner && wait_for 5 equals "$1" carrier dmz; }

add_sas() {
    sa_add inner --side external --source $WEB:6000 --source-policy strict --suite $SUITE --key "$key" \
        --ssrc 1000 --to "$PHONE:7000" >/dev/null || bail "sa add"
    sa_add inner --side internal --source "$PHONE:8000" --source-policy strict --suite $SUITE --key "$key" \
        --ssrc 2000 --to $WEB:9000 >/dev/null || bail "sa add"
    wait_for 3 sas_at dmz 2 || bail "the SAs did not reach the dmz-relay"
}
add_sas

# both FIRST [ARGUMENT...]: N packets each way, from this number on.
both() {
    local first=$1
    shift
    send in inet --from $WEB:6000 --to "${DMZ_OUT[a]}:$MEDIA" --key "$key" --rate 1000 --count $N --ssrc 1000 \
        --seq "$first" --save "$W/in.sent" "$@"
    send out lan-a --from "$PHONE:8000" --to "${INNER[a]}:$MEDIA" --key "$key" --rate 1000 --count $N --ssrc 2000 \
        --seq "$first" --save "$W/out.sent" "$@"
    finish_of in 10 && finish_of out 10
}
through="dmz/rtp/accepted=$N inner/rtp/accepted=$N dmz/tunnel/accepted=$N inner/tunnel/accepted=$N"

# segments WHAT FILTER: of those with data; starts: how many begin like a sealed frame, or a record of TLS.
segments() {
    tcpdump -nr "$W/$1.pcap" "tcp port $TUNNEL and ip[2:2] - ((ip[0] & 15) << 2) - ((tcp[12] & 0xf0) >> 2) > 0 $2" \
        2>/dev/null | wc -l
}
starts='and tcp[((tcp[12] & 0xf0) >> 2):4] & 0xffffff00 = 0x17030300'

check "the carrier is unordered" on_carrier unordered
is "there are two connections" "$(connections)" 2
capture tunnel fwi-a dmz
receive got lan-a "$PHONE:7000" --key "$key" --count $N --wait 20
receive back inet $WEB:9000 --key "$key" --count $N --wait 20
moves "packets both ways" "$through" -- both 1
check "they arrive inside" finish_of got 10
check "and outside" finish_of back 10
check "octet for octet inside" same_datagrams "$W/in.sent" "$W/got.got"
check "and outside" same_datagrams "$W/out.sent" "$W/back.got"
end_capture tunnel
check "they went through the sealed connection" test "$(sealed inner opened)" -ge $N
check "both ways" test "$(sealed dmz opened)" -ge $N
is "no frame is forged" "$(sealed inner forged) $(sealed dmz forged)" "0 0"
is "each segment begins with a frame" "$(segments tunnel "$starts")" "$(segments tunnel "")"
check "relayctl shows it" grep -q unordered <<<"$(ctl inner status)"

opened=$(sealed inner opened)
moves "the longest packets are larger than a segment" "$through" -- both 200 --size 1440
check "they went by the connection of control" test "$(status_of inner '.tunnels[0].larger')" -ge $N -a \
    "$(status_of dmz '.tunnels[0].larger')" -ge $N -a $(($(sealed inner opened) - opened)) -lt $N
is "no frame is forged" "$(sealed inner forged) $(sealed dmz forged)" "0 0"

# cut_media: nothing more of that connection comes through, and no new one.
cut_media() {
    local control
    control=$(status_of dmz '.tunnels[0].peer')
    in_ns fwi-a nft -f - <<END
table inet cut {
    chain forward {
        type filter hook forward priority -10
        tcp sport $TUNNEL tcp dport != ${control##*:} drop
        tcp dport $TUNNEL tcp sport != ${control##*:} drop
    }
}
END
}
cut_media || bail "nft"
check "its connection is cut: by stream" on_carrier stream
check "status says why ($(reason inner))" grep -q '^the connection of media is not up' <<<"$(reason inner)"
moves "and packets go on" "$through" -- both 400
in_ns fwi-a nft delete table inet cut
check "it comes back" on_carrier unordered
is "and frames are read in their order" "$(reason inner)" "frames are read in their order: [tunnel] raw-socket = no"
moves "with all packets" "$through" -- both 600

stop inner TERM || :
stop dmz TERM || :
NET_WORKERS=2/2
launch_example 4 dmz-relay
launch_example 4 inner-relay
tunnels_up inner dmz
add_sas
check "two threads: three connections" wait_for 5 equals 3 connections
check "unordered" on_carrier unordered
moves "and all packets" "$through" -- both 800
is "no frame is forged" "$(sealed inner forged) $(sealed dmz forged)" "0 0"
done_testing
