#!/bin/bash
# make bench-carriers, as short as can be and without peers: that it works. What it measures is not judged.
. "$(dirname "$0")/lib.sh"

source=$(cd "$(dirname "$0")/../.." && pwd)
status=0
BENCH_SRCDIR=$source BENCH_BUILDDIR=$NET_BUILD BENCH_OUT=$W BENCH_SMOKE=yes BENCH_PEERS=none \
    "$source/tests/bench/carriers.sh" >"$W/bench.log" 2>&1 || status=$?
is "make bench-carriers: exit status" $status 0
[ $status = 0 ] || tail -n 20 "$W/bench.log" | sed 's/^/# /'
is "each cell could be run" "$(grep '^failed' "$W/carriers.results")" ""

# cells ROW: those in which media came both ways, unaltered, and something came in time.
cells() {
    grep -E "^cell $1 " "$W/carriers.results" | grep -E ' direction=back .* came=[1-9]' | grep -E ' all_in_time=[1-9]' |
        grep -vcE ' altered=[1-9]'
}
is "plain UDP: both cells" "$(cells "udp own -")" 2
is "the pair: both cells of two carriers" "$(cells 'pair-[a-z-]+ own bbr')" 4
is "and one with CUBIC, which a route locks" "$(cells 'pair-[a-z-]+ cubic cubic')" 1
is "the link lost some where it was to, and none else" "$(awk '$1 == "cell" {
    match($0, /link_lost=[0-9]+/)
    print $5, (substr($0, RSTART + 10, RLENGTH - 10) > 0) }' "$W/carriers.results" | sort -u | paste -sd ' ')" "0 0 2 1"
like "the table has a row" "$(cat "$W/carriers.md")" '^\| plain UDP \| [*]?[0-9]'
like "a target is judged" "$(cat "$W/carriers.md")" '^\| stream, first packet after a start \| .* \| (met|MISSED) \|$'
like "one without a cell is not" "$(cat "$W/carriers.md")" '^\| stream, 1 % loss \| .* \| not measured \|$'
is "the plot is drawn" "$(grep -c '</svg>' "$W/carriers.svg")" 1
like "make calls it by that name" "$(make -s -C "$NET_BUILD" -n bench-carriers 2>&1)" 'bench/carriers\.sh'
done_testing
