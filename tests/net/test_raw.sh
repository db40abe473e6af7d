#!/bin/bash
# carrier = raw: the connection of media is taken over from the kernels. Over a link that loses segments each way,
# through NAT, with strict connection tracking at the router, and sequence numbers that begin shortly before their wrap:
# no segment is invalid, what is lost stays lost and nothing waits for it, a short outage, after which numbers go back,
# one that ends the connection, a direction that is silent for longer than the router remembers a connection, and a
# daemon that is killed are survived, and both kernels say nothing, at the end neither.
#
# RAW_SECONDS=600 RAW_RATE=2000 tests/net/run test_raw.sh: the long form, calls for so long (here 1 s); one way only for
# RAW_ONE_WAY seconds (6), RAW_OUTAGE seconds of outage (2).
NET_CARRIER=raw
NET_RAW=yes
. "$(dirname "$0")/lib.sh"

CALLS=${RAW_SECONDS:-1}
RATE=${RAW_RATE:-1000}
ONE_WAY=${RAW_ONE_WAY:-6}
OUTAGE=${RAW_OUTAGE:-2}
SUITE=AES_CM_128_HMAC_SHA1_80
PHONE=${LAN[a]}
CABLE=dmz-a:eth1

SLOW[$CABLE]="--merge delay=20 isn=4294900000"
company a
rules_anybody a | firewall fwx-a
rules_tunnel a | firewall fwi-a
strict fwi-a
# offers SPACE NET OCTETS: TCP has a window scale there that is enough for so many. Half of that is soon sent in vain.
# And the kernel never comes so far: 65535 in a segment's header is ours.
offers() {
    local words
    in_ns "$1" sysctl -qw net.ipv4.tcp_rmem="4096 65536 $3"
    read -ra words < <(ip -n "$PFX-$1" route show "$2")
    ip -n "$PFX-$1" route change "${words[@]}" window "$3" || bail "the window of $1"
}
offers dmz-a "${DMZ_IN[a]%.*}.0/24" 131000
offers inner-a default 131000
key=$(new_key $SUITE)

raw() { ctl_json "$1" status | jq -r ".tunnels[0].raw | if . == null then \"none\" else .$2 end"; }
carrier() { ctl_json "$1" status | jq -r '.tunnels[0].carrier'; }
on_carrier() { wait_for 15 equals "$1" carrier inner && wait_for 15 equals "$1" carrier dmz; }
show() { say "$1: $(ctl_json "$1" status | jq -c '.tunnels[0] | {carrier, carrier_reason, sealed, early, raw}')"; }

# outage SECONDS: nothing passes the link.
outage() {
    link $CABLE outage=1 >"$W/reply"
    sleep "$1" # that is the test
    link $CABLE outage=0 >"$W/reply"
}

# calls in|both SECONDS [COMMAND...]: packets inwards, or each way, for so long, and the command meanwhile; how many
# came is in came_in and came_out. None is waited for: the receivers go when nothing has come for a second, or ten where
# that has to hold for minutes of a machine that may be busy. NEXT is the number of the next packet inwards, NEXT_OUT
# outwards: SRTP follows no jump of many thousands.
NEXT=0 NEXT_OUT=0
calls() {
    local count=$((RATE * $2)) seq=$((NEXT % 65536)) roc=$((NEXT / 65536)) roc_out=$((NEXT_OUT / 65536))
    local patience=$(($2 > 10 ? 10 : 1))
    receive got lan-a "$PHONE:7000" --key "$key" --roc $roc --count $count --timeout $patience
    [ "$1" != both ] || receive back inet $WEB:9000 --key "$key" --roc $roc_out --count $count --timeout $patience
    send in inet --from $WEB:6000 --to "${DMZ_OUT[a]}:$MEDIA" --key "$key" --rate "$RATE" --count $count --ssrc 1000 \
        --seq $seq --roc $roc
    [ "$1" != both ] ||
        send out lan-a --from "$PHONE:8000" --to "${INNER[a]}:$MEDIA" --key "$key" --rate "$RATE" --count $count \
            --ssrc 2000 --seq $((NEXT_OUT % 65536)) --roc $roc_out
    if [ $# -gt 2 ]; then
        wait_for 5 at_least 10000 stat -c %s "$W/got.got" || bail "the call does not begin"
        "${@:3}"
    fi
    finish_of in $(($2 + 20)) || return 1
    [ "$1" != both ] || finish_of out $(($2 + 20)) || return 1
    finish_of got 30
    came_in=$(field got .packets) came_out=0
    if [ "$1" = both ]; then
        finish_of back 30
        came_out=$(field back .packets) NEXT_OUT=$((NEXT_OUT + count))
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
# A machine that is busy meanwhile may make an outage of it that ends the connection, and its counters.
rewinds() { echo $(($(raw inner rewinds) < $(raw dmz rewinds) ? $(raw inner rewinds) : $(raw dmz rewinds))); }
for ((try = 1; try <= 3; try++)); do
    connects=$(status_of inner '.tunnels[0].connects')
    calls both 2 outage 0.6
    if [ "$(status_of inner '.tunnels[0].connects')" = "$connects" ] && at_least 1 rewinds; then break; fi
    on_carrier raw
done
check "an outage in which more than half of the window is sent: numbers go back, both ways" at_least 1 rewinds
check "packets come before and after it ($came_in inwards, $came_out outwards of $wanted)" come 5
is "connection tracking calls nothing invalid" "$(invalid fwi-a)" 0
connects=$(status_of inner '.tunnels[0].connects')

link $CABLE loss=2 >"$W/reply"
calls both "$CALLS"
check "with 2 % lost the others come" come 8
check "and what is lost stays lost" test "$came_in" -lt $((RATE * CALLS)) -a "$came_out" -lt $((RATE * CALLS))
# For a third of that time the router remembers a connection of which it sees nothing, or no acknowledgement. And the
# window is much less than what is sent: the end that has no media to send has to move it on, for the router, too.
MEMORY=$((ONE_WAY < 6 ? 2 : ONE_WAY / 3))
forgets fwi-a $MEMORY
# remembered: all connections to the dmz-relay, and no longer than that.
remembered() {
    equals "$(connections_of 1)" awk -v most=$MEMORY '$5 <= most { n++ } END { print n + 0 }' \
        <<<"$(tracked fwi-a ESTABLISHED "dport=$TUNNEL")"
}
in_its_time() { check "the router remembers a connection for $MEMORY s, and has both" wait_for 5 remembered; }
calls in "$ONE_WAY" in_its_time
check "one way only: what is not lost comes" test "$came_in" -ge $((RATE * ONE_WAY * 8 / 10))
is "it is the same connection all the time" "$(raw inner connections) $(status_of inner '.tunnels[0].connects')" \
    "$(($(connections_of 1) - 1)) $connects"
show inner
show dmz
is "no segment was out of place" "$(raw inner foreign) $(raw dmz foreign) $(raw inner reset) $(raw dmz reset)" "0 0 0 0"
is "connection tracking calls nothing invalid" "$(invalid fwi-a)" 0
# What follows is of daemons that say nothing for a while.
forgets fwi-a 300

link $CABLE loss=0 >"$W/reply"
send in inet --from $WEB:6000 --to "${DMZ_OUT[a]}:$MEDIA" --key "$key" --rate "$RATE" \
    --count $((RATE * (OUTAGE + 1))) --ssrc 1000 --seq $((NEXT % 65536)) --roc $((NEXT / 65536))
NEXT=$((NEXT + RATE * (OUTAGE + 1)))
outage "$OUTAGE"
finish_of in $((OUTAGE + 20))
check "after a long outage there is another one, and it is raw by itself" on_carrier raw
[ "$OUTAGE" -lt 5 ] || { calls both 1 && check "and packets come" come 8; }
is "connection tracking calls nothing invalid" "$(invalid fwi-a)" 0
killed=$(date +%s.%N)
stop inner KILL || :
launch_example 4 inner-relay # its SAs go on
tunnels_up inner dmz
check "a daemon that was killed comes back, and it is raw" on_carrier raw
calls both 1
check "and packets come" come 8

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

# What tshark makes of them. What was lost before it came by is "not captured", and what is ahead of that
# "out of order": that is no fault of any segment.
fields=(tcp.stream tcp.srcport tcp.seq_raw tcp.len tcp.ack_raw tcp.window_size tcp.checksum.status tcp.flags.fin)
tshark -n -r "$W/link.pcap" -c 200000 -o tcp.check_checksum:TRUE -o tcp.desegment_tcp_streams:FALSE \
    -d tcp.port==$TUNNEL,data -Y 'tcp.window_size_value == 65535 && tcp.flags.syn == 0' \
    -T fields "${fields[@]/#/-e}" >"$W/fields" 2>"$W/tshark.log"
# outside: ends behind what the other side has offered, or acknowledges what was not sent; then bad check sums.
read -r seen outside wrong < <(awk '
    function after(a, b) { a = (a - b) % 4294967296; if (a < 0) a += 4294967296; return a > 0 && a < 2147483648 }
    { way = $1 " " ($2 == 7000); back = $1 " " ($2 != 7000)
      end = ($3 + $4 + ($8 ~ /1|True/)) % 4294967296
      if ((back in edge && after(end, edge[back])) || (back in high && after($5, high[back]))) outside++
      if (!(way in high) || after(end, high[way])) high[way] = end
      offer = ($5 + $6) % 4294967296
      if (!(way in edge) || after(offer, edge[way])) edge[way] = offer
      wrong += $7 == 0 }
    END { print NR, outside + 0, wrong + 0 }' "$W/fields")
check "tshark knows them ($seen)" test "$seen" -ge "$RATE"
is "each is within the window, and acknowledges what was sent" "$outside" 0
[ ${#short[@]} != 0 ] || is "the check sums are right" "$wrong" 0
fins=$(tcpdump -n -r "$W/link.pcap" 'tcp[tcpflags] & tcp-fin != 0 and tcp[14:2] = 65535' 2>/dev/null |
    awk '{ print $3, $5 }' | sort -u | wc -l)
check "each end says FIN ($fins)" test "$fins" -ge 2
done_testing
