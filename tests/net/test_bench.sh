#!/bin/bash
# make bench, as short as can be and without peers: that it works. What it measures is not judged, but for
# what is right or wrong on any machine: forged and replayed packets.
. "$(dirname "$0")/lib.sh"

source=$(cd "$(dirname "$0")/../.." && pwd)
status=0
BENCH_SRCDIR=$source BENCH_BUILDDIR=$NET_BUILD BENCH_OUT=$W BENCH_SMOKE=yes BENCH_PEERS=none \
    "$source/tests/bench/run.sh" >"$W/bench.log" 2>&1 || status=$?
is "make bench: exit status" $status 0
[ $status = 0 ] || tail -n 20 "$W/bench.log" | sed 's/^/# /'
is "each load could be run" "$(grep -c '^failed' "$W/bench.results")" 0
for what in "direct 20000" "pair saturated" "pair saturated-gcm" "pair both-ways" "pair 20000" "pair-0 20000" "pair forged" \
    "pair sas-few" "pair sas-many"; do
    is "$what: a row" "$(grep -c "^run $what 1 " "$W/bench.results")" 1
    is "$what: no packet was altered" "$(grep "^run $what 1 " "$W/bench.results" | grep -c ' altered=0 ')" 1
done
# What a busy machine loses is not judged here: neither side's counters move by it.
is "forged and replayed packets, all and no others, are dropped" "$(awk '
    $1 == "run" && $3 == "forged" { for (i = 5; i <= NF; i++) { split($i, part, "="); v[part[1]] = part[2] } }
    $1 == "forged" { print $4 - $2 - v["forged"], $5 - $3 - v["replayed"], v["forged_came"], v["duplicates"] }
    ' "$W/bench.results")" "0 0 0 0"
like "the floor is measured" "$(cat "$W/bench.txt")" 'the pair saturated, against the floor +[0-9.]+ us +[0-9.]+ us +[0-9.]+ '
like "the peers are named as missing" "$(cat "$W/bench.md")" 'OpenVPN over TCP \| not asked for'
is "the plot is drawn" "$(grep -c '</svg>' "$W/bench.svg")" 1

done_testing
