#!/bin/bash
# "relayctl explain": why a call is silent. One call for each fault, all at once, on the real daemons;
# the first line of the answer is the true cause each time. Then what hits all calls: the
# firewalls and the tunnel.
. "$(dirname "$0")/lib.sh"

SUITE=AES_CM_128_HMAC_SHA1_80
LOG_LEVEL=info
GONE=10.9.1.99 # an address of the inside that nobody has
INNER_EXTRA="[peer other]
address = $STRANGER
rtp-port = 5004
[learning]
source-policy = strict"

pair_up

# ---------------------------------------------------------------- calls

# call NAME [RECEIVER [ARGUMENT...]]: adds both directions, from ports of the client and the phone that
# no other call has, to the next pair of ports. ARGUMENTs are for the sender outside. BACK: where the
# phone's packets go, if not to the client.
N=0 BACK=()
declare -A PORT=() SSRC=() KEY=() OUT_KEY=() TO=()
call() {
    local name=$1 to=${2:-$PHONE} id port back
    shift $(($# > 2 ? 2 : $#))
    port=$((6000 + 10 * N))
    PORT[$name]=$port
    TO[$name]=$to:$((port + 2))
    SSRC[$name]=$((1000 + N))
    N=$((N + 1))
    KEY[$name]=$(new_key $SUITE)
    OUT_KEY[$name]=$(new_key $SUITE)
    id=$(sa_add inner --side external --source-policy strict --source "$CLIENT:$port" --suite $SUITE \
        --key "${KEY[$name]}" --ssrc "${SSRC[$name]}" --to "${TO[$name]}" \
        --call-id "$name" "$@" | tee "$W/sa.out" | jq .id) || bail "sa add $name: $(cat "$W/sa.out")"
    back=(${BACK[@]+"${BACK[@]}"})
    [ ${#back[@]} -gt 0 ] || back=(--to "$CLIENT:$((port + 2))")
    sa_add inner --side internal --source-policy strict --source "$PHONE:$port" --suite $SUITE \
        --key "${OUT_KEY[$name]}" --ssrc "${SSRC[$name]}" --call-id "$name" --reverse "$id" \
        "${back[@]}" >"$W/sa.out" || bail "sa add $name: $(cat "$W/sa.out")"
}
id_of() { ctl_json inner sa list | jq --arg c "$1" --arg s "$2" '.sas[] | select(.call_id == $c and .side == $s) | .id'; }

# outside NAME ARGUMENT..., inside NAME ARGUMENT...: that sender, until it is stopped; the ARGUMENTs are
# what is wrong with it.
outside() {
    local name=$1
    shift
    send "outside-$name" inet --from "$CLIENT:${PORT[$name]}" --to "$DMZ_RTP:$DMZ_PORT" --count 0 \
        --key "${KEY[$name]}" --ssrc "${SSRC[$name]}" "$@"
}
inside() {
    local name=$1
    shift
    send "inside-$name" lan --from "$PHONE:${PORT[$name]}" --to "$INNER_RTP:$INNER_PORT" --count 0 \
        --key "${OUT_KEY[$name]}" --ssrc "${SSRC[$name]}" "$@"
}
# repeat NAME: datagrams from standard input, hex, one a line, again and again, from outside.
repeat() {
    cat >"$W/$1.hex"
    INPUT=$W/$1.hex start "outside-$1" inet python3 -c '
import socket, sys, time
lines = [bytes.fromhex(line) for line in sys.stdin]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], int(sys.argv[2])))
while True:
    for line in lines:
        s.sendto(line, (sys.argv[3], int(sys.argv[4])))
        time.sleep(0.02)' "$CLIENT" "${PORT[$1]}" "$DMZ_RTP" $DMZ_PORT
}

for name in well wrong-key wrong-key-inside nothing-sent one-direction moved wrong-ssrc plain \
    wrong-port dtls stun keepalive rtcp-only replay stopped no-listener; do
    call $name
done
call no-host $GONE
call rate $PHONE --rate 32
BACK=(--peer other) # whom the dmz-relay does not know
call peer
BACK=()

# Nobody listens at the receivers: their hosts say so of one only.
for host in inet lan; do
    in_ns $host nft -f - <<END || bail "quiet hosts"
table inet quiet {
    chain input {
        type filter hook input priority 0; policy accept;
        udp dport $((${PORT[no-listener]} + 2)) accept
        udp dport 6000-6999 drop
    }
}
END
done
# To the phones of one call RTCP comes through, and RTP does not.
in_ns fwx nft add rule inet external cut udp sport "${PORT[rtcp-only]}" drop
count_at() { status_of "$1" .sas; }
wait_for 5 equals $((2 * N - 1)) count_at dmz || bail "the SAs did not reach the dmz-relay"

# ---------------------------------------------------------------- faults

for name in "${!PORT[@]}"; do
    case $name in
    one-direction) ;; # the phone is silent
    wrong-key-inside) inside $name --wrong-key ;;
    *) inside "$name" ;;
    esac
done
for name in well wrong-key-inside one-direction no-listener no-host peer; do
    outside $name
done
outside wrong-key --wrong-key
# nothing-sent: nobody outside.
outside wrong-ssrc --ssrc 77777
outside plain --plain
outside wrong-port --to "$DMZ_RTP:$((DMZ_PORT + 1))"
repeat dtls <<<16fefd0000000000000000000401000000
repeat stun <<<000100002112a442000102030405060708090a0b
repeat keepalive <<<"" # empty datagrams, as rtp-prime sends them while its client is silent
outside rtcp-only --rtcp-every 5
outside rate
# Those that begin well.
outside replay --count 100 --rate 200 --save "$W/old.sent"
outside moved --count 50
outside stopped --count 50
for name in replay moved stopped; do
    finish_of outside-$name 10 || bail "sender $name"
done
datagrams "$W/old.sent" | repeat replay
outside moved --from "$CLIENT:$((${PORT[moved]} + 5))" --seq 50

explained() { ctl_json inner explain "$1" | jq -r .cause; }
first_line() { ctl inner explain "$1" | head -n 1; }
# cause NAME CAUSE REGEX: the cause, and the first line that is printed.
cause() {
    local line
    if ! wait_for 10 equals "$2" explained "$1"; then
        not_ok "$1: $(explained "$1"), and not $2"
        ctl inner explain "$1" | sed 's/^/#   /'
        return
    fi
    line=$(first_line "$1")
    like "$1: $line" "$line" "$3"
}
one_way='The other direction flows\.$'

cause well flows "^Packets from $CLIENT:${PORT[well]} flow to ${TO[well]}\.$"
cause wrong-key wrong-key "^Packets of the sender $CLIENT:.* its key is another one .* $one_way"
cause wrong-key-inside wrong-key "^Packets of the sender $PHONE:.* come to the inner-relay.* $one_way"
cause nothing-sent nothing-heard "^Nothing comes from the sender $CLIENT:${PORT[nothing-sent]}.* $one_way"
cause one-direction nothing-heard "^Nothing comes from the sender $PHONE:${PORT[one-direction]}.* $one_way"
cause moved other-source "come from $CLIENT:$((${PORT[moved]} + 5)), where it may not send from: its source is $CLIENT:${PORT[moved]}"
cause wrong-ssrc wrong-ssrc "under an SSRC that is not the SA's .*$(printf 0x%08x "${SSRC[wrong-ssrc]}")"
cause plain plain-rtp "^The sender $CLIENT:${PORT[plain]} sends plain RTP.* $one_way"
cause wrong-port wrong-port "sends to the wrong port of the dmz-relay"
cause dtls dtls "sends DTLS where SRTP is expected.* $one_way"
cause stun stun "sends STUN where SRTP is expected"
cause keepalive nothing-heard "^Nothing comes from the sender $CLIENT:${PORT[keepalive]}.* $one_way"
cause rtcp-only only-rtcp "comes RTCP, but no RTP\. $one_way"
cause rate rate "sends more than its SA may, 32 kbit/s"
cause replay replay "are old ones.* $one_way"
cause stopped stopped "was heard at the dmz-relay, but has sent nothing for .* s\. $one_way"
cause no-listener unreachable "^The inner-relay cannot reach the receiver ${TO[no-listener]}.* $one_way"
cause no-host unreachable "^The inner-relay cannot reach the receiver ${TO[no-host]}"
cause peer refused "refuses this SA: .*is no \[peer\] of this dmz-relay\."

# ---------------------------------------------------------------- the answer as a whole

ctl inner explain wrong-key >"$W/answer"
sed 's/^/#   /' "$W/answer"
is "the second line says what to check first" "$(sed -n '2s/:.*//p' "$W/answer")" "Check first"
is "both directions are there" "$(grep -c '^SA ' "$W/answer")" 2
check "with the last packet: where, when, under which verdict" grep -qE \
    "dmz-relay: 0 packets taken, dropped: auth-fail [0-9]+; the last drop 0\.[0-9] s ago|dmz-relay: 0 packets taken, dropped: auth-fail [0-9]+; the last drop 1\.[0-9] s ago, auth-fail, from $CLIENT:${PORT[wrong-key]}" "$W/answer"
is "asked by an SA of the call, the first line is the same" "$(first_line "$(id_of wrong-key internal)" | sed 's/([0-9]* /(/')" \
    "$(head -n 1 "$W/answer" | sed 's/([0-9]* /(/')"
is "a call that is not there" "$(ctl inner explain nobody@nowhere 2>&1)" \
    'relayctl: there is no call with the Call-ID "nobody@nowhere", and no SA of it; "relayctl call list" and "relayctl sa list" show those there are'

# Both ends of a stream.
ctl inner sa show "$(id_of well external)" >"$W/show"
check "sa show: what the dmz-relay counts" grep -qE '^at the dmz-relay$' "$W/show"
is "sa show: both ends have the stream" "$(grep -c "$(printf '^0x%08x .*signalled' "${SSRC[well]}")" "$W/show")" 2

# ---------------------------------------------------------------- firewalls and tunnel

in_ns fwx nft add rule inet external cut iifname inet0 drop
say "the external firewall swallows everything from outside"
cause well stopped "^The sender $CLIENT:${PORT[well]} was heard at the dmz-relay, but has sent nothing for .* s\. $one_way"
stop dmz
launch dmz
cause nothing-sent listener-silent "^Nothing of anybody reaches the dmz-relay at $DMZ_RTP:$DMZ_PORT: a firewall.* $one_way"
in_ns fwx nft flush chain inet external cut
cut_tunnel
cause well tunnel-down "^The tunnel to the dmz-relay main is down"
heal_tunnel
cause well flows "^Packets from $CLIENT:${PORT[well]} flow"

for name in "${!PID[@]}"; do
    case $name in
    outside-* | inside-*) stop "$name" KILL || : ;;
    esac
done
done_testing
