#!/bin/bash
# A tunnel whose cable takes half of what it is offered, and one that a bulk transfer fills: what arrives
# is young, all that is dropped is counted, control goes on, and bulk stands back for calls.
. "$(dirname "$0")/lib.sh"

CABLE=dmz:eth1
BENCH=$NET_BUILD/tests/bench/relaybench
TCP=$(cd "$(dirname "$0")/lib" && pwd)/tcp.py
NET_MAX_AGE=60ms
# One-way time, max-age and two RTT, in microseconds.
BOUND=$((20000 + 60000 + 2 * 40000))
SLOW[$CABLE]="delay=20 rate=4000 queue=300"
DMZ_EXTRA="[forward bulk]
listen = $DMZ_RTP:7000"
INNER_EXTRA="[forward bulk]
to = $PHONE:7000"

topology
# relaybench sends from one address of the Internet to one inside.
in_ns fwx nft insert rule inet external forward tcp dport 7000 accept
in_ns fwx nft insert rule inet external forward ct state established accept
certificates "$DMZ_NAME=dmz" "$SITE_A=inner"
dmz_config
inner_config
launch dmz
launch inner
wait_for 10 tunnel_up inner || bail "the tunnel did not come up"

# load STREAMS SECONDS: 50 packets/s each, from outside to inside; figures in NAME=VALUE words.
load() {
    in_ns inet timeout 60 "$BENCH" --control "$RUN/inner.sock" --outside $CLIENT:20000 --inside $PHONE:21000 \
        --sources 1 --sink-netns "$PFX-lan" --streams "$1" --seconds "$2" --line >"$W/load" 2>>"$W/load.log"
}
figure() { tr ' ' '\n' <"$W/load" | sed -n "s/^$1=//p"; }
late() { verdict dmz tunnel-late 'listener main rtp$'; }

is "the tunnel's algorithm is named" \
    "$(status_of dmz '.tunnels[0] | .congestion == "bbr" or (.tcp_refused | index("bbr") != null)')" true

# ---------------------------------------------------------------- half of what is offered

# 100 streams of 182 octets need 8 Mbit/s: 60 of them come first, until the kernel knows the cable, and
# are no part of the figures. Others may hold this machine up: the best of three runs counts.
others() {
    start others inet "$BENCH" --control "$RUN/inner.sock" --outside 198.51.100.11:20000 --inside 10.9.1.21:21000 \
        --sources 1 --sink-netns "$PFX-lan" --streams 60 --seconds 5 --line
    wait_for 5 sas_at dmz 60 || bail "the first 60 streams"
    before=$(late)
    wait_for 5 at_least $((before + 1500)) late || bail "they fit into the cable"
}
for try in 1 2 3; do
    others
    before=$(late)
    load 40 3 || bail "nothing came: $(tail -n 3 "$W/load.log")"
    counted=$(($(late) - before))
    finish_of others 20
    say "try $try: $(figure came) of $(figure sent) packets, p50 $(figure p50) us, p99 $(figure p99) us"
    [ "$(figure p99)" -gt $BOUND ] || break
done
check "p99 is at most one-way time, max-age and two RTT ($BOUND us)" test "$(figure p99)" -le $BOUND
check "the cable is used: two fifths arrive" test "$(figure came)" -ge $(($(figure sent) * 2 / 5))
check "what did not arrive was too late, and counted" test "$counted" -ge "$(figure lost)"
is "the tunnel has stayed up" "$(status_of inner '.tunnels[0].connects')" 1

# ---------------------------------------------------------------- control beside it

in_ns inet timeout 60 "$BENCH" --control "$RUN/inner.sock" --outside $CLIENT:20000 --inside $PHONE:21000 \
    --sources 1 --sink-netns "$PFX-lan" --streams 100 --seconds 2 --line >"$W/load" 2>>"$W/load.log" &
bench=$!
check "an SA that comes in the middle of that is at the dmz-relay" wait_for 10 sas_at dmz 100
sa_add inner --side external --source-policy strict --source $CLIENT:5004 --suite AES_CM_128_HMAC_SHA1_80 \
    --key-file - --to $PHONE:6000 --call-id late <<<"$(new_key AES_CM_128_HMAC_SHA1_80)" >"$W/reply" ||
    bail "sa add: $(cat "$W/reply")"
check "so is one more" wait_for 3 sas_at dmz 101
wait $bench

# ---------------------------------------------------------------- bulk beside calls

link $CABLE rate=2000 >"$W/reply"
start server lan python3 "$TCP" serve $PHONE 7000
wait_for 10 grep -q listening "$W/server.out" || bail "the server does not listen"
start call inet python3 "$TCP" call $CLIENT $DMZ_RTP 7000 400000
load 10 4 || bail "nothing came: $(tail -n 3 "$W/load.log")"
say "beside a transfer over 2 Mbit/s: $(figure lost) of $(figure sent) lost, p50 $(figure p50) us, p99 $(figure p99) us"
check "a transfer that takes all it can makes no more than 2 % of a call late" \
    test "$(figure lost)" -le $(($(figure sent) / 50))
check "half of the packets wait for less than the transfer would make them wait" test "$(figure p50)" -le 120000
finish_of call 30
is "and it comes to its end" "$(cat "$W/call.out")" "echoed 400000"
done_testing
