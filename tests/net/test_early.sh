#!/bin/bash
# Sealed frames read from a raw socket, before the kernel has put their segments in order: over a link that loses
# segments, a packet does not wait for the one before it. Without the privilege the same wire works in its order.
NET_CARRIER=unordered
NET_RAW=yes
NET_MAX_AGE=1s
. "$(dirname "$0")/lib.sh"

N=1000
RATE=1000
SUITE=AES_CM_128_HMAC_SHA1_80
PHONE=${LAN[a]}
CABLE=dmz-a:eth1

SLOW[$CABLE]="--merge delay=20"
company a
rules_anybody a | firewall fwx-a
rules_tunnel a | firewall fwi-a
strict fwi-a
key=$(new_key $SUITE)

early() { ctl_json "$1" status | jq -r ".tunnels[0].early | if . == null then \"none\" else .$2 end"; }
sealed() { ctl_json "$1" status | jq -r ".tunnels[0].sealed.$2"; }
carrier() { ctl_json "$1" status | jq -r '.tunnels[0].carrier'; }
on_carrier() { wait_for 5 equals "$1" carrier inner && wait_for 5 equals "$1" carrier dmz; }
# The capabilities that a daemon has left, in any of its threads.
capabilities() {
    sed -n 's/^Cap\(Inh\|Prm\|Eff\|Amb\):\t//p' /proc/"${PID[$1]}"/task/*/status | sort -u
}

# Of TCP, in a namespace.
raw_sockets() { in_ns "$1" cat /proc/net/raw /proc/net/raw6 | grep -c ':0006 '; }

start_both() {
    launch_example 4 dmz-relay
    launch_example 4 inner-relay
    tunnels_up inner dmz
    check "the carrier is unordered" on_carrier unordered
    sa_add inner --side external --source $WEB:6000 --source-policy strict --suite $SUITE --key "$key" \
        --ssrc 1000 --to "$PHONE:7000" >/dev/null || bail "sa add"
    sa_add inner --side internal --source "$PHONE:8000" --source-policy strict --suite $SUITE --key "$key" \
        --ssrc 2000 --to $WEB:9000 >/dev/null || bail "sa add"
    wait_for 3 sas_at dmz 2 || bail "the SAs did not reach the dmz-relay"
}

# both FIRST [ARGUMENT...]: N packets each way, from this number on; what came, in its order, in got.got and back.got.
both() {
    local first=$1
    shift
    rm -f "$W"/{got,back}.{got,log}
    receive got lan-a "$PHONE:7000" --key "$key" --count $N --wait 20
    receive back inet $WEB:9000 --key "$key" --count $N --wait 20
    send in inet --from $WEB:6000 --to "${DMZ_OUT[a]}:$MEDIA" --key "$key" --rate "$RATE" --count $N --ssrc 1000 \
        --seq "$first" --save "$W/in.sent" "$@"
    send out lan-a --from "$PHONE:8000" --to "${INNER[a]}:$MEDIA" --key "$key" --rate "$RATE" --count $N --ssrc 2000 \
        --seq "$first" --save "$W/out.sent" "$@"
    finish_of in 20 && finish_of out 20 && finish_of got 20 && finish_of back 20 &&
        same_datagrams "$W/in.sent" "$W/got.got" && same_datagrams "$W/out.sent" "$W/back.got"
}
# overtakes FILE: so many packets came before one that was sent earlier.
overtakes() {
    od -An -v -tu1 -w1 "$1" | awk '
        head < 2 { left = left * 256 + $1; if (++head == 2) at = 0; next }
        { at++; if (at == 3) seq = $1 * 256; if (at == 4) seq += $1
          if (at == left) { if (seq < high) late++; else high = seq; head = 0; left = 0 } }
        END { print late + 0 }'
}

NET_CAPS=("${RAW_CAPS[@]}")
start_both
is "no reason to say" "$(status_of inner '.tunnels[0].carrier_reason')" null
is "the inner-relay has given its capability up" "$(capabilities inner)" 0000000000000000
is "the dmz-relay, too" "$(capabilities dmz)" 0000000000000000
is "what it was for stays: raw sockets, of both IP versions" "$(raw_sockets inner-a) $(raw_sockets dmz-a)" "2 2"
check "without loss all packets come" both 0
# Now and then the kernel's order is read first.
check "nearly each was opened early inside" test "$(early inner opened)" -ge $((N * 9 / 10))
check "and outside" test "$(early dmz opened)" -ge $((N * 9 / 10))
check "and hardly anything was read again" test "$(early inner discarded)" -gt $((N * 200)) -a \
    "$(early dmz discarded)" -gt $((N * 200))
RATE=20000
segments=$(early inner segments) opened=$(early inner opened)
check "at 20,000 a second, too" both 2000
check "some share a segment, or came in several that were merged" test $((4 * ($(early inner opened) - opened))) -gt \
    $((5 * ($(early inner segments) - segments)))
RATE=1000
link $CABLE loss=2 >"$W/reply"
check "with 2 % lost all packets come" both 4000
check "those behind a lost one overtook it inside ($(overtakes "$W/got.got"))" test "$(overtakes "$W/got.got")" -gt 5
check "and outside ($(overtakes "$W/back.got"))" test "$(overtakes "$W/back.got")" -gt 5
for name in inner dmz; do
    check "$name: what is missing is asked for" test "$(early $name asked)" -gt 0
    check "$name: what the other side asks for is sent again" test "$(sealed $name repeated)" -gt 0
done
say "inner: $(ctl_json inner status | jq -c '.tunnels[0] | {sealed, early}')"
say "dmz: $(ctl_json dmz status | jq -c '.tunnels[0] | {sealed, early}')"
is "no frame is forged, and segments begin with frames" \
    "$(sealed inner forged) $(sealed dmz forged) $(early inner unaligned) $(early dmz unaligned)" "0 0 0 0"
is "connection tracking calls nothing invalid" "$(invalid fwi-a)" 0

stop inner TERM || :
stop dmz TERM || :
NET_WORKERS=2/2
start_both
is "with two threads nobody has a capability" "$(capabilities inner) $(capabilities dmz)" \
    "0000000000000000 0000000000000000"
check "and with 2 % lost all packets come" both 6000
check "in the threads, too, packets overtook lost ones inside ($(overtakes "$W/got.got"))" \
    test "$(overtakes "$W/got.got")" -gt 0
check "and outside ($(overtakes "$W/back.got"))" test "$(overtakes "$W/back.got")" -gt 0
is "no frame is forged" "$(sealed inner forged) $(sealed dmz forged)" "0 0"

stop inner TERM || :
stop dmz TERM || :
NET_WORKERS=1/1
NET_CAPS=("${NO_CAPS[@]}")
link $CABLE loss=0 >"$W/reply"
start_both
check "without the privilege the inner-relay says so" grep -q 'raw-socket: .*CAP_NET_RAW.*in their order' "$W/inner.log"
check "and the dmz-relay" grep -q 'raw-socket: .*CAP_NET_RAW.*in their order' "$W/dmz.log"
for name in inner dmz; do
    check "$name: status does so, too" grep -q 'order: .*CAP_NET_RAW' <<<"$(status_of $name '.tunnels[0].carrier_reason')"
done
is "no raw socket is there" "$(raw_sockets inner-a) $(raw_sockets dmz-a)" "0 0"
is "nothing is read early" "$(early inner opened) $(early dmz opened)" "none none"
link $CABLE loss=2 >"$W/reply"
check "the same wire carries all packets" both 8000
is "in their order" "$(overtakes "$W/got.got") $(overtakes "$W/back.got")" "0 0"
done_testing
