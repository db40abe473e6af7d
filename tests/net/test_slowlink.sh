#!/bin/bash
# The slow cable and the strict routers of lib/link.sh: what it delays, loses, keeps back, puts in order and
# cuts, and what the routers take for invalid.
#
#   left ---- slow cable ---- mid ---- right
#   10.1.0.2             10.1.0.1, NAT: 10.2.0.1    10.2.0.2
. "$(dirname "$0")/lib.sh"

CABLE=left:eth0
BENCH=$NET_BUILD/tests/bench/relaybench
SLOW[$CABLE]="delay=20"
for s in left mid right; do space $s; done
cable left eth0 mid left0
cable mid right0 right eth0
address left eth0 10.1.0.2/24 2001:db8:1::2/64
address mid left0 10.1.0.1/24 2001:db8:1::1/64
address mid right0 10.2.0.1/24
address right eth0 10.2.0.2/24
route left default 10.1.0.1
router mid
strict mid
masquerade mid right0

# flow STREAMS SECONDS [OPTION...]: 50 packets/s each, from left to mid; figures in NAME=VALUE words.
flow() {
    local streams=$1 seconds=$2
    shift 2
    in_ns left timeout 60 "$BENCH" --direct --outside 10.1.0.2:20000 --sources 1 --inside 10.1.0.1:21000 \
        --sink-netns "$PFX-mid" --streams "$streams" --seconds "$seconds" --line "$@" >"$W/flow" 2>>"$W/flow.log"
}
between() { [ "$3" -ge "$1" ] && [ "$3" -le "$2" ]; }
figure() { tr ' ' '\n' <"$W/flow" | sed -n "s/^$1=//p"; }

# ---------------------------------------------------------------- delay, loss, rate, outage

flow 1 0.2 # the ends find each other
check "packets pass" flow 100 2
is "all of them" "$(figure lost)" 0
say "5,000 packets/s, 20 ms: p50 $(figure p50) us, p99 $(figure p99) us; out late: $(link_count $CABLE '"\(.out.late) of \(.out.passed), at most \(.out.late_max_us) us"')"
# How late they are is the machine's, too: the line above says it.
check "none is early, and half of them not very late" between 20000 30000 "$(figure p50)"
link $CABLE delay=5 >"$W/reply"
check "the delay can be changed" flow 20 1
check "it is another one then" between 5000 19000 "$(figure p50)"
refuse "settings that there are not are refused" link $CABLE delai=5

lost_before=$(link_count $CABLE .out.lost)
link $CABLE delay=0 loss=10 seed=7 >"$W/reply"
check "with loss, some pass" flow 100 1
lost=$(figure lost)
check "about a tenth of 5,000 is lost ($lost)" between 380 620 "$lost"
is "as the link has counted" "$(($(link_count $CABLE .out.lost) - lost_before))" "$lost"
link $CABLE seed=7 >"$W/reply"
flow 100 1
is "the same seed loses as many once more" "$(figure lost)" "$lost"

# 100 streams of 50 packets/s with 252 octets on the cable are 10,080 kbit/s.
link $CABLE loss=0 rate=5000 queue=40 >"$W/reply"
check "at half the rate that it is offered, some pass" flow 100 1
say "at half the rate: $(figure loss) % lost, p50 $(figure p50) us, at most $(figure max) us"
is "what is lost is the queue's overflow" "$(link_count $CABLE .out.overflow)" "$(figure lost)"
check "about half" between 2000 3000 "$(figure lost)"
check "half of them wait for most of the queue's 40 ms" test "$(figure p50)" -gt 30000
link $CABLE rate=0 out.outage=1 >"$W/reply"
refuse "in an outage nothing passes" flow 10 0.2
is "the link has counted that" "$(link_count $CABLE .out.outage)" "$(figure sent)"
is "and the other way is not cut" "$(link_count $CABLE .back.outage)" 0
link $CABLE outage=0 >"$W/reply"
check "after it all do" flow 10 0.2
is "none is lost then" "$(figure lost)" 0

# ---------------------------------------------------------------- order

# Sequence numbers of RTP in the order in which they come.
link $CABLE delay=1 reorder=5 reorder-by=30 >"$W/reply"
capture order mid left0 udp dst port 21500
send_now order left --from 10.1.0.2:21600 --to 10.1.0.1:21500 --plain --count 400 --rate 400
sequence() { payloads order | cut -c 5-8; }
check "all packets come, though not in order" wait_for 5 equals 400 eval 'sequence | wc -l'
end_capture order
is "those that the link has counted are behind others" \
    "$(sequence | awk '{ n = 0; for (i = 1; i <= 4; i++) n = n * 16 + index("0123456789abcdef", substr($1, i, 1)) - 1
                         if (n < top) behind++; else top = n } END { print behind + 0 }')" \
    "$(link_count $CABLE .out.reordered)"
link $CABLE reorder=0 >"$W/reply"

# ---------------------------------------------------------------- TCP through NAT and boxes

start server right python3 "$lib/tcp.py" serve 10.2.0.2 7000
wait_for 5 eval 'in_ns right ss -Hltn "sport = :7000" | grep -q .' || bail "the server does not listen"
call() { in_ns left timeout 30 python3 "$lib/tcp.py" call 10.1.0.2 10.2.0.2 7000 "$1" | tee "$W/call.out" | grep -q "^echoed $1"; }

# segments NAME: of a capture with absolute numbers: "source begin end" of those with data.
segments() {
    tcpdump -n -t -S -r "$W/$1.pcap" 2>/dev/null |
        sed -nE 's/^IP ([0-9.]+) > [0-9.]+: .* seq ([0-9]+):([0-9]+),.*/\1 \2 \3/p'
}
# first_of NAME SOURCE: the sequence number of its first SYN.
first_of() {
    tcpdump -n -t -S -r "$W/$1.pcap" 2>/dev/null |
        sed -nE "s/^IP ${2//./\\.}\.[0-9]+ > .* \[S\.?\], seq ([0-9]+),.*/\1/p" | head -n 1
}
# holes NAME SOURCE: how many segments began beyond all that had come before.
holes() {
    segments "$1" | awk -v source="$2." 'index($1, source) == 1 {
        if (next_one != "" && ($2 - next_one + 2 ^ 32) % 2 ^ 32 > 0 && ($2 - next_one + 2 ^ 32) % 2 ^ 32 < 2 ^ 31) holes++
        if (next_one == "" || ($3 - next_one + 2 ^ 32) % 2 ^ 32 < 2 ^ 31) next_one = $3 } END { print holes + 0 }'
}

link $CABLE delay=5 loss=3 seed=3 isn=4294900000 >"$W/reply"
capture near left eth0 tcp port 7000
capture far mid left0 tcp port 7000
check "TCP with loss, through NAT and across the end of its numbers" call 1000000
is "the client's first number is the box's" "$(first_of far 10.1.0.2)" 4294900000
is "the server's, too" "$(first_of near 10.2.0.2)" 4294900000
refuse "and it has chosen another one itself" equals 4294900000 first_of near 10.1.0.2
check "segments came with holes before them" test "$(holes far 10.1.0.2)" -gt 0
is "connection tracking has found nothing invalid" "$(invalid mid)" 0
check "the NAT knows it" tracked mid "src=10.1.0.2 dst=10.2.0.2" "dst=10.2.0.1" "dport=7000"
end_capture near
end_capture far

link $CABLE isn=0 in-order=1 loss=5 >"$W/reply"
capture order2 mid left0 tcp port 7000
check "TCP with loss, through a box that puts it in order" call 500000
end_capture order2
is "no segment came with a hole before it" "$(holes order2 10.1.0.2)" 0
check "because the box kept some back" test "$(link_count $CABLE .out.held)" -gt 0

# ---------------------------------------------------------------- what a strict router takes

link $CABLE in-order=0 loss=0 delay=0 >"$W/reply"
cat >"$W/stray.py" <<'END'
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
head = struct.pack("!HHIIBBHHH", 4000, 7000, 1, 1, 0x50, 0x10, 1000, 0, 0)
words = struct.pack("!4s4sBBH", socket.inet_aton("10.1.0.2"), socket.inet_aton("10.2.0.2"), 0, 6, len(head)) + head
total = sum(struct.unpack("!%dH" % (len(words) // 2), words))
total = (total & 0xffff) + (total >> 16)
total = ~((total & 0xffff) + (total >> 16)) & 0xffff
s.sendto(head[:16] + struct.pack("!H", total) + head[18:], ("10.2.0.2", 0))
END
before=$(invalid mid)
in_ns left python3 "$W/stray.py"
check "a segment of no connection is invalid" wait_for 5 equals $((before + 1)) invalid mid
forgets mid 1
start mute left python3 "$lib/tcp.py" mute 10.1.0.2 10.2.0.2 7000 1
alive() { tracked mid ESTABLISHED src=10.1.0.2 | grep -q .; }
check "a connection is tracked" wait_for 5 alive
check "and forgotten when it says nothing for a second" wait_for 5 eval '! alive'
done_testing
