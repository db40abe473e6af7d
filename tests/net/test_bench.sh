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
# What a busy machine loses is not judged here, but it has to be counted: of those that were sent and not seen as what
# they are, there are no more than the kernel dropped, and the dmz-relay for the rate of an SA.
is "forged and replayed packets, all and no others, are dropped" "$(awk '
    $1 == "run" && $3 == "forged" { for (i = 5; i <= NF; i++) { split($i, part, "="); v[part[1]] = part[2] } }
    $1 == "forged" { forged = v["forged"] - ($4 - $2); replayed = v["replayed"] - ($5 - $3); unseen = $6 }
    END {
        seen = forged >= 0 && replayed >= 0 && forged + replayed <= unseen
        print seen && v["forged_came"] + v["duplicates"] == 0 ? "seen" : "missing: " forged " forged, " replayed \
            " replayed; unseen: " unseen "; came: " v["forged_came"] " forged, " v["duplicates"] " twice"
    }' "$W/bench.results")" seen
like "the floor is measured" "$(cat "$W/bench.txt")" 'the pair saturated, against the floor +[0-9.]+ us +[0-9.]+ us +[0-9.]+ '
like "the peers are named as missing" "$(cat "$W/bench.md")" 'OpenVPN over TCP \| not asked for'
is "the plot is drawn" "$(grep -c '</svg>' "$W/bench.svg")" 1

done_testing
