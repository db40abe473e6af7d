# Library of the network tests: namespaces, firewalls, daemons, assertions.
#
#   198.51.100.0/24 |    fwx     | 203.0.113.0/24     192.0.2.0/24 |    fwi    | 10.9.0.0/24       10.9.1.0/24
#   inet .10 .66 ---| 2 UDP only |--------- dmz .10 .10 -----------| 1 TCP only |------ inside .10 .1 -------- lan .20
#
# The dmz-relay runs in "dmz", the inner-relay in "inside", senders and receivers in
# "inet" and "lan". IPv6 is beside it: 2001:db8:100:: (inet), 2001:db8:2:: (dmz),
# 2001:db8:9:1:: (lan). The names of the namespaces carry the test's process id.
#
# Environment, set by tests/net/run: NET_SBIN, NET_CTL, NET_CERTS (what make install put into
# place), NET_TOOLS (tests/tools of the build), NET_WORK (a folder of this test),
# NET_USER (the unprivileged user that runs the daemons).
#
# shellcheck shell=bash disable=SC2034

set -u -o pipefail
export LC_ALL=C
umask 022
: "${NET_SBIN:?run this by tests/net/run}" "${NET_CTL:?}" "${NET_CERTS:?}" "${NET_TOOLS:?}" "${NET_WORK:?}"
NET_USER=${NET_USER:-nobody}
NET_GROUP=$(id -gn "$NET_USER")

W=$NET_WORK
PFX=mr$$
SPACES=() # namespaces that exist
PIDS=()   # processes that we started and did not see end
TESTS=0
FAILED=0
DMZ_TCP=4600

CLIENT=198.51.100.10
STRANGER=198.51.100.66
CLIENT6=2001:db8:100::10
STRANGER6=2001:db8:100::66
PHONE=10.9.1.20
PHONE6=2001:db8:9:1::20
DMZ_RTP=203.0.113.10
DMZ_RTP6=2001:db8:2::10
DMZ_TUNNEL=192.0.2.10
INNER_RTP=10.9.1.1
INNER_RTP6=2001:db8:9:1::1
DMZ_PORT=40000
INNER_PORT=41000

DMZ_NAME=dmz.example
SITE_A="site-a.example"
SITE_B="site-b.example"

# ---------------------------------------------------------------- results

say() { echo "# $*"; }

# ok TEXT / not_ok TEXT: one result.
ok() {
    TESTS=$((TESTS + 1))
    echo "ok $TESTS - $*"
}
not_ok() {
    TESTS=$((TESTS + 1))
    FAILED=$((FAILED + 1))
    echo "not ok $TESTS - $*"
}

# check TEXT COMMAND...: the command has to succeed; what it says is shown when it does not.
# It runs in this shell, not in a substitution: "wait" knows the shell's own children only.
check() {
    local text=$1
    shift
    if "$@" >"$W/check.out" 2>&1; then
        ok "$text"
    else
        not_ok "$text"
        say "failed: $*"
        sed -n '1,20s/^/#   /p' "$W/check.out"
        return 1
    fi
}

# refuse TEXT COMMAND...: the command has to fail.
refuse() {
    local text=$1
    shift
    if "$@" >"$W/check.out" 2>&1; then
        not_ok "$text"
        say "succeeded, but must not: $*"
        sed -n '1,20s/^/#   /p' "$W/check.out"
        return 1
    fi
    ok "$text"
}

# is TEXT GOT WANTED
is() {
    if [ "$2" = "$3" ]; then
        ok "$1"
    else
        not_ok "$1"
        say "got '$2', wanted '$3'"
        return 1
    fi
}

# like TEXT GOT REGEX
like() {
    if grep -qE -- "$3" <<<"$2"; then
        ok "$1"
    else
        not_ok "$1"
        say "got '$2', which does not match '$3'"
        return 1
    fi
}

# bail TEXT: nothing further makes sense.
bail() {
    not_ok "$*"
    show_logs
    exit 1
}

# wait_for SECONDS COMMAND...: polls until the command succeeds.
wait_for() {
    local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "${EPOCHREALTIME/./}" -lt "$end" ] || return 1
        read -rt 0.05 -u "$NEVER" _ || :
    done
}

now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }

show_logs() {
    local log
    for log in "$W"/*.log; do
        [ -s "$log" ] || continue
        say "last lines of ${log##*/}:"
        tail -n 15 "$log" | sed 's/^/#   /'
    done
}

# ---------------------------------------------------------------- processes

# A pipe that never has anything to read: "read -t" on it is a pause without a process.
mkfifo "$W/never" && exec {NEVER}<>"$W/never" && rm -f "$W/never"

# in_ns SPACE COMMAND...: as root, in a namespace.
in_ns() {
    local space=$1
    shift
    nsenter "--net=/run/netns/$PFX-$space" -- "$@"
}

# as_user COMMAND...: as the unprivileged user, with nothing left of root.
as_user() {
    setpriv "--reuid=$NET_USER" "--regid=$NET_GROUP" --clear-groups --no-new-privs \
        --inh-caps=-all --bounding-set=-all -- "$@"
}

# start NAME SPACE COMMAND...: in the background; its process id is in PID[NAME],
# its output in NAME.out and NAME.log (standard error). Standard input is the file INPUT, or nothing.
INPUT=/dev/null
declare -A PID=()
start() {
    local name=$1 space=$2
    shift 2
    nsenter "--net=/run/netns/$PFX-$space" -- "$@" >"$W/$name.out" 2>>"$W/$name.log" <"$INPUT" &
    PID[$name]=$!
    PIDS+=($!)
}
# The same as the unprivileged user.
start_user() {
    local name=$1 space=$2
    shift 2
    start "$name" "$space" setpriv "--reuid=$NET_USER" "--regid=$NET_GROUP" --clear-groups \
        --no-new-privs --inh-caps=-all --bounding-set=-all -- "$@"
}

gone() { ! kill -0 "$1" 2>/dev/null; }

# finish_of NAME SECONDS: waits for its end; its exit status is the result (124: did not end).
finish_of() {
    local pid=${PID[$1]} status=0 left=() p
    wait_for "$2" gone "$pid" || return 124
    wait "$pid" 2>/dev/null || status=$?
    for p in "${PIDS[@]}"; do
        [ "$p" = "$pid" ] || left+=("$p")
    done
    PIDS=(${left[@]+"${left[@]}"})
    unset "PID[$1]"
    return $status
}

# stop NAME [SIGNAL]: ends it and gives its exit status.
stop() {
    [ -n "${PID[$1]-}" ] || return 0
    kill -s "${2:-TERM}" "${PID[$1]}" 2>/dev/null
    finish_of "$1" 10
}

cleanup() {
    local p space
    trap - EXIT INT TERM
    for p in ${PIDS[@]+"${PIDS[@]}"}; do
        kill -KILL "$p" 2>/dev/null
    done
    for p in ${PIDS[@]+"${PIDS[@]}"}; do
        wait "$p" 2>/dev/null
    done
    for space in ${SPACES[@]+"${SPACES[@]}"}; do
        ip netns del "$PFX-$space" 2>/dev/null
    done
}
trap 'exit 130' INT TERM
trap 'status=$?; cleanup; exit $status' EXIT

# ---------------------------------------------------------------- topology

space() {
    ip netns add "$PFX-$1" || bail "namespace $1"
    SPACES+=("$1")
    # Without this a router cannot ask for a neighbour in its first second or two: its own
    # link-local address is still being checked for duplicates.
    in_ns "$1" sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.dad_transmits=0
    in_ns "$1" ip link set lo up
}

# cable SPACE DEVICE SPACE DEVICE
cable() {
    ip link add "$2" netns "$PFX-$1" type veth peer name "$4" netns "$PFX-$3" || bail "veth $2-$4"
    in_ns "$1" ip link set "$2" up
    in_ns "$3" ip link set "$4" up
}

# address SPACE DEVICE ADDRESS/LENGTH...
address() {
    local space=$1 device=$2 a
    shift 2
    for a in "$@"; do
        case $a in
        *:*) in_ns "$space" ip addr add "$a" dev "$device" nodad ;;
        *) in_ns "$space" ip addr add "$a" dev "$device" ;;
        esac || bail "address $a in $space"
    done
}

topology() {
    local s
    for s in inet fwx dmz fwi inside lan; do space $s; done
    cable inet eth0 fwx inet0
    cable fwx dmz0 dmz eth0
    cable dmz eth1 fwi dmz0
    cable fwi in0 inside eth0
    cable inside lan0 lan eth0
    address inet eth0 198.51.100.10/24 198.51.100.11/24 198.51.100.66/24 \
        2001:db8:100::10/64 2001:db8:100::66/64
    address fwx inet0 198.51.100.1/24 2001:db8:100::1/64
    address fwx dmz0 203.0.113.1/24 2001:db8:2::1/64
    address dmz eth0 203.0.113.10/24 2001:db8:2::10/64
    address dmz eth1 192.0.2.10/24
    address fwi dmz0 192.0.2.1/24
    address fwi in0 10.9.0.1/24
    address inside eth0 10.9.0.10/24
    address inside lan0 10.9.1.1/24 2001:db8:9:1::1/64
    address lan eth0 10.9.1.20/24 10.9.1.21/24 2001:db8:9:1::20/64
    in_ns inet ip route add default via 198.51.100.1
    in_ns inet ip route add default via 2001:db8:100::1
    in_ns dmz ip route add default via 203.0.113.1
    in_ns dmz ip route add default via 2001:db8:2::1
    in_ns dmz ip route add 10.9.0.0/16 via 192.0.2.1
    in_ns inside ip route add default via 10.9.0.1
    in_ns fwx ip route add 192.0.2.0/24 via 203.0.113.10
    in_ns fwi ip route add 10.9.1.0/24 via 10.9.0.10
    in_ns lan ip route add default via 10.9.1.1
    in_ns lan ip route add default via 2001:db8:9:1::1
    for s in fwx fwi; do
        in_ns $s sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    done
    firewalls
}

# A second site: inside2 and lan2, behind the same internal firewall.
second_site() {
    local s
    for s in inside2 lan2; do space $s; done
    cable fwi in1 inside2 eth0
    cable inside2 lan0 lan2 eth0
    address fwi in1 10.9.128.1/24
    address inside2 eth0 10.9.128.10/24
    address inside2 lan0 10.9.129.1/24
    address lan2 eth0 10.9.129.20/24
    in_ns fwi ip route add 10.9.129.0/24 via 10.9.128.10
    in_ns inside2 ip route add default via 10.9.128.1
    in_ns lan2 ip route add default via 10.9.129.1
}

# The whole point: these rules, and no others, are all that the pair needs.
external_rules() {
    cat <<END
table inet external {
    counter rtp-in { }
    counter rtp-out { }
    counter refused { }
    chain cut { }
    chain forward {
        type filter hook forward priority 0; policy drop;
        jump cut
        iifname "inet0" ip daddr $DMZ_RTP udp dport { $DMZ_PORT, $((DMZ_PORT + 1)) } counter name "rtp-in" accept
        oifname "inet0" ip saddr $DMZ_RTP udp sport { $DMZ_PORT, $((DMZ_PORT + 1)) } counter name "rtp-out" accept
        iifname "inet0" ip6 daddr $DMZ_RTP6 udp dport { $DMZ_PORT, $((DMZ_PORT + 1)) } counter name "rtp-in" accept
        oifname "inet0" ip6 saddr $DMZ_RTP6 udp sport { $DMZ_PORT, $((DMZ_PORT + 1)) } counter name "rtp-out" accept
        counter name "refused" drop
    }
}
END
}
internal_rules() {
    cat <<END
table inet internal {
    counter tunnel-out { }
    counter tunnel-back { }
    counter refused { }
    chain cut { }
    chain forward {
        type filter hook forward priority 0; policy drop;
        jump cut
        iifname "in*" oifname "dmz0" ip daddr $DMZ_TUNNEL tcp dport $DMZ_TCP ct state new,established counter name "tunnel-out" accept
        iifname "dmz0" oifname "in*" ip saddr $DMZ_TUNNEL tcp sport $DMZ_TCP ct state established counter name "tunnel-back" accept
        counter name "refused" drop
    }
}
END
}
firewalls() {
    external_rules | in_ns fwx nft -f - || bail "rules of the external firewall"
    internal_rules | in_ns fwi nft -f - || bail "rules of the internal firewall"
}
show_rules() {
    say "external firewall:"
    in_ns fwx nft -s list table inet external | sed 's/^/#   /'
    say "internal firewall:"
    in_ns fwi nft -s list table inet internal | sed 's/^/#   /'
}
# fw_packets fwx|fwi COUNTER
fw_packets() {
    local table=external
    [ "$1" = fwi ] && table=internal
    in_ns "$1" nft -j list counter inet $table "$2" |
        jq '[.nftables[] | .counter? // empty | .packets] | add'
}
# The tunnel cut in both directions, without a reset for anyone; and whole again.
cut_tunnel() { in_ns fwi nft add rule inet internal cut drop; }
heal_tunnel() { in_ns fwi nft flush chain inet internal cut; }

# ---------------------------------------------------------------- captures

# capture NAME SPACE DEVICE [FILTER...]: NAME.pcap, running once this returns.
capture() {
    local name=$1 space=$2 device=$3
    shift 3
    start "tcpdump-$name" "$space" tcpdump -Z root -n -U --immediate-mode -i "$device" \
        -B 16384 -w "$W/$name.pcap" "$@"
    wait_for 10 grep -q 'listening on' "$W/tcpdump-$name.log" || bail "tcpdump $name did not start"
}
end_capture() {
    stop "tcpdump-$1" INT || :
}
# packets NAME [FILTER...]: how many of a capture match.
packets() {
    local name=$1
    shift
    tcpdump -n -t -r "$W/$name.pcap" "$@" 2>/dev/null | grep -c '^IP'
}
# payloads NAME [FILTER...]: the UDP payloads in hex, one a line, in the order of the capture.
payloads() {
    local name=$1
    shift
    tcpdump -n -t -x -r "$W/$name.pcap" "$@" 2>/dev/null | awk '
        function number(text,  i, n) {
            for (i = 1; i <= length(text); i++)
                n = n * 16 + index("0123456789abcdef", substr(text, i, 1)) - 1
            return n
        }
        function flush(  head) {
            if (hex == "") return
            head = substr(hex, 1, 1) == "6" ? 40 : substr(hex, 2, 1) * 4
            print substr(hex, head * 2 + 17, (number(substr(hex, head * 2 + 9, 4)) - 8) * 2)
            hex = ""
        }
        /^IP/ { flush(); next }
        { sub(/^[^:]*:/, ""); gsub(/[ \t]/, ""); hex = hex $0 }
        END { flush() }'
}

# ---------------------------------------------------------------- certificates

CERTS=$W/certs
certs() { "$NET_CERTS" --dir "$CERTS" "$@" >>"$W/certs.log" 2>&1; }

# certificates NAME=ROLE...: a CA in $CERTS and a certificate per relay, owned by the user.
certificates() {
    local pair
    certs init || bail "media-relay-certs init"
    for pair in "$@"; do
        certs issue "${pair%%=*}" --role "${pair#*=}" || bail "media-relay-certs $pair"
    done
    chown -R "$NET_USER:$NET_GROUP" "$CERTS"
}

# ---------------------------------------------------------------- daemons

# Settings that a test may change before it calls the config functions.
LOG_LEVEL=debug
DMZ_EXTRA=
INNER_EXTRA=

# Every daemon is known by a short name: dmz, inner, inner2. Its files: NAME.ini, NAME.sock, NAME.log.
RUN=$W/run
mkdir -p "$RUN" && chown "$NET_USER:$NET_GROUP" "$RUN"
declare -A PROGRAM=() SPACE_OF=()

dmz_config() {
    PROGRAM[dmz]=$NET_SBIN/dmz-relay
    SPACE_OF[dmz]=dmz
    cat >"$W/dmz.ini" <<END
[listener main]
address = $DMZ_RTP
rtp-port = $DMZ_PORT
[listener six]
address = $DMZ_RTP6
rtp-port = $DMZ_PORT
[tunnel]
listen = $DMZ_TUNNEL:$DMZ_TCP
sites = ${SITES:-$SITE_A}
certificate = $CERTS/$DMZ_NAME.crt
key = $CERTS/$DMZ_NAME.key
ca = $CERTS/ca.crt
${DMZ_TUNNEL_EXTRA-}
[networks]
external = 198.51.100.0/24, 2001:db8:100::/64
[control]
socket = $RUN/dmz.sock
[log]
target = stderr
level = $LOG_LEVEL
$DMZ_EXTRA
END
}

# inner_config [NAME SPACE SITE LAN-ADDRESS LAN-ADDRESS6]
inner_config() {
    local name=${1:-inner} space=${2:-inside} site=${3:-$SITE_A} lan=${4:-$INNER_RTP}
    local lan6=${5-$INNER_RTP6}
    PROGRAM[$name]=$NET_SBIN/inner-relay
    SPACE_OF[$name]=$space
    {
        cat <<END
[dmz main]
address = $DMZ_TUNNEL:$DMZ_TCP
name = $DMZ_NAME
[listener main]
address = $lan
rtp-port = $INNER_PORT
END
        [ -z "$lan6" ] || cat <<END
[listener six]
address = $lan6
rtp-port = $INNER_PORT
END
        cat <<END
[tunnel]
certificate = $CERTS/$site.crt
key = $CERTS/$site.key
ca = $CERTS/ca.crt
${INNER_TUNNEL_EXTRA-}
[networks]
internal = 10.9.0.0/16, 2001:db8:9::/48
external = 198.51.100.0/24, 2001:db8:100::/64
[state]
file = $RUN/$name.state
interval = 1s
[control]
socket = $RUN/$name.sock
[log]
target = stderr
level = $LOG_LEVEL
$INNER_EXTRA
END
    } >"$W/$name.ini"
}

# ctl NAME ARGUMENT...: relayctl against a daemon.
ctl() {
    local name=$1
    shift
    "$NET_CTL" -s "$RUN/$name.sock" "$@"
}
ctl_json() {
    local name=$1
    shift
    "$NET_CTL" -s "$RUN/$name.sock" --json "$@"
}

answers() { [ -S "$RUN/$1.sock" ] && ctl "$1" --json status >/dev/null 2>&1 || [ $? = 4 ]; }

# launch NAME: starts it and waits until it answers at its control socket.
launch() {
    local name=$1
    start_user "$name" "${SPACE_OF[$name]}" "${PROGRAM[$name]}" -c "$W/$name.ini" -f
    wait_for 10 up_or_gone "$name"
    answers "$name" || bail "$name did not start"
}
up_or_gone() { answers "$1" || gone "${PID[$1]}"; }

# tunnel_up NAME: every tunnel of it is up and its SAs are in step.
tunnel_up() {
    ctl_json "$1" status | jq -e '.tunnels | length > 0 and all(.state == "up")' >/dev/null
}
tunnel_not_up() { ! tunnel_up "$1"; }
synced() {
    ctl_json inner status |
        jq -e '.tunnels | length > 0 and all(.state == "up" and .sync == "synced")' >/dev/null
}

# The pair as most tests want it.
pair_up() {
    topology
    certificates "$DMZ_NAME=dmz" "$SITE_A=inner"
    dmz_config
    inner_config
    launch dmz
    launch inner
    wait_for 10 tunnel_up inner || bail "the tunnel did not come up"
    wait_for 10 tunnel_up dmz || bail "the tunnel did not come up at the dmz-relay"
}

# status_of NAME JQ-FILTER, stats_of NAME JQ-FILTER
status_of() { ctl_json "$1" status | jq -r "$2"; }
stats_of() { ctl_json "$1" stats | jq -r "$2"; }

# verdict NAME WORD [PLACE-REGEX]: the sum of a counter over the places of a daemon.
verdict() {
    ctl_json "$1" stats | jq --arg w "$2" --arg p "${3:-.}" \
        '[.places[] | select(.place | test($p)) | .verdicts[$w] // 0] | add // 0'
}
# verdicts NAME [PLACE-REGEX]: all that are not zero, as "word=number word=number".
verdicts() {
    ctl_json "$1" stats | jq -r --arg p "${2:-.}" \
        '[.places[] | select(.place | test($p)) | .verdicts | to_entries[] | select(.value > 0)]
         | group_by(.key) | map("\(.[0].key)=\(map(.value) | add)") | join(" ")'
}
# at_least NUMBER COMMAND...: the number that the command prints has come up to it.
at_least() {
    local want=$1 got
    shift
    got=$("$@") && [ "$got" -ge "$want" ]
}
equals() {
    local want=$1
    shift
    [ "$("$@")" = "$want" ]
}

# ---------------------------------------------------------------- SAs

SUITES="AES_CM_128_HMAC_SHA1_80 AES_CM_128_HMAC_SHA1_32 AES_256_CM_HMAC_SHA1_80 AEAD_AES_128_GCM AEAD_AES_256_GCM"

# new_key SUITE: prints a fresh key with its salt in base64, and remembers it for the grep at the end.
new_key() {
    local octets key
    case $1 in
    AES_CM_128_*) octets=30 ;;
    AES_256_CM_*) octets=46 ;;
    AEAD_AES_128_GCM) octets=28 ;;
    AEAD_AES_256_GCM) octets=44 ;;
    esac
    key=$(openssl rand -base64 "$octets" | tr -d '\n')
    echo "$key" >>"$W/keys"
    echo "$key"
}

# sa_add DAEMON ARGUMENT...: prints the reply, a JSON object; fails when it is refused.
sa_add() {
    local name=$1
    shift
    ctl_json "$name" sa add "$@" 2>&1
}
# The replica has the SAs: as many as named.
sas_at() { equals "$2" status_of "$1" .sas; }

# send NAME SPACE ARGUMENT...: rtpsend in the background; its JSON line is in NAME.out.
send() {
    local name=$1 space=$2
    shift 2
    start "$name" "$space" "$NET_TOOLS/rtpsend" "$@"
}
# send_now NAME SPACE ARGUMENT...: the same, to its end.
send_now() {
    send "$@"
    finish_of "$1" 30 || bail "rtpsend $1: $(cat "$W/$1.log")"
}
# receive NAME SPACE IP:PORT ARGUMENT...: rtprecv, listening once this returns; what came is kept in
# NAME.got, its JSON line will be in NAME.out.
receive() {
    local name=$1 space=$2 listen=$3
    shift 3
    rm -f "$W/$name.ready"
    start "$name" "$space" "$NET_TOOLS/rtprecv" --listen "$listen" --ready "$W/$name.ready" \
        --save "$W/$name.got" --brief "$@"
    wait_for 5 test -e "$W/$name.ready" || bail "rtprecv $name: $(cat "$W/$name.log")"
}
# field NAME JQ-FILTER: of the JSON line of a tool.
field() { jq -r "$2" "$W/$1.out"; }

# datagrams FILE: what --save kept, one datagram a line in hex, sorted.
datagrams() {
    od -An -v -tx1 -w1 "$1" | awk '
        function digit(c) { return index("0123456789abcdef", c) - 1 }
        function octet(h) { return digit(substr(h, 1, 1)) * 16 + digit(substr(h, 2, 1)) }
        {
            if (head < 2) { left = left * 256 + octet($1); head++; line = "" }
            else { line = line $1; left-- }
            if (head == 2 && left == 0) { print line; head = 0 }
        }' | sort
}
# same_datagrams FILE FILE: neither has one more, less, or other.
same_datagrams() {
    datagrams "$1" >"$1.hex"
    datagrams "$2" >"$2.hex"
    [ -s "$1.hex" ] && diff "$1.hex" "$2.hex" | head -n 5 && cmp -s "$1.hex" "$2.hex"
}

# ---------------------------------------------------------------- real audio

bound() { in_ns "$1" ss -Hlnu | grep -qE "[:.]$2 "; }

# ffmpeg_receive NAME SPACE ADDRESS PORT SUITE KEY: decodes SRTP audio into NAME.wav until the
# sender says BYE.
ffmpeg_receive() {
    local name=$1 space=$2 address=$3 port=$4
    cat >"$W/$name.sdp" <<END
v=0
o=- 1 1 IN IP4 $address
s=-
c=IN IP4 $address
t=0 0
m=audio $port RTP/SAVP 0
a=crypto:1 $5 inline:$6
END
    # At "info" ffmpeg prints the SDP with its key.
    start "$name" "$space" ffmpeg -nostdin -hide_banner -loglevel warning \
        -protocol_whitelist file,udp,rtp,srtp,crypto -max_delay 200000 \
        -i "$W/$name.sdp" -c:a pcm_s16le -y "$W/$name.wav"
    wait_for 5 bound "$space" "$port" || bail "$name does not listen"
}

# ffmpeg_send NAME SPACE FREQUENCY SECONDS SUITE KEY SSRC LOCAL-PORT ADDRESS PORT: a tone as
# SRTP, 20 ms a packet, with sender reports and a BYE at the end as SRTCP.
ffmpeg_send() {
    local local_port=$8
    start "$1" "$2" ffmpeg -nostdin -hide_banner -loglevel warning -re -f lavfi \
        -i "sine=frequency=$3:sample_rate=8000:duration=$4:samples_per_frame=160" \
        -c:a pcm_mulaw -ssrc "$7" -rtpflags send_bye -f rtp -sdp_file /dev/null \
        -srtp_out_suite "$5" -srtp_out_params "$6" \
        "srtp://$9:${10}?localrtpport=$local_port&localrtcpport=$((local_port + 1))&pkt_size=200"
}

# ---------------------------------------------------------------- the end of every test

# Every packet is under exactly one verdict or still queued.
adds_up() {
    ctl_json "$1" stats | jq -e '.places | length > 0 and
        all(.received == ([.verdicts[]] | add) + .queued)' >/dev/null
}

secrets() {
    local key
    [ -s "$W/keys" ] || return 0
    while read -r key; do
        echo "$key"
        base64 -d <<<"$key" | od -An -v -tx1 | tr -d ' \n' && echo
        base64 -d <<<"$key" | od -An -v -tx1 | tr -d ' \n' | tr a-f A-F && echo
    done <"$W/keys"
}

no_key_shown() {
    local id name
    secrets >"$W/secrets"
    for name in "${!PROGRAM[@]}"; do
        [ -n "${PID[$name]-}" ] && answers "$name" || continue
        ctl_json "$name" sa list >"$W/shown.$name"
        for id in $(jq -r '.sas[].id' "$W/shown.$name" | head -n 20); do
            ctl "$name" sa show "$id"
            ctl_json "$name" sa show "$id"
        done >>"$W/shown.$name" 2>&1
    done
    [ -s "$W/secrets" ] || return 0
    ! grep -lFf "$W/secrets" "$W"/*.log "$W"/shown.* 2>/dev/null
}

# done_testing: what every test asserts about every daemon, then the plan.
done_testing() {
    local name status
    for name in "${!PROGRAM[@]}"; do
        [ -n "${PID[$name]-}" ] || continue
        if ! check "$name: at every place received = verdicts + queued" adds_up "$name"; then
            ctl "$name" stats | sed 's/^/#   /'
        fi
    done
    [ ! -s "$W/keys" ] || check "no key in any log or reply" no_key_shown
    for name in "${!PROGRAM[@]}"; do
        [ -n "${PID[$name]-}" ] || continue
        status=0
        stop "$name" TERM || status=$?
        is "$name: stopped cleanly by SIGTERM" "$status" 0
    done
    [ ${#PROGRAM[@]} = 0 ] || refuse "no sanitizer report, no assertion" grep -nE \
        'ERROR: (Address|Leak|Undefined)|runtime error:|Assertion .* failed' "$W"/*.log
    [ "$FAILED" = 0 ] || show_logs
    echo "1..$TESTS"
    [ "$FAILED" = 0 ]
    exit
}
