#!/bin/sh
# 20,000 SAs are added to a pair of relays on loopback, deleted, and synced again when one of the
# two was killed, while 10 calls run through it. "make bench-churn" runs it.
#   BENCH_SAS       how many (default 20000)
#   BENCH_SUITE     default AES_CM_128_HMAC_SHA1_80
#   BENCH_CHRT      see pair.sh
set -eu
sas=${BENCH_SAS:-20000}
suite=${BENCH_SUITE:-AES_CM_128_HMAC_SHA1_80}
calls=10
max_sas=$((sas + 4 * calls + 2000))
. "${BENCH_SRCDIR:?run this by make bench-churn}/tests/bench/pair.sh"
churn=$BENCH_BUILDDIR/tests/bench/churnbench
media=$BENCH_BUILDDIR/tests/bench/relaybench

# turns NAME: "TURNS OVER-HALF-A-MS OVER-1MS LATE LONGEST-OWN LONGEST" of a daemon.
turns() { "$churn" "$work/$1.sock" turns; }

# accepted: packets from outside that the dmz-relay has let in.
accepted() {
    "$ctl" -s "$work/dmz.sock" --json status | tr ',{}' '\n\n\n' | sed -n 's/^ *"accepted": *//p' |
        awk '{sum += $1} END {print sum + 0}'
}

# Starts the calls, which last for the rest of the step, waits for half a second of their media, and
# notes the counters.
begin() {
    heard=$(accepted)
    "$media" --control "$work/inner.sock" --streams $calls --rate 50 --back --seconds "$1" \
        --suite "$suite" >"$work/media.json" 2>"$work/media.log" &
    media_pid=$!
    until [ "$(accepted)" -ge $((heard + 25 * calls)) ]; do
        kill -0 "$media_pid" 2>/dev/null || fail "no calls: $(cat "$work/media.log")"
        sleep 0.05
    done
    before_dmz=$(turns dmz)
    before_inner=$(turns inner)
}

# field N WORDS...
field() {
    shift "$1"
    echo "$1"
}

# since N BEFORE AFTER: by how much the Nth number grew; a daemon that is new began with 0.
since() {
    was=$(field "$1" $2)
    is=$(field "$1" $3)
    [ "$(field 1 $3)" -ge "$(field 1 $2)" ] || was=0
    echo $((is - was))
}

# columns BEFORE AFTER: those of a daemon.
columns() {
    echo "$(since 2 "$1" "$2") $(since 3 "$1" "$2") $(since 4 "$1" "$2") $(field 5 $2)/$(field 6 $2)"
}

# number NAME: of each direction of the calls.
number() {
    tr ',{}' '\n\n\n' <"$work/media.json" | sed -n "s/^ *\"$1\": *//p" | tr '\n' ' '
}

# end STEP WHAT-IT-PRINTED: a row of the table.
end() {
    wait "$media_pid" || fail "the calls failed: $(cat "$work/media.log")"
    after_dmz=$(turns dmz)
    after_inner=$(turns inner)
    row "$1" "$2" $(columns "$before_dmz" "$after_dmz") $(columns "$before_inner" "$after_inner") \
        "$(number lost)" "$(number max)" "$(number longest_gap_us)"
}

# row FIELD...: a line of the table.
row() {
    printf '%-26s %-14s %6s %5s %5s %-11s %6s %5s %5s %-11s %6s %14s %16s\n' "$@"
}

head_of_table() {
    echo "$sas SAs, $suite, $calls calls of 50 packets/s each way. Seconds of each step. Turns of the"
    echo "event loop in it: the daemon worked for more than 0.5 ms, more than 1 ms; late: took more than"
    echo "1 ms though it worked for less. The longest since the daemon's start: worked/with waiting (us)."
    echo "Of the calls (in, back): packets lost, longest delay and gap (us)."
    row step seconds dmz:.5 "1ms" late longest inner:.5 "1ms" late longest lost delay gap
}

# The same columns of a loop that has nothing to do with the relays.
machine() {
    numbers=$(${BENCH_CHRT:-} "$churn" machine)
    echo "A loop that does nothing but look at the clock, for 0.4 ms a turn: of $(field 1 $numbers) turns" \
        "$(field 2 $numbers) worked for more than 0.5 ms," \
        "$(field 3 $numbers) more than 1 ms, $(field 4 $numbers) late," \
        "longest $(field 5 $numbers)/$(field 6 $numbers)."
}

# saved: the SAs in the state file.
saved() {
    grep -aoE 'churn-[0-9]+@|relaybench-(in|back)-[0-9]+' "$state" | wc -l
}

# patient SECONDS COMMAND...: waits until it succeeds.
patient() {
    left=$((20 * $1))
    shift
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "not in time: $*"
        sleep 0.05
    done
}

all_saved() {
    [ "$(saved)" -eq $((sas + 2 * calls)) ]
}

# list_together N: so many clients list all SAs of the inner-relay at once.
list_together() {
    listers=
    while [ "$(echo $listers | wc -w)" -lt "$1" ]; do
        "$churn" "$work/inner.sock" list >>"$work/lists" &
        listers="$listers $!"
    done
    for lister in $listers; do wait "$lister" || fail "no list"; done
}

# restart NAME PROGRAM PID: kills it, sets pid, and puts into times how long the SAs were away.
restart() {
    rm -f "$work/times"
    ${BENCH_CHRT:-} "$churn" "$work/inner.sock" resync "$work/dmz.sock" $((sas + 2 * calls)) >"$work/times" &
    resync_pid=$!
    # It watches, and the state file has what a new inner-relay needs.
    patient 60 test -s "$work/times"
    patient 60 all_saved
    kill -9 "$3"
    wait "$3" 2>/dev/null || :
    rm -f "$work/$1.sock"
    start "$1" "$2"
    wait $resync_pid || fail "no sync"
    times=$(tail -n 1 "$work/times")
}

make_certs
# As in service: a file system in memory.
state=$work/state
[ ! -w /dev/shm ] || state=/dev/shm/${work##*/}.state
write_configs "$state"
start dmz dmz-relay
dmz=$pid
start inner inner-relay
inner=$pid
wait_for_tunnel
head_of_table

begin 4
end "nothing" ""
begin 5
end "add" "$("$churn" "$work/inner.sock" add "$sas" "$suite")"
begin 5
end "delete" "$("$churn" "$work/inner.sock" delete)"
begin 5
end "add again" "$("$churn" "$work/inner.sock" add "$sas" "$suite")"
begin 5
end "list (inner)" "$("$churn" "$work/inner.sock" list)"
begin 5
end "list (dmz)" "$("$churn" "$work/dmz.sock" list)"
# Of the 16 clients that the daemon takes two are for the numbers in this table.
begin 8
list_together 14
end "list by 14 (inner)" "$(sort -n "$work/lists" | tail -n 1)"
begin 6
restart dmz dmz-relay "$dmz"
dmz=$pid
end "new dmz-relay: up, synced" "$times"
# Its state file has all SAs by then. The dmz-relay has them still, and takes them once more.
begin 6
restart inner inner-relay "$inner"
inner=$pid
end "new inner-relay: the same" "$times"
begin 6
trips=$("$churn" "$work/inner.sock" trips "$suite")
end "2000 adds, deletes" ""
echo "round trips, us (median, 99th percentile): $(echo "$trips" | tr '\n' ' ')"
machine
