#!/bin/sh
# Starts a pair of relays on loopback, loads it at a few rates and prints a table.
# "make bench" runs it; everything it makes is in a folder of its own, which is removed.
#   BENCH_SECONDS   of each row (default 3)
#   BENCH_ROWS      rows "STREAMS RATE SIZE SUITE" instead of the ones below, one a line
set -eu
. "${BENCH_SRCDIR:?run this by make bench}/tests/bench/pair.sh"
bench=$BENCH_BUILDDIR/tests/bench/relaybench
seconds=${BENCH_SECONDS:-3}
rows=${BENCH_ROWS:-"
1 50 160 AES_CM_128_HMAC_SHA1_80
100 50 160 AES_CM_128_HMAC_SHA1_80
100 50 160 AEAD_AES_128_GCM
500 50 160 AES_CM_128_HMAC_SHA1_80
10 1000 160 AES_CM_128_HMAC_SHA1_80
10 1000 1200 AES_CM_128_HMAC_SHA1_80"}

table_head() {
    echo "direction: in (from outside), back; pkt/s sent and received; loss in percent; duplicates;"
    echo "one-way delay in microseconds; the most that the generator itself was late, in ms;"
    echo "CPU time of each daemon in microseconds for each packet that arrived (in steps of 10 ms"
    echo "in all: of little worth in short rows of few packets)."
    echo "Each row is one run, and generator and relays share the cores: near what they can do,"
    echo "loss and delay differ widely from run to run. Repeat a row before you compare it."
    printf '%-4s %7s %8s %8s %7s %5s %7s %7s %7s %7s %8s %11s %11s\n' \
        "" streams sent received loss dup p50 p99 p99.9 max gen-late cpu-dmz cpu-inner
}

make_certs
write_configs ""
start dmz dmz-relay
dmz=$pid
start inner inner-relay
inner=$pid
wait_for_tunnel
table_head
status=0
echo "$rows" | {
    while read -r streams rate size suite; do
        [ -n "$streams" ] || continue
        echo "# $streams streams of $rate packets/s each way, $size octets, $suite"
        "$bench" --control "$work/inner.sock" --pid "dmz=$dmz" --pid "inner=$inner" --table \
            --back --streams "$streams" --rate "$rate" --size "$size" --suite "$suite" \
            --seconds "$seconds" || status=1
    done
    exit $status
} || fail "a row failed"
