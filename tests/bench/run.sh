#!/bin/sh
# Loads a pair of relays, and other relays, measures the floor of the machine in the same run, and
# prints a table of ratios against the targets. "make bench" runs it, docs/performance.md explains it.
# As root in a network namespace of its own, else on loopback; everything it makes is in a folder of its
# own, which is removed. bench.txt, bench.md, bench.svg and bench.results stay in BENCH_OUT.
#   BENCH_PEERS     "install": peers that are not there are installed with apt-get (root); "none";
#                   or names of some of them; default: those that are there
#   BENCH_ROUNDS    in which all take turns (default 3)
#   BENCH_SECONDS   of each load (default 1.5)
#   BENCH_OUT       where the results go (default: tests/bench of the build)
#   BENCH_SMOKE     "yes": as short as can be, to see that it works; the figures are worth nothing
#   BENCH_KEEP      a folder into which that folder (logs, ini files) is copied at the end
#   BENCH_CHRT      see pair.sh
set -eu
: "${BENCH_SRCDIR:?run this by make bench}" "${BENCH_BUILDDIR:?}"
if [ -z "${BENCH_INSIDE:-}" ] && unshare -n true 2>/dev/null && command -v ip >/dev/null; then
    BENCH_INSIDE=yes exec unshare -n -- "$0" "$@"
fi
[ -z "${BENCH_INSIDE:-}" ] || ip link set lo up

streams=400
many=20000
packets_saturated=400000
packets_many=200000
packets_burst=320000
burst=8000 # what the receive buffer of one socket holds
seconds=${BENCH_SECONDS:-1.5}
rounds=${BENCH_ROUNDS:-3}
rates="20000 50000"
limits="25000 32000 40000 50000 64000 80000 100000 125000 150000 175000 200000 225000 250000 300000"
floor_rounds=21
if [ "${BENCH_SMOKE:-}" = yes ]; then
    streams=40 many=500 packets_saturated=20000 packets_many=10000 packets_burst=9000 burst=1000 seconds=0.3 rounds=1
    rates=20000 limits=25000 floor_rounds=3
fi
max_sas=$((2 * many + 2 * streams))
. "$BENCH_SRCDIR/tests/bench/pair.sh"
. "$BENCH_SRCDIR/tests/bench/peers.sh"
out=${BENCH_OUT:-$BENCH_BUILDDIR/tests/bench}
results=$out/bench.results
bench=$BENCH_BUILDDIR/tests/bench/relaybench
outside=127.16.0.1:20000
inside=127.32.0.1:21000
suite=AES_CM_128_HMAC_SHA1_80

# What they said stays, where one wants to look.
finish() {
    peers_end
    [ -z "${BENCH_KEEP:-}" ] || cp -r "$work" "$BENCH_KEEP" || :
    stop
}
trap finish EXIT

say() { echo "bench: $*" >&2; }

# note WORD...: a line of the results, which report.awk reads.
note() { echo "$*" >>"$results"; }

end_process() {
    kill "$1" 2>/dev/null || :
    wait "$1" 2>/dev/null || :
}

# ---------------------------------------------------------------- one load

# measure SYSTEM WHAT ROUND OPTION...: loads what peer_load says; the line is kept, and in $line.
measure() {
    m_system=$1 m_what=$2 m_round=$3
    shift 3
    options=
    for word in $peer_pids; do options="$options --pid $word"; done
    # shellcheck disable=SC2086
    if line=$(timeout 120 "$bench" --line $peer_load $options --suite "$suite" "$@" 2>"$work/load.log") ||
        { [ $? -eq 1 ] && [ -n "$line" ]; }; then
        note "run $m_system $m_what $m_round $line"
        return 0
    fi
    note "failed $m_system $m_what $(tail -n 1 "$work/load.log")"
    say "$m_system, $m_what: $(tail -n 1 "$work/load.log")"
    line=
    return 1
}

# value NAME: of the last line.
value() {
    echo "$line" | tr ' ' '\n' | sed -n "s/^$1=//p" | head -n 1
}

at_rate() {
    measure "$1" "$2" "$3" --streams $streams --rate "$(awk "BEGIN { print $2 / $streams }")" --seconds "$seconds"
}

# loss_free RATE: whether the last load got through, and was one.
loss_free() {
    [ -n "$line" ] && awk "BEGIN { exit !($(value loss) <= 0.01 && $(value sent_rate) >= 0.97 * $1) }"
}

# limit SYSTEM: the highest of these rates that gets through, in one of two tries; 0: none.
limit() {
    found=0
    for rate in $limits; do
        for try in 1 2; do
            measure "$1" "try-$rate" "$try" --streams $streams --seconds 1 \
                --rate "$(awk "BEGIN { print $rate / $streams }")" || break 2
            ! loss_free "$rate" || continue 2
        done
        break
    done
    # The last one that did.
    for rate in $limits; do
        awk -v relay="$1" -v what="try-$rate" -v rate="$rate" '
            $1 == "run" && $2 == relay && $3 == what {
                for (i = 5; i <= NF; i++) { split($i, part, "="); v[part[1]] = part[2] }
                if (v["loss"] <= 0.01 && v["sent_rate"] >= 0.97 * rate) good = 1
            }
            END { exit !good }' "$results" || break
        found=$rate
    done
    note "limit $1 $found"
}

# ---------------------------------------------------------------- the pair

# pair COALESCE: both daemons get it, live.
pair() {
    if [ "$coalesce" != "$1" ]; then
        for daemon in dmz inner; do
            sed -i "s/^coalesce = .*/coalesce = $1/" "$work/$daemon.ini"
            "$ctl" -s "$work/$daemon.sock" reload >"$work/reload.log" 2>&1 || fail "reload"
        done
        coalesce=$1
    fi
    peer_pids="dmz=$dmz inner=$inner"
    peer_load="--control $work/inner.sock --outside $outside --inside $inside --sinks $streams"
}

# field FILE NAME: the sum of this member in a reply of the control socket.
field() {
    "$ctl" -s "$work/$1.sock" --json "$2" | tr ',{}' '\n\n\n' | sed -n "s/^ *\"$3\": *//p" |
        awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

# octets: in TCP from the dmz-relay, and in its frames; the difference is 22 for each TLS record.
octets() {
    if command -v ss >/dev/null; then
        echo "$(ss -Htin 'sport = :46000' | grep -o 'bytes_acked:[0-9]*' | cut -d: -f2) $(field dmz status octets_out)"
    else
        echo 0 0
    fi
}

# saturated WHAT ROUND OPTION...: no rate; as much as the pair takes.
saturated() {
    what=$1 round=$2
    shift 2
    before=$(octets)
    measure pair "$what" "$round" --streams $streams --window 1024 "$@" || return 0
    after=$(octets)
    note "records $what $round $(value came) $before $after"
}

# resident NAME PID: kB
resident() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$2/status"; }

# many_sas ROUND: 20,000 SAs whose packets come in no order, against 10.
many_sas() {
    measure pair sas-few "$1" --streams 10 --window 1024 --packets $packets_many || return 0
    before="$(resident dmz "$dmz") $(resident inner "$inner")"
    measure pair sas-many "$1" --streams $many --window 1024 --packets $packets_many || return 0
    note "memory $many $before $(resident dmz "$dmz") $(resident inner "$inner")"
}

# Exactly the forged packets are dropped, and exactly the replayed ones; but for those that the dmz-relay never
# looked at, because a busy machine kept it from running.
unseen() {
    # SO_RXQ_OVFL tells of the last of them with the next packet only; this is 127.0.1.1:40000.
    overflow=$(awk '$2 == "0101007F:9C40" { sum += $NF } END { print sum + 0 }' /proc/net/udp)
    echo $((overflow + $(field dmz stats rate)))
}
forged() {
    before="$(field dmz stats auth-fail) $(field dmz stats replay)"
    unseen=$(unseen)
    measure pair forged 1 --streams $streams --rate "$(awk "BEGIN { print 20000 / $streams }")" \
        --seconds "$seconds" --forged 5 --replayed 2 || return 0
    note "forged $before $(field dmz stats auth-fail) $(field dmz stats replay) $(($(unseen) - unseen))"
}

# What the daemons cannot do without, at the moment.
measure_floor() {
    "$BENCH_BUILDDIR/tests/bench/floorbench" --rounds $floor_rounds >"$work/floor" || fail "no floor"
    while read -r part ns; do note "floor $1 $part $ns"; done <"$work/floor"
}

# bare REST RATE ROUND: what a pair cannot do without, once with and once without a rest of 500 us.
bare() {
    spawn barepair "$BENCH_BUILDDIR/tests/bench/barepair" --listen 127.50.0.1:6000 --sink $inside \
        --sinks $streams --rest "$1"
    outer=$pid
    soon logged ready "$work/barepair.log" || fail "barepair does not start"
    peer_pids="dmz=$outer inner=$(sed -n 's/^ready //p' "$work/barepair.log")"
    peer_load="--to 127.50.0.1:6000 --outside $outside --inside $inside --sinks $streams"
    at_rate "bare-$1" "$2" "$3" || :
    end_process "$outer"
}

# ---------------------------------------------------------------- all of it

describe_machine() {
    note "machine $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) CPUs, Linux $(uname -r)," \
        "$(openssl version | cut -d' ' -f1,2), load $(cut -d' ' -f1 /proc/loadavg) at the start"
    note "date $(date -u +%Y-%m-%d)"
    note "settings streams=$streams seconds=$seconds rounds=$rounds many=$many smoke=${BENCH_SMOKE:-no}" \
        "rmem_max=$(cat /proc/sys/net/core/rmem_max) congestion=$(cat /proc/sys/net/ipv4/tcp_congestion_control)"
}

choose_peers() {
    peers=$peer_names
    case ${BENCH_PEERS:-} in
    none) peers= ;;
    install) install_peers ;;
    "") ;;
    *) peers=$BENCH_PEERS ;;
    esac
    for name in $peer_names; do
        note "peer $name $(peer_title "$name")"
        case " $peers " in
        *" $name "*) peer_start "$name" && peer_stop "$name" && there="$there $name" && continue ;;
        *) peer_reason="not asked for" ;;
        esac
        note "missing $name $peer_reason"
        say "$(peer_title "$name"): $peer_reason"
    done
}

one_round() {
    say "round $1 of $rounds"
    measure_floor "$1"
    pair auto
    saturated saturated "$1" --packets $packets_saturated
    saturated both-ways "$1" --packets $((packets_saturated / 2)) --back
    peer_pids= peer_load="--direct --outside $outside --inside $inside --sinks $streams"
    at_rate direct 20000 "$1" || :
    for rate in $rates; do
        pair auto
        at_rate pair "$rate" "$1" || :
        bare 500 "$rate" "$1"
        pair 0us
        at_rate pair-0 "$rate" "$1" || :
        bare 0 "$rate" "$1"
        for name in $there; do
            peer_start "$name" || continue
            at_rate "$name" "$rate" "$1" || :
            peer_stop "$name"
        done
    done
}

# The limit of each, and what it costs at rtpengine's.
all_limits() {
    for name in $there; do
        say "limit of $(peer_title "$name")"
        peer_start "$name" || continue
        limit "$name"
        peer_stop "$name"
    done
    pair auto
    limit pair
    top=$(sed -n 's/^limit rtpengine //p' "$results")
    [ "${top:-0}" -gt 0 ] || return 0
    for round in $(seq "$rounds"); do
        peer_start rtpengine || return 0
        measure rtpengine at-limit "$round" --streams $streams --seconds "$seconds" \
            --rate "$(awk "BEGIN { print $top / $streams }")" || :
        pair auto
        measure pair at-limit "$round" --streams $streams --seconds "$seconds" \
            --rate "$(awk "BEGIN { print $top / $streams }")" || :
    done
}

# pin PID: its threads but the first one, each to a processor of its own. A scheduler that gathers what has
# just woken on one processor would take longer to spread them than the burst lasts.
pin() {
    processor=0
    for task in "/proc/$1/task/"*; do
        [ "${task##*/}" != "$1" ] || continue
        taskset -pc $processor "${task##*/}" >"$work/taskset.log" 2>&1 || :
        processor=$((processor + 1))
    done
}

# one_burst WORKERS ROUND: how fast a dmz-relay alone works off what was put into its sockets while it was
# stopped. Its inner-relay is killed: it verifies all and counts it as tunnel-down.
one_burst() {
    for daemon in dmz inner; do
        sed -i '/^workers = /d' "$work/$daemon.ini"
        sed -i "s/^coalesce = .*/coalesce = 0us\nworkers = $1/" "$work/$daemon.ini"
        rm -f "$work/$daemon.sock"
    done
    start dmz dmz-relay
    dmz=$pid
    start inner inner-relay
    inner=$pid
    wait_for_tunnel
    pin "$dmz"
    if words=$(timeout 120 "$bench" --control "$work/inner.sock" --outside $outside --inside $inside --sinks $streams \
        --streams $streams --suite "$suite" --packets $packets_burst --burst "$dmz=$burst" --end "$inner" 2>"$work/load.log"); then
        done=$(field dmz stats tunnel-down)
        if [ "$done" = $packets_burst ]; then
            note "burst $1 $2 ${words##*=} $(field dmz stats lock_contended) $done"
        else
            note "failed pair burst the kernel dropped $((packets_burst - done)) of $packets_burst packets"
            note "reason burst the socket buffers are too small (net.core.rmem_max)"
        fi
    else
        note "failed pair burst $(tail -n 1 "$work/load.log")"
    fi
    end_process "$inner"
    end_process "$dmz"
}

# One worker against two. The last step: the pair is started anew for each.
two_workers() {
    "$BENCH_BUILDDIR/dmz-relay/dmz-relay" -T -c "$work/dmz.ini" 2>/dev/null | grep -q '^workers' || return 0
    say "one worker and two"
    end_process "$inner"
    end_process "$dmz"
    for round in $(seq "$rounds"); do
        one_burst 1 "$round"
        one_burst 2 "$round"
    done 2>/dev/null # the shell says of each inner-relay that it was killed
}

report() {
    for form in txt md svg; do
        awk -v form=$form -f "$BENCH_SRCDIR/tests/bench/report.awk" "$results" >"$out/bench.$form"
    done
    cat "$out/bench.txt"
    echo "The plot: $out/bench.svg"
    echo "How late media come over a link that loses packets: make bench-carriers (an hour)"
}

mkdir -p "$out"
: >"$results"
there=
coalesce=auto
describe_machine
make_certs
write_configs ""
start dmz dmz-relay
dmz=$pid
start inner inner-relay
inner=$pid
wait_for_tunnel
choose_peers
for round in $(seq "$rounds"); do one_round "$round"; done
pair auto
saturated saturated-gcm 1 --packets $packets_saturated --suite AEAD_AES_128_GCM
saturated saturated-1200 1 --packets $((packets_saturated / 4)) --size 1188
forged
for round in $(seq $(((rounds + 1) / 2))); do many_sas "$round"; done
all_limits
two_workers
report
