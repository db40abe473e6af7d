#!/bin/sh
# The targets of make bench-carriers: results made up at each bound are met, just above it they are MISSED, and what
# was not measured is said to be so.
set -u
LC_ALL=C
export LC_ALL
source=$(cd "${srcdir:-.}" && pwd)
top=$(mktemp -d "${TMPDIR:-/tmp}/test_targets.XXXXXX") || exit 1
trap 'rm -rf "$top"' EXIT
failures=0

# cell ROW ALGORITHM LOSS P50 P95 P99 IN_TIME: in us, and packets of 100,000.
cell() {
    echo "cell ${1%/*} ${1#*/} $2 $3 1 direction=in direction=back all_sent=100000 all_in_time=$7 all_p50=$4 all_p95=$5" \
        "all_p99=$6 late=1"
}
# results SCRIPT: a run in which each figure stands at its bound, changed by this script of sed.
results() {
    {
        echo "machine one of none, load 0.00 at the start"
        echo "date 2026-01-01"
        echo "settings seconds=1 rounds=1 streams=100 rtt=40 late_max=25 smoke=no awake=yes"
        echo "losses 0 1 2 5"
        echo "row udp/own plain UDP"
        for name in stream unordered raw auto; do
            echo "row pair-$name/own the pair, carrier = $name"
        done
        echo "row pair-stream/cubic the pair, carrier = stream"
        echo "row peer/cubic a peer"
        echo "row peer/bbr a peer"
        for loss in 0 1 2 5; do
            cell udp/own - $loss 20100 20200 20300 $((100000 - loss * 1000))
            cell pair-raw/own bbr $loss 21100 21200 21300 $((99900 - loss * 1000))
            cell pair-auto/own bbr $loss 20100 20200 20300 $((99900 - loss * 1000))
            # Not what is to be ahead of the peers.
            cell pair-stream/cubic cubic $loss 999999 999999 999999 0
            cell peer/cubic cubic $loss 999999 999999 999999 0
            cell peer/bbr bbr $loss 100000 100050 100100 $((99899 - loss * 1000))
        done
        cell pair-stream/own bbr 0 20100 20200 25300 100000
        for loss in 1 2 5; do cell pair-stream/own bbr $loss 60000 80000 100000 99900; done
        for loss in 0 1 2 5; do cell pair-unordered/own bbr $loss 20600 22200 65300 99990; done
        for name in stream unordered raw auto; do
            echo "cpu $name 1 direction=in cpu_dmz=5 cpu_inner=$([ $name = stream ] && echo 5 || echo 10) came_rate=20000"
            echo "first $name 1 200000"
        done
    } | sed "$1" >"$top/results"
    for form in md txt svg; do
        awk -v form=$form -f "$source/tests/bench/carriers.awk" "$top/results" >"$top/$form" || fail "$form: status $?"
    done
}
fail() {
    failures=$((failures + 1))
    printf 'FAILED: %s\n' "$*"
    sed -n '/Targets/,$p' "$top/md"
}
# line WHAT RESULT: so ends the line of this target in the page, and so begins the one in the text.
line() {
    found=$(grep -F "| $1 |" "$top/md")
    case $found in
    *"| $2 |") ;;
    *) fail "$what: not \"$2\": $found" ;;
    esac
    grep -qE "^$2 +$1 " "$top/txt" || fail "$what: the text has another line of $1"
}
# misses SCRIPT LINE FIGURE: of all targets this one is missed, for this figure.
misses() {
    what="with $1"
    results "$1"
    line "$2" "MISSED${3:+: $3}"
    [ "$(grep -c '| MISSED' "$top/md")" = 1 ] || fail "$what: another target is missed, too"
    grep -qx "1 of 16 MISSED." "$top/md" || fail "$what: the sum is not said"
}
# unknown SCRIPT LINE RESULT: this one was not measured.
unknown() {
    what="with $1"
    results "$1"
    line "$2" "not measured${3:+: $3}"
    ! grep -q MISSED "$top/md" || fail "$what: a target is missed"
}
# In the cell of ROW with LOSS: FIGURE is VALUE.
in_cell() {
    echo "/^cell ${1%/*} ${1#*/} [a-z-]* $2 /s/ $3=[0-9]*/ $3=$4/"
}

what="at each bound"
results ''
[ "$(grep -c '| met |' "$top/md")" = 16 ] || fail "$what: not each target is met"
[ "$(grep -c '^met ' "$top/txt")" = 16 ] || fail "$what: not each target is met in the text"
grep -qx 'None missed[.]' "$top/md" || fail "$what: that none is missed is not said"
! grep -q MISSED "$top/md" "$top/txt" || fail "$what: a target is missed"
! grep -q Targets "$top/svg" || fail "the plot has targets"

for loss in 1 2; do
    misses "$(in_cell pair-unordered/own $loss all_p50 20610)" "unordered, $loss % loss" p50
    misses "$(in_cell pair-unordered/own $loss all_p95 22210)" "unordered, $loss % loss" p95
    misses "$(in_cell pair-unordered/own $loss all_p99 65310)" "unordered, $loss % loss" p99
    misses "$(in_cell pair-unordered/own $loss all_in_time 99989)" "unordered, $loss % loss" "out of time"
done
misses "$(in_cell pair-unordered/own 2 all_p50 30000);$(in_cell pair-unordered/own 2 all_p99 70000)" \
    "unordered, 2 % loss" "p50, p99"
for loss in 1 2 5; do
    misses "$(in_cell pair-raw/own $loss all_p50 21110)" "raw, $loss % loss" p50
    misses "$(in_cell pair-raw/own $loss all_p95 21210)" "raw, $loss % loss" p95
    misses "$(in_cell pair-raw/own $loss all_p99 21310)" "raw, $loss % loss" p99
    misses "$(in_cell pair-raw/own $loss all_in_time $((100101 - loss * 1000)))" "raw, $loss % loss" "out of time"
    ahead="each row of the pair with BBR, $loss % loss"
    misses "$(in_cell peer/cubic $loss all_p99 100000)" "$ahead" p99
    misses "$(in_cell peer/bbr $loss all_p99 100000)" "$ahead" p99
    misses "$(in_cell pair-auto/own $loss all_p99 100100)" "$ahead" p99
    misses "$(in_cell peer/cubic $loss all_in_time $((99900 - loss * 1000)))" "$ahead" "out of time"
    misses "$(in_cell pair-auto/own $loss all_in_time 0)" "$ahead" "out of time"
    # Nothing came at all: its delays are 0, and no better for that.
    misses "$(in_cell pair-auto/own $loss 'all_p[0-9]*' 0);$(in_cell pair-auto/own $loss all_p99 0)" "$ahead" p99
done
misses "$(in_cell pair-stream/own 0 all_p99 25310)" "stream, 0 % loss" p99
misses "$(in_cell pair-stream/own 1 all_p99 100099)" "stream, 1 % loss" p99
misses "$(in_cell pair-stream/own 1 all_in_time 99899)" "stream, 1 % loss" "out of time"
misses '/^cpu raw /s/cpu_dmz=5/cpu_dmz=5.1/' "raw, CPU time per packet against stream" ""
misses '/^cpu unordered /s/cpu_dmz=5/cpu_dmz=5.1/' "unordered, CPU time per packet against stream" ""
for name in stream unordered raw auto; do
    misses "s/^first $name 1 200000/first $name 1 201000/" "$name, first packet after a start" ""
done

# Short runs.
unknown '/^losses/s/ 1 2 5//;/^cell [a-z-]* [a-z]* [a-z-]* [125] /d' "unordered, 1 % loss" ""
line "raw, 5 % loss" "not measured"
line "stream, 0 % loss" met
line "each row of the pair with BBR, with loss" "not measured"
unknown '/^cell peer /d;/^row peer/d' "each row of the pair with BBR, 1 % loss" "no peer"
line "raw, 1 % loss" met
grep -qx 'None missed, 3 not measured[.]' "$top/md" || fail "$what: the sum is not said"
unknown 's/^cell peer bbr bbr \([0-9]\).*/failed peer bbr \1 1/;/^cell peer cubic cubic 5/d' \
    "each row of the pair with BBR, 5 % loss" "no peer"
grep -qF '; 1 of 2 rows of peers were measured | met |' "$top/md" || fail "$what: how many peers there are is not said"
unknown 's/^cell pair-raw own bbr 2 .*/failed pair-raw own 2 1/' "raw, 2 % loss" failed
line "each row of the pair with BBR, 2 % loss" "not measured: a cell of the pair"
unknown '/^cell udp own - 1 /d' "raw, 1 % loss" "plain UDP"
unknown '/^cpu /d;/^first auto/d' "raw, CPU time per packet against stream" ""
line "auto, first packet after a start" "not measured"
unknown '/^cell pair-[a-z]* own/s/ bbr / cubic /' "each row of the pair with BBR, 1 % loss" "no row of the pair has BBR"
what="a disturbed cell"
results '/^cell pair-raw own bbr 1 /s/late=1/late=30/'
grep -qF '| *p50 1.00 ms, ' "$top/md" || fail "$what has no star"
[ $failures -eq 0 ]
