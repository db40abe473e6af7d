# An attacker beside the Internet's router, where he sees what comes from the clients; sourced by
# lib.sh, for the laboratories of figures.sh. See tests/tools/attacker.c.
#
# shellcheck shell=bash disable=SC2034

# His: addresses of AS112's other net (RFC 7534), and for floods those of RFC 2544.
EVIL_NET=192.175.48
FLOOD_NET=198.18

# evil: the namespace of the attacker, on a port of the router "net" of its own.
evil() {
    local network
    space evil
    cable net evil0 evil eth0
    address net evil0 100.64.66.1/30
    address evil eth0 100.64.66.2/30
    route evil default 100.64.66.1
    for network in $EVIL_NET.0/24 $FLOOD_NET.0.0/16; do
        in_ns evil ip route add local $network dev lo || bail "addresses of the attacker"
        route net $network 100.64.66.2
    done
    in_ns net nft -f - <<END || bail "rules of the router"
table ip held {
    set senders { type inet_service; flags interval; }
    chain forward {
        type filter hook forward priority 0; policy accept;
        iifname "inet0" ip saddr $WEB udp sport @senders drop
    }
}
END
}

# held PORT: what comes from this port of the client and from the next passes the attacker alone.
held() { in_ns net nft add element ip held senders "{ $1-$(($1 + 1)) }" || bail "held $1"; }

# ---------------------------------------------------------------- calls and their attackers

CALLEE=${LAN[a]}
ATTACK_SUITE=AES_CM_128_HMAC_SHA1_80
# CALL_OF NAME PORT: a function that makes the call of a row, between WEB:PORT and CALLEE:PORT, with
# KEY_IN and KEY_OUT, SSRCs "ssrc PORT" and PORT. It may set where the two send to; by default
# that is the pair of daemons.
CALL_OF=
SENDING=(--rate 50 --count 400)
ROWS=() PORT=6000 EVIL=10
declare -A PORT_OF=() WORD=() KEY_IN=() KEY_OUT=() WEB_SENDS_TO=() PHONE_SENDS_TO=()

# table: begins one; its rows follow, then talk, then quiet.
table() { ROWS=() EVIL=10; }

# row NAME VERDICT ATTACK ARGUMENT...: a call and its attacker, who begins at once. VERDICT: what the
# dmz-relay makes of each of his packets; "forged" is auth-fail, or replay when the true packet was
# there before; "any" is no-sa or no RTP at all. With --hold he holds the caller's packets back,
# and his own are there before them.
row() {
    local name=$1 word=$2 what=$3 port=$PORT
    shift 3
    ROWS+=("$name")
    PORT=$((PORT + 10)) EVIL=$((EVIL + 10))
    PORT_OF[$name]=$port
    WORD[$name]=$word
    case " $* " in
    *" --hold "*) held $port ;;
    esac
    KEY_IN[$name]=$(new_key $ATTACK_SUITE)
    KEY_OUT[$name]=$(new_key $ATTACK_SUITE)
    WEB_SENDS_TO[$name]=${DMZ_OUT[a]}:$MEDIA
    PHONE_SENDS_TO[$name]=${INNER[a]}:$MEDIA
    "$CALL_OF" "$name" "$port" || bail "call of $name"
    attack "$name" "$EVIL_NET.$EVIL:$port" "$what" --target "${WEB_SENDS_TO[$name]}" \
        --sender "$WEB:$port" --ssrc "$(ssrc $port)" "$@"
}
# attack NAME ADDRESS ATTACK ARGUMENT...: begins; its JSON line will be in NAME.out after "stop NAME".
attack() {
    local name=$1 address=$2 what=$3
    shift 3
    rm -f "$W/$name.ready"
    start "$name" evil "$NET_TOOLS/attacker" "$what" --own "$address" \
        --see "/run/netns/$PFX-net:inet0" --ready "$W/$name.ready" "$@"
    wait_for 5 test -e "$W/$name.ready" || bail "attacker $name: $(cat "$W/$name.log")"
}
# Of a caller: in front of RTP' it looks like RTP.
ssrc() { echo $((0x80000000 + $1)); }

# talk: both ends of the calls of all rows send, to the end.
talk() {
    callers_talk
    phones_talk
    all_said
}
callers_talk() {
    local name
    for name in "${ROWS[@]}"; do
        send "$name-web" inet --from "$WEB:${PORT_OF[$name]}" --to "${WEB_SENDS_TO[$name]}" \
            --ssrc "$(ssrc "${PORT_OF[$name]}")" --key "${KEY_IN[$name]}" "${SENDING[@]}" \
            --save "$W/$name-web.sent"
    done
}
phones_talk() {
    local name
    for name in "${ROWS[@]}"; do
        send "$name-phone" lan-a --from "$CALLEE:${PORT_OF[$name]}" \
            --to "${PHONE_SENDS_TO[$name]}" --ssrc "${PORT_OF[$name]}" --key "${KEY_OUT[$name]}" \
            "${SENDING[@]}" --save "$W/$name-phone.sent"
    done
}
all_said() {
    local name
    for name in "${ROWS[@]}"; do
        finish_of "$name-phone" 30 || bail "sender of the phone of $name: $? $(cat "$W/$name-phone.log")"
        finish_of "$name-web" 30 || bail "sender of the caller of $name: $? $(cat "$W/$name-web.log")"
    done
}
# quiet: the attackers stop.
quiet() {
    local name
    for name in "${ROWS[@]}"; do
        stop "$name" || bail "attacker $name: $(cat "$W/$name.log")"
    done
}

# Both ends receive at the ports that they send from: what comes there is captured. Nobody says so
# when they have ended.
capture_ends() {
    local s
    for s in inet lan-a; do
        in_ns $s nft -f - <<END || bail "rules of $s"
table ip end {
    chain output {
        type filter hook output priority 0; policy accept;
        icmp type destination-unreachable drop
    }
}
END
    done
    capture web inet eth0 udp and dst host $WEB
    capture phone lan-a eth0 udp and dst host "$CALLEE"
}
# heard NAME web|phone: makes lists of datagrams in hex, NAME.wanted (what the other end sent) and
# NAME.heard (what came).
heard() {
    local port=${PORT_OF[$1]} other=web
    [ "$2" = phone ] || other=phone
    datagrams "$W/$1-$other.sent" >"$W/$1.wanted"
    payloads "$2" "udp and dst portrange $port-$((port + 1))" | sort >"$W/$1.heard"
}
# heard_all NAME web|phone: what came is what the other end sent, each packet once.
heard_all() {
    heard "$1" "$2"
    [ -s "$W/$1.wanted" ] && diff "$W/$1.wanted" "$W/$1.heard" | head -n 5 &&
        cmp -s "$W/$1.wanted" "$W/$1.heard"
}

# ---------------------------------------------------------------- calls of the pair

# sas NAME PORT EXTERNAL... -- INTERNAL...: the two SAs of a call, with these arguments of "sa add".
declare -A SA_OF=()
sas() {
    local name=$1 port=$2 external=()
    shift 2
    while [ "$1" != -- ]; do
        external+=("$1")
        shift
    done
    shift
    sa_add inner --side external --suite $ATTACK_SUITE --key "${KEY_IN[$name]}" --to "$CALLEE:$port" \
        "${external[@]}" >"$W/reply" || bail "sa add: $(cat "$W/reply")"
    SA_OF[$name]=$(jq .id "$W/reply")
    sa_add inner --side internal --source "$CALLEE:$port" --suite $ATTACK_SUITE \
        --key "${KEY_OUT[$name]}" --ssrc "$port" --reverse "${SA_OF[$name]}" \
        --source-policy strict "$@" >"$W/reply" || bail "sa add: $(cat "$W/reply")"
}
# Sources are fixed.
strict_call() {
    sas "$1" "$2" --source-policy strict --source "$WEB:$2" --ssrc "$(ssrc "$2")" -- --to "$WEB:$2"
}
# A phone behind NAT: its SDP has an address of its own network, and only its SIP came from WEB.
hinted_call() { sas "$1" "$2" --source "192.168.1.7:$2" --hint $WEB --ssrc "$(ssrc "$2")" --; }
# And nobody has said which SSRC it has.
unnamed_call() { sas "$1" "$2" --source "192.168.1.7:$2" --hint $WEB --; }

# heard_from: where the dmz-relay hears the callers of the rows, one a line; right: where it should.
heard_from() {
    local name
    for name in "${ROWS[@]}"; do
        ctl_json dmz sa show "${SA_OF[$name]}" |
            jq -r --arg n "$name" '.sa | "\($n) \(.bound) \(.bound_rtcp)"'
    done
}
right() {
    local name port
    for name in "${ROWS[@]}"; do
        port=${PORT_OF[$name]}
        echo "$name $WEB:$port $WEB:$((port + 1))"
    done
}
all_bound() { [ "$(heard_from | grep -vc ' null')" -ge ${#ROWS[@]} ]; }
