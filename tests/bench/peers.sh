# Sourced by run.sh: the relays that the pair is compared with, each with what is needed at its other
# end. peer_start NAME starts one and sets peer_pids (NAME=PID words for relaybench) and peer_load
# (how relaybench reaches it); peer_stop NAME ends it. What cannot be had is noted with its reason.
peer_names="rtpengine pass-through coturn openvpn stunnel"
far=rb$$ # the network namespace of the other side
far_there=
policy_made=

# peer_title NAME: for tables.
peer_title() {
    case $1 in
    rtpengine) echo "rtpengine, SRTP to RTP" ;;
    pass-through) echo "rtpengine, pass-through" ;;
    coturn) echo "coturn, TURN over TLS" ;;
    openvpn) echo "OpenVPN over TCP" ;;
    stunnel) echo "stunnel with udptunnel" ;;
    esac
}

# peer_needs NAME: "PROGRAM PACKAGE" pairs, one a line.
peer_needs() {
    case $1 in
    rtpengine | pass-through) echo "rtpengine rtpengine-daemon" ;;
    coturn) echo "turnserver coturn" ;;
    openvpn) printf '%s\n' "openvpn openvpn" "ip iproute2" ;;
    stunnel) printf '%s\n' "stunnel stunnel4" "udptunnel udptunnel" "ip iproute2" ;;
    esac
}

# peer_missing NAME: the packages that are not there.
peer_missing() {
    peer_needs "$1" | while read -r program package; do
        command -v "$program" >/dev/null 2>&1 || echo "$package"
    done
}

# Their services are not to be started by the installation: only we start them, here.
install_peers() {
    missing=$(for name in $peer_names; do peer_missing "$name"; done | sort -u | tr '\n' ' ')
    [ -n "$missing" ] || return 0
    say "apt-get install $missing"
    policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ]; then
        policy=
    else
        policy_made=$policy # removed at the end, should this be interrupted
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
    fi
    DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $missing \
        >"$work/apt.log" 2>&1 || say "apt-get could not install all of them: $(tail -n 1 "$work/apt.log")"
    [ -z "$policy" ] || rm -f "$policy"
}

# spawn NAME COMMAND...: in the background; sets pid.
spawn() {
    log=$work/$1.log
    shift
    rm -f "$log" # what an earlier one said is not to be taken for its word
    ${BENCH_CHRT:-} "$@" >"$log" 2>&1 &
    pid=$!
    pids="$pids $pid"
}

# soon COMMAND...: waits until it succeeds, for 10 s at most.
soon() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || return 1
        sleep 0.1
    done
}

listens() { ss -Hln${1} "sport = :$2" | grep -q .; }
logged() { grep -q "$1" "$2"; }

# There has to be a second namespace where something cannot have both ends in one.
need_far() {
    [ -z "$far_there" ] || return 0
    ip netns add "$far" 2>"$work/netns.log" || return 1
    far_there=yes
    ip link add far0 type veth peer name far1 netns "$far" 2>>"$work/netns.log" &&
        ip addr add 10.98.0.1/24 dev far0 && ip link set far0 up &&
        ip -n "$far" addr add 10.98.0.2/24 dev far1 && ip -n "$far" link set far1 up &&
        ip -n "$far" link set lo up &&
        ip -n "$far" route add local 10.99.4.0/22 dev lo
}

start_rtpengine() {
    if [ -z "${rtpengine_pid:-}" ]; then
        spawn rtpengine rtpengine --foreground --table=-1 --interface=127.48.0.1 \
            --listen-ng=127.48.0.1:2223 --port-min=20000 --port-max=59999 --log-stderr --log-level=4 \
            --no-redis-required --delete-delay=0
        rtpengine_pid=$pid
        soon listens u 2223 || return 1
    fi
    peer_pids="rtpengine=$rtpengine_pid"
    peer_load="--rtpengine 127.48.0.1:2223 --outside $outside --inside $inside --sinks $streams"
}

start_pass_through() {
    start_rtpengine || return 1
    peer_load="$peer_load --pass-through"
}

# The channels last for five minutes: the gate is a new one each time.
start_coturn() {
    if [ -z "${coturn_pid:-}" ]; then
        spawn coturn turnserver -n --listening-ip=127.49.0.1 --relay-ip=127.49.0.1 --tls-listening-port=5349 \
            --cert="$work/ca/dmz.example.crt" --pkey="$work/ca/dmz.example.key" --no-auth --no-cli \
            --allow-loopback-peers --no-dtls --no-udp --no-tcp --pidfile="$work/coturn.pid" \
            --userdb="$work/coturn.db" --log-file=stdout --realm=bench.example
        coturn_pid=$pid
        soon listens t 5349 || return 1
    fi
    spawn turngate "$BENCH_BUILDDIR/tests/bench/turngate" --server 127.49.0.1:5349 \
        --listen 127.49.0.2:6000 --sink "$inside" --sinks "$streams"
    gate_pid=$pid
    soon logged ready "$work/turngate.log" || return 1
    peer_pids="coturn=$coturn_pid gate=$gate_pid"
    peer_load="--to 127.49.0.2:6000 --outside $outside --inside $inside --sinks $streams"
}

stop_coturn() { end_process "$gate_pid"; }

# vpn NAME CERTIFICATE OPTIONS...: one end.
vpn() {
    end=$1 certificate=$2
    shift 2
    spawn "$end" "$@" --dev-type tun --ca "$work/ca/ca.crt" --cert "$work/ca/$certificate.crt" \
        --key "$work/ca/$certificate.key" --data-ciphers AES-128-GCM --cipher AES-128-GCM \
        --socket-flags TCP_NODELAY --txqueuelen 1000 --verb 3
}

start_openvpn() {
    if [ -z "${vpn_pids:-}" ]; then
        need_far || return 1
        vpn openvpn-a dmz.example ip netns exec "$far" openvpn --proto tcp-server --local 10.98.0.2 --lport 1194 \
            --dev tunb --tls-server --dh none --ifconfig 10.99.0.2 10.99.0.1
        a=$pid
        soon logged "Listening for incoming TCP" "$work/openvpn-a.log" || return 1
        vpn openvpn-b inner.example openvpn --proto tcp-client --remote 10.98.0.2 --rport 1194 --nobind \
            --dev tuna --tls-client --ifconfig 10.99.0.1 10.99.0.2 --route-noexec
        b=$pid
        soon logged "Initialization Sequence Completed" "$work/openvpn-a.log" &&
            soon logged "Initialization Sequence Completed" "$work/openvpn-b.log" || return 1
        ip route add 10.99.4.0/22 dev tuna || return 1
        vpn_pids="openvpn_a=$a openvpn_b=$b"
    fi
    peer_pids=$vpn_pids
    peer_load="--direct --outside 10.99.0.1:20000 --sources 1 --inside 10.99.4.1:21000 --sinks $streams --sink-netns $far"
}

# stunnel_end NAME ACCEPT CONNECT CLIENT [COMMAND...]
stunnel_end() {
    cat >"$work/$1.conf" <<END
foreground = yes
pid =
debug = warning
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[media]
accept = $2
connect = $3
client = $4
cert = $work/ca/dmz.example.crt
key = $work/ca/dmz.example.key
ciphersuites = TLS_AES_128_GCM_SHA256
END
    end=$1
    shift 4
    spawn "$end" "$@" stunnel "$work/$end.conf"
}

# udptunnel sends to the port that it listens at: sender's end over there, the other one here, the sink
# over there again.
start_stunnel() {
    if [ -z "${stunnel_pids:-}" ]; then
        need_far || return 1
        spawn udptunnel-b udptunnel -s 7003 10.98.0.2/7010
        stunnel_pids="udptunnel_b=$pid"
        stunnel_end stunnel-b 10.98.0.1:7002 127.0.0.1:7003 no
        stunnel_pids="$stunnel_pids stunnel_b=$pid"
        stunnel_end stunnel-a 127.0.0.1:7001 10.98.0.1:7002 yes ip netns exec "$far"
        stunnel_pids="$stunnel_pids stunnel_a=$pid"
        soon listens t 7003 && soon listens t 7002 &&
            soon ip netns exec "$far" sh -c 'ss -Hltn "sport = :7001" | grep -q .' || return 1
        spawn udptunnel-a ip netns exec "$far" udptunnel -c 127.0.0.1/7001 10.98.0.2/7000
        stunnel_pids="$stunnel_pids udptunnel_a=$pid"
        soon ip netns exec "$far" sh -c 'ss -Hlun "sport = :7000" | grep -q .' || return 1
    fi
    peer_pids=$stunnel_pids
    peer_load="--to 10.98.0.2:7000 --outside 10.98.0.1:20000 --sources 1 --inside 10.98.0.2:7010 --sink-netns $far"
}

# peer_start NAME: fails with the reason in peer_reason.
peer_start() {
    peer_reason= log=
    missing=$(peer_missing "$1" | tr '\n' ' ')
    if [ -n "$missing" ]; then
        peer_reason="not installed: ${missing% }"
        return 1
    fi
    "start_$(echo "$1" | tr - _)" && return 0
    peer_reason="does not start here: $(cat "$work/netns.log" ${log:+"$log"} 2>/dev/null | tail -n 1)"
    return 1
}

peer_stop() {
    [ "$1" != coturn ] || stop_coturn
}

peers_end() {
    [ -z "$policy_made" ] || rm -f "$policy_made"
    [ -z "$far_there" ] || ip netns del "$far"
}
