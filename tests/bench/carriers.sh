#!/bin/sh
# Measures delay and loss of media over a link that loses packets: plain UDP, the pair with each carrier that
# there is, and its peers. "make bench-carriers" runs it, as root; docs/carriers.md explains it. Two network
# namespaces, tests/tools/slowlink between them: the senders and the dmz-relay are at its far end.
# carriers.txt, .md, .svg and .results stay in BENCH_OUT.
#   BENCH_SECONDS   of each cell (default 45)
#   BENCH_ROUNDS    in which all take turns (default 1); figures are medians of them
#   BENCH_TRIES     a cell in which the machine kept generator or link waiting for more than 25 ms, or 10 where
#                   single milliseconds count (plain UDP, raw segments), is measured again, so often in all
#                   (default 3); the least disturbed try counts
#   BENCH_LOSSES    percent, each way (default "0 0.5 1 2 5")
#   BENCH_CARRIERS  of the pair (default: those that there are)
#   BENCH_AWAKE     "no": the machine's processors may halt when they have nothing to do (see stay_awake)
#   BENCH_PEERS, BENCH_OUT, BENCH_KEEP, BENCH_CHRT: see run.sh and pair.sh
#   BENCH_SMOKE     "yes": as short as can be, to see that it works; the figures are worth nothing
set -eu
: "${BENCH_SRCDIR:?run this by make bench-carriers}" "${BENCH_BUILDDIR:?}"
rtt=40
streams=100
uncounted=100 # of each stream: two seconds, in which TCP finds out what the link takes
seconds=${BENCH_SECONDS:-45}
rounds=${BENCH_ROUNDS:-1}
losses=${BENCH_LOSSES:-0 0.5 1 2 5}
turns=${BENCH_TRIES:-3}
awake=${BENCH_AWAKE:-yes}
late_max_ms=25
calm_ms=10
if [ "${BENCH_SMOKE:-}" = yes ]; then
    seconds=0.5 rounds=1 losses="0 2" uncounted=5 turns=1 awake=no
fi
cpu_streams=400 # of 50 packets/s, one way
cpu_rounds=3
cpu_seconds=3
if [ "${BENCH_SMOKE:-}" = yes ]; then
    cpu_rounds=1 cpu_seconds=0.5
fi
max_sas=$((4 * cpu_streams))
. "$BENCH_SRCDIR/tests/bench/pair.sh"
. "$BENCH_SRCDIR/tests/bench/peers.sh"
chrt=${BENCH_CHRT:-}
out=${BENCH_OUT:-$BENCH_BUILDDIR/tests/bench}
results=$out/carriers.results
tools=$BENCH_BUILDDIR/tests/tools
suite=AES_CM_128_HMAC_SHA1_80
far=cf$$ near=cn$$ beside=cb$$ # beside: behind the near end, where udptunnel needs the receivers
spaces=

finish() {
    [ -z "${BENCH_KEEP:-}" ] || cp -r "$work" "$BENCH_KEEP"
    stop
    for space in $spaces; do ip netns del "$space" 2>/dev/null || :; done
}
trap finish EXIT

say() { echo "bench-carriers: $*" >&2; }
note() { echo "$*" >>"$results"; }

# at SPACE COMMAND...: runs it there.
at() {
    at_space=$1
    shift
    ip netns exec "$at_space" "$@"
}
# spawn_at SPACE NAME COMMAND...: in the background; sets pid.
spawn_at() {
    at_space=$1 at_name=$2
    shift 2
    spawn "$at_name" ip netns exec "$at_space" "$@"
    row_pids="$row_pids $pid"
}
listens_at() { at "$1" ss "-Hln$2" "sport = :$3" | grep -q .; }

# A virtual machine's processor that halts gives itself back to the host, and is some 0.1 ms to some ms late when
# a packet wakes it: that is what would be measured, and most where most processes take part. What runs here, one on
# each processor, takes only the time that nothing else wants.
stay_awake() {
    [ "$awake" = yes ] || return 0
    for range in $(sed -n 's/^Cpus_allowed_list:\t*//p' /proc/self/status | tr ',' ' '); do
        for processor in $(seq "${range%-*}" "${range#*-}"); do
            spawn "awake-$processor" taskset -c "$processor" chrt -i 0 sh -c 'while :; do :; done'
        done
    done
}

# ---------------------------------------------------------------- the link

addresses() {
    ip -n "$1" link set "$2" up
    ip -n "$1" addr add "$3/24" dev "$2"
}

make_link() {
    for space in $far $near $beside; do
        ip netns add "$space" || fail "this needs root, and network namespaces"
        spaces="$spaces $space"
        ip -n "$space" link set lo up
        # No cell is to learn from the one before.
        at "$space" sysctl -qw net.ipv4.tcp_no_metrics_save=1
    done
    spawn slowlink "$tools/slowlink" --from "/run/netns/$far:slow" --to "/run/netns/$near:slow" \
        --control "$work/link" delay=$((rtt / 2))
    soon link || fail "no slow link"
    addresses "$far" slow 10.98.0.2
    addresses "$near" slow 10.98.0.1
    ip -n "$near" link add beside0 type veth peer name beside1 netns "$beside"
    addresses "$near" beside0 10.97.0.1
    addresses "$beside" beside1 10.97.0.2
    ip -n "$beside" route add default via 10.97.0.1
    # Beside the slow one, to measure CPU time without it.
    ip -n "$near" link add fast type veth peer name fast netns "$far"
    addresses "$far" fast 10.96.0.2
    addresses "$near" fast 10.96.0.1
}
link() { "$tools/slowlink" --tell "$work/link" "$@" >"$work/link.reply"; }
# counted NAME: of the link, both ways.
counted() {
    link
    tr ',{}' '\n\n\n' <"$work/link.reply" | sed -n "s/^\"$1\"://p" | awk '{ sum += $1 } END { print sum + 0 }'
}

# congestion NAME: what TCP over the link uses, whatever a program asks for; "own": what it asks for.
congestion() {
    for end in "$far 10.98.0.2" "$near 10.98.0.1"; do
        set -- "$1" $end
        if [ "$1" = own ]; then
            ip -n "$2" route replace 10.98.0.0/24 dev slow src "$3"
        else
            ip -n "$2" route replace 10.98.0.0/24 dev slow src "$3" congctl lock "$1"
        fi
    done
}
# The algorithm that runs.
algorithm() {
    at "$far" ss -Htin 'dst 10.98.0.1' | grep -oE '\b(bbr|cubic|reno)\b' | sort | uniq -c | sort -rn |
        awk 'NR == 1 { print $2 }'
}

# ---------------------------------------------------------------- what carries

# carry_NAME: starts it; sets load (how relaybench reaches it).
carry_udp() {
    load="--direct --back --outside 10.98.0.2:20000 --inside 10.98.0.1:21000 --sources 1 --sinks 1"
}

# carry_pair CARRIER [ADDRESS [STATE-FILE]]: the inner-relay at the near end; the dmz-relay listens at this
# address.
carry_pair() {
    write_configs "${3:-}"
    sed -i "s/^listen = .*/listen = ${2:-10.98.0.2}:46000/" "$work/dmz.ini"
    sed -i "s/^address = 127.0.3.1:46000/address = ${2:-10.98.0.2}:46000/" "$work/inner.ini"
    sed -i "/^\[dmz main\]/a carrier = $1" "$work/inner.ini"
    takes "$work/inner.ini" || sed -i '/^carrier = /d' "$work/inner.ini"
    [ "$1" = stream ] || sed -i '/^\[tunnel\]/a raw-socket = yes' "$work/dmz.ini" "$work/inner.ini"
    rm -f "$work"/*.sock
    for end in "dmz $far" "inner $near"; do
        set -- $end
        BENCH_CHRT="$chrt ip netns exec $2"
        start "$1" "$1-relay"
        row_pids="$row_pids $pid"
        pair_pids="${pair_pids:-} --pid $1=$pid"
    done
    BENCH_CHRT=$chrt
    wait_for_tunnel
    load="--control $work/inner.sock --back --outside 127.16.0.1:20000 --inside 127.32.0.1:21000 --sinks $streams"
}

carry_coturn() {
    spawn_at "$near" coturn turnserver -n --listening-ip=10.98.0.1 --relay-ip=127.49.0.1 --tls-listening-port=5349 \
        --cert="$work/ca/dmz.example.crt" --pkey="$work/ca/dmz.example.key" --no-auth --no-cli \
        --allow-loopback-peers --no-dtls --no-udp --no-tcp --pidfile="$work/coturn.pid" \
        --userdb="$work/coturn.db" --log-file=stdout --realm=bench.example
    soon listens_at "$near" t 5349 || return 1
    spawn_at "$far" turngate "$BENCH_BUILDDIR/tests/bench/turngate" --server 10.98.0.1:5349 \
        --listen 127.49.0.2:6000 --sink 127.32.0.1:21000 --sinks 1
    soon logged ready "$work/turngate.log" || return 1
    load="--to 127.49.0.2:6000 --outside 127.16.0.1:20000 --inside 127.32.0.1:21000 --sources 1 --sinks 1"
}

carry_openvpn() {
    rm -f "$work"/openvpn-*.log
    vpn openvpn-a dmz.example ip netns exec "$far" openvpn --proto tcp-server --local 10.98.0.2 --lport 1194 \
        --dev tunb --tls-server --dh none --ifconfig 10.99.0.2 10.99.0.1
    row_pids="$row_pids $pid"
    soon logged "Listening for incoming TCP" "$work/openvpn-a.log" || return 1
    vpn openvpn-b inner.example ip netns exec "$near" openvpn --proto tcp-client --remote 10.98.0.2 --rport 1194 \
        --nobind --dev tuna --tls-client --ifconfig 10.99.0.1 10.99.0.2
    row_pids="$row_pids $pid"
    soon logged "Initialization Sequence Completed" "$work/openvpn-a.log" &&
        soon logged "Initialization Sequence Completed" "$work/openvpn-b.log" || return 1
    load="--direct --back --outside 10.99.0.2:20000 --inside 10.99.0.1:21000 --sources 1 --sinks 1"
}

# The receivers are beside the near end: udptunnel sends to the port that it listens at.
carry_stunnel() {
    spawn_at "$near" udptunnel-b udptunnel -s 7003 10.97.0.2/7010
    stunnel_end stunnel-b 10.98.0.1:7002 127.0.0.1:7003 no ip netns exec "$near"
    row_pids="$row_pids $pid"
    stunnel_end stunnel-a 127.0.0.1:7001 10.98.0.1:7002 yes ip netns exec "$far"
    row_pids="$row_pids $pid"
    soon listens_at "$near" t 7003 && soon listens_at "$near" t 7002 && soon listens_at "$far" t 7001 || return 1
    spawn_at "$far" udptunnel-a udptunnel -c 127.0.0.1/7001 10.98.0.2/7000
    soon listens_at "$far" u 7000 || return 1
    load="--to 10.98.0.2:7000 --outside 10.98.0.2:20000 --inside 10.97.0.2:7010 --sources 1 --sinks 1"
}

# ---------------------------------------------------------------- cells

# one_try ROW ALGORITHM LOSS SEED: everything anew, then loss, then media; sets line ("": nothing came),
# what (the algorithm), late_ms (how long the machine kept who measures waiting) and lost.
one_try() {
    row_pids= pair_pids= line= kind=$1 space=$near
    case $1 in
    pair-*) kind="pair ${1#pair-}" ;;
    stunnel) space=$beside ;;
    esac
    link loss=0
    congestion "$2"
    # shellcheck disable=SC2086
    if carry_$kind; then
        link loss="$3" seed="$4"
        lost=$(counted lost)
        # shellcheck disable=SC2086
        line=$(at "$far" timeout $((${seconds%.*} + 60)) $chrt "$BENCH_BUILDDIR/tests/bench/relaybench" --line $load \
            --sink-netns "$space" --streams $streams --rate 50 --seconds "$seconds" --uncounted $uncounted \
            --suite $suite 2>"$work/load.log") || :
        late_ms=$(late_most)
        lost=$(($(counted lost) - lost))
        what=$(algorithm)
        [ "$1" != udp ] && [ -n "$what" ] || what=-
    else
        tail -n 1 "$log" >"$work/load.log"
    fi
    link loss=0
    end_row
}
end_row() {
    for pid in $row_pids; do kill "$pid" 2>/dev/null || :; done
    for pid in $row_pids; do wait "$pid" 2>/dev/null || :; done
}
# Of the link since it was asked last, and of the generator's last line.
late_most() {
    link
    {
        tr ',{}' '\n\n\n' <"$work/link.reply" | sed -n 's/^"late_max_us":\([0-9]*\)$/\1 1000/p'
        echo "$line" | tr ' ' '\n' | sed -n 's/^late_ms=\(.*\)/\1 1/p'
    } | awk '$1 / $2 > most { most = $1 / $2 } END { printf "%.0f\n", most }'
}

# late_bound ROW: ms; more is a disturbed cell.
late_bound() {
    case $1 in
    udp | pair-raw | pair-auto) echo $calm_ms ;;
    *) echo $late_max_ms ;;
    esac
}

# cell ROW ALGORITHM LOSS ROUND
cell() {
    best=
    for try in $(seq "$turns"); do
        one_try "$1" "$2" "$3" $((10 * $4 + try))
        if [ -z "$line" ]; then
            say "$1: $(cat "$work/load.log")"
            continue
        fi
        if [ -z "$best" ] || [ "$late_ms" -lt "$best" ]; then
            best=$late_ms
            best_line="$what $3 $4 $line link_lost=$lost late=$late_ms"
        fi
        [ "$late_ms" -gt "$(late_bound "$1")" ] || break
    done
    if [ -n "$best" ]; then note "cell $1 $2 $best_line"; else note "failed $1 $2 $3 $(tail -n 1 "$work/load.log")"; fi
}

# cpu CARRIER ROUND: of both daemons for a packet, over a cable that is not slow.
cpu() {
    row_pids= pair_pids=
    carry_pair "$1" 10.96.0.2
    # shellcheck disable=SC2086
    line=$(at "$far" timeout 60 $chrt "$BENCH_BUILDDIR/tests/bench/relaybench" --line --control "$work/inner.sock" \
        --outside 127.16.0.1:20000 --inside 127.32.0.1:21000 --sinks $cpu_streams --sink-netns "$near" \
        --streams $cpu_streams --rate 50 --seconds $cpu_seconds --suite $suite $pair_pids 2>"$work/load.log") || :
    note "cpu $1 $2 $line"
    end_row
}

# first CARRIER ROUND: how long after the start of an inner-relay that has an SA from its state file the
# first packet of a sender outside comes to the receiver inside. The dmz-relay has been there all the time.
first() {
    row_pids= pair_pids= key=$(openssl rand -base64 30)
    rm -f "$work/state"
    congestion own
    carry_pair "$1" 10.98.0.2 "$work/state"
    "$ctl" -s "$work/inner.sock" sa add --side external --source 127.16.0.1:6000 --suite $suite --key "$key" \
        --ssrc 1 --to 127.32.0.1:6000 >"$work/add.log" 2>&1 || fail "sa add: $(cat "$work/add.log")"
    inner=${row_pids##* }
    soon test -e "$work/state" || fail "no state file"
    kill -KILL "$inner" # after a clean stop there is no state file
    wait "$inner" 2>/dev/null || :
    spawn_at "$near" rtprecv "$tools/rtprecv" --listen 127.32.0.1:6000 --count 1 --ready "$work/listens"
    receiver=$pid
    soon test -e "$work/listens" || fail "rtprecv does not listen"
    rm -f "$work/listens"
    spawn_at "$far" rtpsend "$tools/rtpsend" --from 127.16.0.1:6000 --to 127.0.1.1:40000 --key "$key" --ssrc 1 \
        --rate 500 --count 0
    soon no_site || fail "the dmz-relay did not see the inner-relay end"
    from=$(date +%s%N)
    BENCH_CHRT="$chrt ip netns exec $near" start inner inner-relay
    row_pids="$row_pids $pid"
    wait "$receiver" || :
    note "first $1 $2 $((($(date +%s%N) - from) / 1000))"
    end_row
}
no_site() { "$ctl" -s "$work/dmz.sock" status >/dev/null 2>&1; [ $? = 4 ]; }

takes() { "$BENCH_BUILDDIR/inner-relay/inner-relay" -t -c "$1" >"$work/try.log" 2>&1; }
# The carriers that the pair takes; stream is there without a setting, too.
find_carriers() {
    write_configs ""
    found=stream
    for carrier in unordered raw auto; do
        sed "/^\[dmz main\]/a carrier = $carrier" "$work/inner.ini" >"$work/try.ini"
        ! takes "$work/try.ini" || found="$found $carrier"
    done
    echo "$found"
}

choose_rows() {
    rows="udp/own"
    note "row udp/own plain UDP"
    carriers=${BENCH_CARRIERS:-$(find_carriers)}
    # The first and the last one show that it works.
    [ "${BENCH_SMOKE:-}" != yes ] || carriers="${carriers%% *} ${carriers##* }"
    for carrier in $carriers; do
        for wanted in own cubic; do
            # What CUBIC does to the sender is the same with each carrier.
            [ "$wanted" = own ] || [ "$carrier" = stream ] || continue
            rows="$rows pair-$carrier/$wanted"
            note "row pair-$carrier/$wanted the pair, carrier = $carrier"
        done
    done
    case ${BENCH_PEERS:-} in
    none) return ;;
    install) peer_names="coturn openvpn stunnel" && install_peers ;;
    esac
    for name in openvpn stunnel coturn; do
        missing=$(peer_missing "$name" | tr '\n' ' ')
        for wanted in cubic bbr; do
            note "row $name/$wanted $(peer_title "$name")"
            [ -z "$missing" ] || { note "missing $name/$wanted not installed: $missing" && continue; }
            rows="$rows $name/$wanted"
        done
    done
}

mkdir -p "$out"
: >"$results"
note "machine $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) CPUs, Linux $(uname -r)," \
    "load $(cut -d' ' -f1 /proc/loadavg) at the start"
note "date $(date -u +%Y-%m-%d)"
note "settings seconds=$seconds rounds=$rounds streams=$streams rtt=$rtt late_max=$late_max_ms smoke=${BENCH_SMOKE:-no}" \
    "awake=$awake"
note "losses $losses"
make_certs
make_link
choose_rows
stay_awake
for round in $(seq "$rounds"); do
    # All of them soon behind each other with the same loss: hosts have quiet hours and others.
    for loss in $losses; do
        for this in $rows; do
            [ "${BENCH_SMOKE:-} ${this#*/}" != "yes cubic" ] || [ "$loss" = "${losses##* }" ] || continue
            say "round $round of $rounds: $loss % loss, $this"
            cell "${this%/*}" "${this#*/}" "$loss" "$round"
        done
    done
done
for round in $(seq $cpu_rounds); do
    say "CPU time, first packet: round $round of $cpu_rounds"
    for carrier in $carriers; do
        cpu "$carrier" "$round"
        first "$carrier" "$round"
    done
done
link
note "link $(cat "$work/link.reply")"
for form in txt md svg; do
    awk -v form=$form -f "$BENCH_SRCDIR/tests/bench/carriers.awk" "$results" >"$out/carriers.$form"
done
cat "$out/carriers.txt"
echo "The plot: $out/carriers.svg"
