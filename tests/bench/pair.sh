# Sourced by the scripts beside it: a pair of relays on loopback, in a folder of its own that is
# removed at the end.
#   BENCH_COALESCE  of both (default auto)
#   BENCH_CHRT      "chrt -f 10" runs the relays (and peers) in front of all else, where others use the machine
#                   (the kernel still takes 50 ms of each second from one that never waits)
LC_ALL=C
export LC_ALL
: "${BENCH_SRCDIR:?run this by make bench}" "${BENCH_BUILDDIR:?}"
certs=${BENCH_CERTS:-$BENCH_SRCDIR/certs/media-relay-certs}
ctl=$BENCH_BUILDDIR/common/daemon/relayctl
max_sas=${max_sas:-20000}

work=$(mktemp -d /tmp/relaybench.XXXXXX)
pids=

stop() {
    for pid in $pids; do
        kill "$pid" 2>/dev/null && kill -CONT "$pid" 2>/dev/null || :
    done
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

# write_config NAME SIDE CERTIFICATE NETWORKS LIMITS: what both files have in common.
write_config() {
    cat >"$work/$1.ini" <<END
[listener main]
address = $2
rtp-port = 40000
[networks]
external = 127.0.1.0/24, 127.16.0.0/16
test-allow-loopback = yes
$4
[limits]
max-sas = $max_sas
$5
[control]
socket = $work/$1.sock
[log]
target = stderr
level = info
[daemon]
allow-root = yes
coalesce = ${BENCH_COALESCE:-auto}
[tunnel]
certificate = $work/ca/$3.crt
key = $work/ca/$3.key
ca = $work/ca/ca.crt
END
}

# write_configs STATE-FILE
write_configs() {
    write_config dmz 127.0.1.1 dmz.example "" "site-quota = $max_sas"
    cat >>"$work/dmz.ini" <<END
listen = 127.0.3.1:46000
sites = inner.example
END
    write_config inner 127.0.2.1 inner.example "internal = 127.0.2.0/24, 127.32.0.0/16" ""
    cat >>"$work/inner.ini" <<END
[dmz main]
address = 127.0.3.1:46000
name = dmz.example
[state]
file = $1
END
}

# start NAME PROGRAM: sets pid.
start() {
    ${BENCH_CHRT:-} "$BENCH_BUILDDIR/$2/$2" -f -c "$work/$1.ini" >>"$work/$1.log" 2>&1 &
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
