#!/bin/sh
# Starts a pair of relays on loopback, loads it at a few rates and prints a table.
# "make bench" runs it; everything it makes is in a folder of its own, which is removed.
#   BENCH_SECONDS   of each row (default 3)
#   BENCH_ROWS      rows "STREAMS RATE SIZE SUITE" instead of the ones below, one a line
set -eu
LC_ALL=C
export LC_ALL
: "${BENCH_SRCDIR:?run this by make bench}" "${BENCH_BUILDDIR:?}"
certs=${BENCH_CERTS:-$BENCH_SRCDIR/certs/media-relay-certs}
bench=$BENCH_BUILDDIR/tests/bench/relaybench
ctl=$BENCH_BUILDDIR/common/daemon/relayctl
seconds=${BENCH_SECONDS:-3}
rows=${BENCH_ROWS:-"
1 50 160 AES_CM_128_HMAC_SHA1_80
100 50 160 AES_CM_128_HMAC_SHA1_80
100 50 160 AEAD_AES_128_GCM
500 50 160 AES_CM_128_HMAC_SHA1_80
10 1000 160 AES_CM_128_HMAC_SHA1_80
10 1000 1200 AES_CM_128_HMAC_SHA1_80"}

work=$(mktemp -d /tmp/relaybench.XXXXXX)
pids=

stop() {
    for pid in $pids; do kill "$pid" 2>/dev/null || :; done
    for pid in $pids; do wait "$pid" 2>/dev/null || :; done
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 1' HUP INT TERM

fail() {
    echo "bench: $*" >&2
    for log in "$work"/*.log; do
        echo "--- ${log##*/}" >&2
        tail -n 20 "$log" >&2
    done
    exit 1
}

make_certs() {
    {
        "$certs" -d "$work/ca" init
        "$certs" -d "$work/ca" issue dmz.example --role dmz
        "$certs" -d "$work/ca" issue inner.example --role inner
    } >"$work/certs.log" 2>&1 || fail "the certificates could not be made"
}

# write_config NAME SIDE CERTIFICATE: what both files have in common.
write_config() {
    cat >"$work/$1.ini" <<END
[listener main]
address = $2
rtp-port = 40000
[networks]
external = 127.0.1.0/24
test-allow-loopback = yes
$4
[control]
socket = $work/$1.sock
[log]
target = stderr
level = info
[daemon]
allow-root = yes
[tunnel]
certificate = $work/ca/$3.crt
key = $work/ca/$3.key
ca = $work/ca/ca.crt
END
}

write_configs() {
    write_config dmz 127.0.1.1 dmz.example ""
    cat >>"$work/dmz.ini" <<END
listen = 127.0.3.1:46000
sites = inner.example
END
    write_config inner 127.0.2.1 inner.example "internal = 127.0.2.0/24"
    cat >>"$work/inner.ini" <<END
[dmz main]
address = 127.0.3.1:46000
name = dmz.example
[state]
file =
END
}

# start NAME PROGRAM: sets pid.
start() {
    "$BENCH_BUILDDIR/$2/$2" -f -c "$work/$1.ini" >"$work/$1.log" 2>&1 &
    pid=$!
    pids="$pids $pid"
}

wait_for_tunnel() {
    tries=0
    until "$ctl" -s "$work/inner.sock" status >/dev/null 2>&1 &&
        "$ctl" -s "$work/dmz.sock" status >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || fail "the tunnel does not come up"
        sleep 0.1
    done
}

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
write_configs
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
