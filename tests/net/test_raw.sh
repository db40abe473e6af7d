#!/bin/bash
# carrier = raw: the connection of media is taken over from the kernels. Over a link that loses segments each way,
# through NAT, with strict connection tracking at the router, and sequence numbers that begin shortly before their wrap:
# no segment is invalid, what is lost stays lost and nothing waits for it, an outage, a silent direction and a daemon
# that is killed are survived, and both kernels say nothing, at the end neither.
#
# RAW_SECONDS=600 RAW_RATE=2000 tests/net/run test_raw.sh: the long form, calls for so long (here 1 s); one way only for
# RAW_ONE_WAY seconds (1), RAW_OUTAGE seconds of outage (1).
NET_CARRIER=raw
NET_RAW=yes
. "$(dirname "$0")/lib.sh"

CALLS=${RAW_SECONDS:-1}
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

# calls in|both SECONDS: packets inwards, or each way, for so long; how many came is in came_in and came_out. None is
# waited for: the receivers go when nothing has come for a second. NEXT is the number of the next packet.
NEXT=0
calls() {
    local count=$((RATE * $2)) seq=$((NEXT % 65536)) roc=$((NEXT / 65536))
    receive got lan-a "$PHONE:7000" --key "$key" --roc $roc --count $count --timeout 1
    [ "$1" != both ] || receive back inet $WEB:9000 --key "$key" --roc $roc --count $count --timeout 1
    send in inet --from $WEB:6000 --to "${DMZ_OUT[a]}:$MEDIA" --key "$key" --rate "$RATE" --count $count --ssrc 1000 \
        --seq $seq --roc $roc
    [ "$1" != both ] ||
        send out lan-a --from "$PHONE:8000" --to "${INNER[a]}:$MEDIA" --key "$key" --rate "$RATE" --count $count \
            --ssrc 2000 --seq $seq --roc $roc
    finish_of in $(($2 + 20)) || return 1
    [ "$1" != both ] || finish_of out $(($2 + 20)) || return 1
    finish_of got 30
    came_in=$(field got .packets) came_out=0
    if [ "$1" = both ]; then
        finish_of back 30
        came_out=$(field back .packets)
    fi
    NEXT=$((NEXT + count)) wanted=$count
    say "$1: $came_in inwards, $came_out outwards of $count"
}
# come TENTHS: at least so many came each way. A busy machine makes some too late.
come() { [ "$came_in" -ge $((wanted * $1 / 10)) ] && [ "$came_out" -ge $((wanted * $1 / 10)) ]; }

masquerade fwi-a dmz
# Of a long run only the heads.
if [ "$CALLS" -gt 10 ]; then short=(-s 100); else short=(); fi
capture link fwi-a dmz ${short[@]+"${short[@]}"} tcp
launch_example 4 dmz-relay
launch_example 4 inner-relay
tunnels_up inner dmz
sa_add inner --side external --source $WEB:6000 --source-policy strict --suite $SUITE --key "$key" \
    --ssrc 1000 --to "$PHONE:7000" >/dev/null || bail "sa add"
sa_add inner --side internal --source "$PHONE:8000" --source-policy strict --suite $SUITE --key "$key" \
    --ssrc 2000 --to $WEB:9000 >/dev/null || bail "sa add"
wait_for 10 sas_at dmz 2 || bail "the SAs did not reach the dmz-relay"
check "the carrier is raw" on_carrier raw
calls both 1
check "without loss packets come" come 8
is "connection tracking calls nothing invalid" "$(invalid fwi-a)" 0

link $CABLE loss=2 >"$W/reply"
calls both "$CALLS"
check "with 2 % lost the others come" come 8
check "and what is lost stays lost" test "$came_in" -lt $((RATE * CALLS)) -a "$came_out" -lt $((RATE * CALLS))
calls in "$ONE_WAY"
check "one way only: what is not lost comes" test "$came_in" -ge $((RATE * ONE_WAY * 8 / 10))
is "it is the same connection all the time" "$(raw inner connections) $(ctl_json inner status |
    jq '.tunnels[0].connects')" "$(($(connections_of 1) - 1)) 1"
is "no segment was out of place" "$(raw inner foreign) $(raw dmz foreign) $(raw inner reset) $(raw dmz reset)" "0 0 0 0"
is "connection tracking calls nothing invalid" "$(invalid fwi-a)" 0

link $CABLE loss=0 >"$W/reply"
send in inet --from $WEB:6000 --to "${DMZ_OUT[a]}:$MEDIA" --key "$key" --rate "$RATE" \
    --count $((RATE * (OUTAGE + 1))) --ssrc 1000 --seq $((NEXT % 65536)) --roc $((NEXT / 65536))
NEXT=$((NEXT + RATE * (OUTAGE + 1)))
link $CABLE outage=1 >"$W/reply"
sleep "$OUTAGE" # that is the test
link $CABLE outage=0 >"$W/reply"
finish_of in $((OUTAGE + 20))
check "after an outage it is raw" on_carrier raw

is "connection tracking calls nothing invalid" "$(invalid fwi-a)" 0
killed=$(date +%s.%N)
stop inner KILL || :
launch_example 4 inner-relay # its SAs go on
tunnels_up inner dmz
check "a daemon that was killed comes back, and it is raw" on_carrier raw
calls both 1
check "and packets come" come 8
show inner
show dmz

stop inner TERM || :
stop dmz TERM || :
end_capture link

# Of each end of a connection that was taken over: once it has sent a segment of ours (win 65535) it sends no others,
# and no RST. What its kernel has owed goes before. Where the daemon was killed the kernel says FIN, with its old
# numbers, and again, and may be told that nobody knows it.
strays() {
    tcpdump -n -tt -r "$W/link.pcap" tcp 2>/dev/null | awk -v killed="$killed" '
        { from = $3; to = substr($5, 1, length($5) - 1); way = from " " to; back = to " " from; flags = $7; win = ""
          for (i = 8; i < NF; i++) if ($i == "win") { win = $(i + 1); sub(/,$/, "", win) } }
        flags ~ /S/ { delete raw[way] }
        flags !~ /S/ && win == "65535" { raw[way] = 1; ours++; next }
        raw[way] && flags == "[F.]," && $1 > killed && to ~ /\.7000$/ { orphan[way] = 1 }
        raw[way] { left[way] = left[way] $0 "\n" }
        END { for (way in left) {
                  split(way, end, " ")
                  if (orphan[way] || orphan[end[2] " " end[1]]) orphans++; else printf "%s", left[way] }
              print ours + 0, orphans + 0 > "/dev/stderr" }' 2>"$W/ours"
}
is "no kernel has said a word in between or at the end" "$(strays | head -n 5)" ""
read -r ours orphans <"$W/ours"
say "segments of ours: $ours; ways on which a killed one was heard: $orphans"
check "in many segments of ours" test "$ours" -gt "$RATE"
if [ ${#short[@]} = 0 ]; then
    tcpdump -n -vv -r "$W/link.pcap" 'tcp[14:2] = 65535' 2>/dev/null >"$W/sums"
    check "their check sums are right" grep -q '(correct)' "$W/sums"
    is "all of them" "$(grep -c 'incorrect' "$W/sums")" 0
fi
fins=$(tcpdump -n -r "$W/link.pcap" 'tcp[tcpflags] & tcp-fin != 0 and tcp[14:2] = 65535' 2>/dev/null |
    awk '{ print $3, $5 }' | sort -u | wc -l)
check "each end says FIN ($fins)" test "$fins" -ge 2
done_testing
