#!/bin/sh
# How long a SIP proxy waits for the inner-relay's replies to offer and answer, while many SAs are
# installed at a pair on loopback. "make bench-ng" runs it.
#   BENCH_SAS       how many (default 10000)
#   BENCH_CALLS     that are measured (default 2000), at
#   BENCH_RATE      so many per second (default 200)
#   BENCH_PASSING   calls that come and go after that, 1,000 per second (default 20000): what each of the
#                   relays holds in memory after each quarter of them; it fails when the last quarter
#                   makes one of them grow by more than 1 MB
#   BENCH_P99_US    fails when offer and answer together take longer at the 99th percentile
#   BENCH_CHRT      see pair.sh; who asks runs so, too
set -eu
sas=${BENCH_SAS:-10000}
calls=${BENCH_CALLS:-2000}
max_sas=$((sas + 2 * calls + 100))
. "${BENCH_SRCDIR:?run this by make bench-ng}/tests/bench/pair.sh"
bench=$BENCH_BUILDDIR/tests/bench/ngbench
ng=127.0.2.1:40022

# held NAME: SAs of a daemon.
held() { "$ctl" -s "$work/$1.sock" --json status | tr ',{}' '\n\n\n' | sed -n 's/^ *"sas": *//p' | head -n 1; }

# both_hold N: waits until both daemons do.
both_hold() {
    tries=0
    until [ "$(held inner)" -eq "$1" ] && [ "$(held dmz)" -eq "$1" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || fail "inner $(held inner), dmz $(held dmz) SAs, not $1"
        sleep 0.05
    done
}

# resident: kB of dmz-relay and inner-relay.
resident() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$dmz/status" "/proc/$inner/status" | tr '\n' ' '; }

# grew BEFORE AFTER: by which of two numbers more.
grew() { echo $(($3 - $1 > $4 - $2 ? $3 - $1 : $4 - $2)); }

make_certs
write_configs "$work/state"
cat >>"$work/inner.ini" <<END
[signalling]
ng = udp:$ng
max-calls = $max_sas
END
start dmz dmz-relay
dmz=$pid
start inner inner-relay
inner=$pid
wait_for_tunnel

"$bench" $ng fill 0 $((sas / 2)) || fail "no calls"
both_hold $((sas / 2 * 2))
echo "$((sas / 2 * 2)) SAs are there; $calls calls more, ${BENCH_RATE:-200} per second:"
${BENCH_CHRT:-} "$bench" $ng calls $((sas / 2)) "$calls" "${BENCH_RATE:-200}" >"$work/times" || fail "no calls"
cat "$work/times"
# Where the times are long and these are not, it was the machine.
set -- $("$BENCH_BUILDDIR/tests/bench/churnbench" "$work/inner.sock" turns)
echo "The inner-relay itself: $1 turns of its loop, $3 worked for more than 1 ms, the longest $5 us;" \
    "$4 were kept from working, the longest took $6 us."
both_hold $((sas / 2 * 2 + 2 * calls))
"$bench" $ng delete 0 $((sas / 2 + calls)) || fail "calls that do not end"
both_hold 0
echo "All calls have ended, and no SA is left."
quarter=$((${BENCH_PASSING:-20000} / 4))
kb=$(resident)
[ "$quarter" = 0 ] || echo "calls that came and went since, resident kB of dmz-relay and inner-relay: 0: $kb"
for done in 1 2 3 4; do
    [ "$quarter" -gt 0 ] || break
    before=$kb
    "$bench" $ng pass $((sas / 2 + calls)) $quarter 1000 || fail "no calls"
    kb=$(resident)
    echo "$((done * quarter)): $kb"
done
both_hold 0
[ "$quarter" = 0 ] || [ "$(grew $before $kb)" -le 1024 ] || fail "the last $quarter calls have left something"
p99=$(sed -n 's/^offer and answer *[0-9]* *\([0-9]*\) .*/\1/p' "$work/times")
[ "$p99" -le "${BENCH_P99_US:-$p99}" ] || fail "p99 is $p99 us, more than $BENCH_P99_US"
