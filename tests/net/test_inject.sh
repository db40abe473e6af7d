#!/bin/bash
# Who stands on the way of the connection of media and adds segments to it: copies, forged ones, cut ones, RST and
# FIN, octets of his own. Nothing of his is heard; no packet is lost and no connection ends but for what comes with
# the very next number, which any TCP would take for the other side's. On raw segments that changes nothing, either:
# copies, reordered and cut segments, blind RST and FIN, injected data leave the carrier and each packet as they are.
# NET_CARRIER=unordered or raw: one of the two alone.
STAGES=${NET_CARRIER-unordered raw}
NET_CARRIER=${STAGES%% *}
NET_RAW=yes
NET_MAX_AGE=1s
. "$(dirname "$0")/lib.sh"

N=300
RATE=400
SUITE=AES_CM_128_HMAC_SHA1_80
PHONE=${LAN[a]}
FIRST=0
WAYS='dmz inside'

company a
rules_anybody a | firewall fwx-a
rules_tunnel a | firewall fwi-a
key=$(new_key $SUITE)

early() { status_of "$1" ".tunnels[0].early.$2"; }
sealed() { status_of "$1" ".tunnels[0].sealed.$2"; }
on_carrier() { [ "$(status_of inner '.tunnels[0].carrier')$(status_of dmz '.tunnels[0].carrier')" = "$1$1" ]; }
# The ports of the inner-relay's connections.
ports() { in_ns dmz-a ss -Htn state established "sport = :$TUNNEL" | awk '{ print $4 }' | sort | paste -sd ' '; }

start_both() {
    launch_example 4 dmz-relay
    launch_example 4 inner-relay
    tunnels_up inner dmz
    wait_for 20 on_carrier "$NET_CARRIER" || bail "the carrier is $(status_of inner '.tunnels[0] | .carrier, .carrier_reason')"
    sa_add inner --side external --source $WEB:6000 --source-policy strict --suite $SUITE --key "$key" \
        --ssrc 1000 --to "$PHONE:7000" >/dev/null || bail "sa add"
    sa_add inner --side internal --source "$PHONE:8000" --source-policy strict --suite $SUITE --key "$key" \
        --ssrc 2000 --to $WEB:9000 >/dev/null || bail "sa add"
    wait_for 10 sas_at dmz 2 || bail "the SAs did not reach the dmz-relay"
}

# talk: N packets each way; what came is what was sent.
talk() {
    local name
    rm -f "$W"/{got,back}.{got,log}
    receive got lan-a "$PHONE:7000" --key "$key" --count $N
    receive back inet $WEB:9000 --key "$key" --count $N
    send in inet --from $WEB:6000 --to "${DMZ_OUT[a]}:$MEDIA" --key "$key" --rate $RATE --count $N --ssrc 1000 \
        --seq $FIRST --save "$W/in.sent"
    send out lan-a --from "$PHONE:8000" --to "${INNER[a]}:$MEDIA" --key "$key" --rate $RATE --count $N --ssrc 2000 \
        --seq $FIRST --save "$W/out.sent"
    FIRST=$((FIRST + N))
    for name in in out got back; do finish_of $name 20 || :; done
    same_datagrams "$W/in.sent" "$W/got.got" && same_datagrams "$W/out.sent" "$W/back.got"
}

# added NAME: he added some of each kind.
added() { [ "$(jq '.sent | all(. > 0)' "$W/$1.out")" = true ]; }

# begin ATTACK...: he adds segments to the connections of media, on these WAYS.
begin() {
    local control
    control=$(status_of dmz '.tunnels[0].peer')
    for place in $WAYS; do
        start "at-$place" fwi-a "$NET_TOOLS/injector" --device $place --port $TUNNEL --except "${control##*:}" "$@"
    done
}
end() {
    for place in $WAYS; do
        stop at-$place || bail "injector: $(cat "$W/at-$place.log")"
        say "$1, $place: $(cat "$W/at-$place.out")"
        check "$1: he was there" added "at-$place"
    done
}

told() {
    local name
    for name in inner dmz; do say "$name: $(status_of $name '.tunnels[0] | {sealed, early, raw} | tostring')"; done
}

# attacked NAME ATTACK...: nothing changes.
attacked() {
    local name=$1 before
    shift
    before=$(ports)
    begin "$@"
    check "$name: all packets come, both ways" talk
    end "$name"
    is "$name: the connections are the same" "$(ports)" "$before"
    check "$name: the carrier is, too" on_carrier "$NET_CARRIER"
}

# endured NAME ATTACK...: nothing of his is heard.
endured() {
    local name="$1, to $WAYS"
    shift
    wait_for 20 on_carrier "$NET_CARRIER" || bail "the carrier did not come back"
    begin "$@"
    talk >"$W/talk.diff" || say "$name: not all packets came"
    end "$name"
    check "$name: nothing but packets of the callers is heard inside" only_of "$W/in.sent" "$W/got.got"
    check "$name: nor outside" only_of "$W/out.sent" "$W/back.got"
}
# only_of SENT GOT: each of these was sent, and none came twice.
only_of() {
    datagrams "$1" >"$1.hex"
    datagrams "$2" >"$2.hex"
    [ -z "$(comm -13 "$1.hex" "$2.hex")" ]
}

[ "$NET_CARRIER" = raw ] ||
    in_ns inner-a sysctl -qw net.ipv4.tcp_rmem="4096 16384 32768" || bail "buffers of the inner-relay"
NET_CAPS=("${RAW_CAPS[@]}")
start_both
check "nobody is there: all packets come" talk
raw_stage() {
    attacked raw replay cut swap forge rst fin blind inject move
    check "raw: what was forged is counted" test "$(sealed dmz forged)" -gt 0 -a "$(sealed inner forged)" -gt 0
    told
    done_testing
}
[ "$NET_CARRIER" != raw ] || raw_stage

# The inner-relay stands still until its kernel takes no more: what waits meanwhile comes late, or is too old by then.
unsent() { in_ns dmz-a ss -Htni state established "sport = :$TUNNEL" | grep -qE 'notsent:[0-9]{4}'; }
accounted() { [ $(($(field got .packets) + $(verdict dmz tunnel-late) - late)) = 1000 ]; }
before=$(ports) late=$(verdict dmz tunnel-late)
receive got lan-a "$PHONE:7000" --key "$key" --count 1000 --wait 15 --timeout 3
send in inet --from $WEB:6000 --to "${DMZ_OUT[a]}:$MEDIA" --key "$key" --rate 1000 --count 1000 --ssrc 1000 --seq $FIRST
FIRST=$((FIRST + 1000))
wait_for 5 at_least $((N + 100)) sealed inner opened || bail "nothing came"
kill -STOP "${PID[inner]}"
within 1 unsent || say "it was not full within a second"
kill -CONT "${PID[inner]}"
finish_of in 20 && finish_of got 20 || :
if [ "$(ports)" = "$before" ]; then
    check "a full receive buffer: each packet comes, or is counted as late" accounted
else
    say "it stood still for so long that the connection ended"
fi
is "and no frame is forged" "$(sealed inner forged) $(sealed dmz forged)" "0 0"

attacked all replay cut swap forge rst fin blind
check "what was forged is counted" test "$(sealed dmz forged)" -gt 0 -a "$(sealed inner forged)" -gt 0
check "and what came again" test "$(early dmz copies)" -gt 0 -a "$(early inner copies)" -gt 0
# What the kernel takes for the next octets of the connection: it drops the genuine ones, and as long as its peer
# has not sent as much, the peer drops all that acknowledges them. That may be the end of any TCP; frames that are
# read early go on, and else there is a new connection.
WAYS=dmz
endured inject --every 10 inject
WAYS=inside
endured move --every 10 move
check "he is gone: the carrier is the same" wait_for 20 on_carrier "$NET_CARRIER"
check "and all packets come" talk
told
[ "$STAGES" != "$NET_CARRIER" ] || done_testing

for name in inner dmz; do stop $name || bail "$name did not stop cleanly"; done
in_ns inner-a sysctl -qw net.ipv4.tcp_rmem="4096 131072 6291456" || bail "buffers of the inner-relay"
NET_CARRIER=raw WAYS='dmz inside'
start_both
check "raw: all packets come" talk
raw_stage
