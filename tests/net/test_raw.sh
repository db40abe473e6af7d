#!/bin/bash
# carrier = raw: the connection of media is taken over from the kernels. Over a link that loses segments each way,
# through NAT, with strict connection tracking at the router, and sequence numbers that begin shortly before their wrap:
# no segment is invalid, what is lost stays lost and nothing waits for it, an outage and a silent direction are survived,
# and both kernels say nothing, at the end neither.
#
# RAW_SECONDS=600 RAW_RATE=2000 tests/net/run test_raw.sh: the long form, calls for so long (here 1 s); one way only for
# RAW_ONE_WAY seconds (1), RAW_OUTAGE seconds of outage (1).
NET_CARRIER=raw
NET_RAW=yes
. "$(dirname "$0")/lib.sh"

SECONDS_OF_CALLS=${RAW_SECONDS:-1}
RATE=${RAW_RATE:-1000}
ONE_WAY=${RAW_ONE_WAY:-1}
OUTAGE=${RAW_OUTAGE:-1}
SUITE=AES_CM_128_HMAC_SHA1_80
PHONE=${LAN[a]}
CABLE=dmz-a:eth1

SLOW[$CABLE]="--merge delay=20 isn=4294900000"
company a
rules_anybody a | firewall fwx-a
rules_tunnel a | firewall fwi-a
strict fwi-a
key=$(new_key $SUITE)

raw() { ctl_json "$1" status | jq -r ".tunnels[0].raw | if . == null then \"none\" else .$2 end"; }
carrier() { ctl_json "$1" status | jq -r '.tunnels[0].carrier'; }
on_carrier() { wait_for 15 equals "$1" carrier inner && wait_for 15 equals "$1" carrier dmz; }
show() { say "$1: $(ctl_json "$1" status | jq -c '.tunnels[0] | {carrier, carrier_reason, sealed, early, raw}')"; }

# calls out|back|both SECONDS SEQ: packets for so long; what came is in came_out and came_back. No packet is awaited:
# the receivers go when nothing has come for a second.
calls() {
    local count=$((RATE * $2))
    came_out=0 came_back=0
    rm -f "$W"/{got,back}.{got,log}
    receive got lan-a "$PHONE:7000" --key "$key" --count $count --wait 2
    receive back inet $WEB:9000 --key "$key" --count $count --wait 2
    [ "$1" = back ] || send in inet --from $WEB:6000 --to "${DMZ_OUT[a]}:$MEDIA" --key "$key" --rate "$RATE" \
        --count $count --ssrc 1000 --seq "$3" --save "$W/in.sent"
    [ "$1" = out ] || send out lan-a --from "$PHONE:8000" --to "${INNER[a]}:$MEDIA" --key "$key" --rate "$RATE" \
        --count $count --ssrc 2000 --seq "$3" --save "$W/out.sent"
    [ "$1" = back ] || finish_of in $(($2 + 20)) || return 1
    [ "$1" = out ] || finish_of out $(($2 + 20)) || return 1
    finish_of got 30
    finish_of back 30
    came_out=$(datagrams "$W/got.got") came_back=$(datagrams "$W/back.got")
    say "$1: $came_out inwards, $came_back outwards of $count"
}
datagrams() {
    [ -e "$1" ] || { echo 0; return; }
    od -An -v -tu1 -w1 "$1" | awk 'head < 2 { left = left * 256 + $1; head++; next } { if (--left == 0) { n++; head = 0 } } END { print n + 0 }'
}

NET_CAPS=("${RAW_CAPS[@]}")
masquerade fwi-a dmz
capture link fwi-a dmz tcp
launch_example 4 dmz-relay
launch_example 4 inner-relay
tunnels_up inner dmz
sa_add inner --side external --source $WEB:6000 --source-policy strict --suite $SUITE --key "$key" \
    --ssrc 1000 --to "$PHONE:7000" >/dev/null || bail "sa add"
sa_add inner --side internal --source "$PHONE:8000" --source-policy strict --suite $SUITE --key "$key" \
    --ssrc 2000 --to $WEB:9000 >/dev/null || bail "sa add"
wait_for 5 sas_at dmz 2 || bail "the SAs did not reach the dmz-relay"
check "the carrier is raw" on_carrier raw
calls both "$SECONDS_OF_CALLS" 0
is "without loss all packets come" "$came_out $came_back" "$((RATE * SECONDS_OF_CALLS)) $((RATE * SECONDS_OF_CALLS))"
show inner
show dmz
is "connection tracking calls nothing invalid" "$(invalid fwi-a)" 0
done_testing
