#!/bin/bash
# [daemon] workers: relays with three and two media threads, then one of them with one only, then both. Each
# thread has a connection; no packet is lost or taken twice, and received is the sum of all verdicts.
NET_WORKERS=3/2
. "$(dirname "$0")/lib.sh"

N=60 # packets of each sender
SENDERS=6
SUITE=AES_CM_128_HMAC_SHA1_80
PHONE=${LAN[a]}

company a
rules_anybody a | firewall fwx-a
rules_tunnel a | firewall fwi-a
launch_example 4 dmz-relay
launch_example 4 inner-relay
tunnels_up inner dmz
key=$(new_key $SUITE)

connections() { in_ns dmz-a ss -Htn state established "sport = :$TUNNEL" | wc -l; }
threads() { in_ns "$2" sh -c "ls /proc/${PID[$1]}/task" | wc -l; }
member() { ctl_json "$1" stats | jq -r ".counters.$2"; }

for ((i = 0; i < SENDERS; i++)); do
    for way in "external $WEB:$((6000 + 2 * i)) $((1000 + i)) $PHONE:$((7000 + 2 * i))" \
        "internal $PHONE:$((8000 + 2 * i)) $((2000 + i)) $WEB:$((9000 + 2 * i))"; do
        read -r side source ssrc to <<<"$way"
        sa_add inner --side "$side" --source "$source" --source-policy strict --suite $SUITE --key "$key" \
            --ssrc "$ssrc" --to "$to" >/dev/null || bail "sa add"
    done
done
wait_for 3 sas_at dmz $((2 * SENDERS)) || bail "the SAs did not reach the dmz-relay"

# all FIRST [ARGUMENT...]: each sender's N packets from this number on, all senders at once.
all() {
    local i first=$1
    shift
    for ((i = 0; i < SENDERS; i++)); do
        send "in-$i" inet --from "$WEB:$((6000 + 2 * i))" --to "${DMZ_OUT[a]}:$MEDIA" --key "$key" --rate 300 \
            --count $N --ssrc $((1000 + i)) --seq "$first" "$@" --save "$W/in-$i.sent"
        send "out-$i" lan-a --from "$PHONE:$((8000 + 2 * i))" --to "${INNER[a]}:$MEDIA" --key "$key" --rate 300 \
            --count $N --ssrc $((2000 + i)) --seq "$first" "$@"
    done
    for ((i = 0; i < SENDERS; i++)); do
        finish_of "in-$i" 20 && finish_of "out-$i" 20 || return
    done
}
# As they were sent, once more.
again() {
    local i
    for ((i = 0; i < SENDERS; i++)); do
        send "again-$i" inet --from "$WEB:$((6000 + 2 * i))" --to "${DMZ_OUT[a]}:$MEDIA" --key "$key" --rate 0 \
            --resend "$W/in-$i.sent"
    done
    for ((i = 0; i < SENDERS; i++)); do finish_of "again-$i" 20 || return; done
}
rtp=$((SENDERS * N)) rtcp=$((SENDERS * 2))
with_rtcp="dmz/rtp/accepted=$rtp dmz/rtcp/accepted=$rtcp inner/rtp/accepted=$rtp inner/rtcp/accepted=$rtcp"
with_rtcp+=" dmz/tunnel/accepted=$((rtp + rtcp)) inner/tunnel/accepted=$((rtp + rtcp))"
through="dmz/rtp/accepted=$rtp inner/rtp/accepted=$rtp dmz/tunnel/accepted=$rtp inner/tunnel/accepted=$rtp"

check "3 and 2 threads: three connections beside the one of control" wait_for 5 equals 4 connections
raw() { status_of inner ".tunnels[0].raw.$1"; }
[ "${NET_CARRIER-}" != raw ] || check "all three are taken over" wait_for 5 equals 3 raw connections
check "the dmz-relay has four threads" test "$(threads dmz dmz-a)" -ge 4
# Threads share their ports with each other, and with nobody else: not with a second daemon of the same user.
sed 's|inner-relay\.sock|second.sock|' "$W/hosts/inner-a/etc/media-relay/inner-relay.ini" \
    >"$W/hosts/inner-a/etc/media-relay/second.ini"
start second inner-a "$lib/host" "$W/hosts/inner-a" setpriv "--reuid=$NET_USER" "--regid=$NET_GROUP" --clear-groups \
    --no-new-privs --inh-caps=-all --bounding-set=-all -- "${PROGRAM[inner]}" -f -c /etc/media-relay/second.ini
check "a second daemon with the same ports does not start" wait_for 10 gone "${PID[second]}"
like "and says which port is taken" "$(cat "$W/second.log")" ":$MEDIA: Address already in use"
receive got lan-a "$PHONE:7000" --ports 2 --key "$key" --count $((N + 2)) --wait 20
moves "all packets, both ways" "$with_rtcp" -- all 1 --rtcp-every $((N / 2))
check "they arrive" finish_of got 10
check "in their order, octet for octet" same_datagrams "$W/in-0.sent" "$W/got.got"
moves "none of them is taken twice" "dmz/rtp/replay=$rtp dmz/rtcp/replay=$rtcp" -- again
like "relayctl stats has lock_contended" "$(member dmz lock_contended)" '^[0-9]+$'
check "few packets met a lock that was held" test "$(member dmz lock_contended)" -lt $((rtp / 5))
check "a reload changes nothing of it" ctl dmz reload
moves "and packets go on" "$through" -- all 300
moves "those that no segment takes, too (NET_CARRIER=raw)" "$through" -- all 400 --size 1400
[ "${NET_CARRIER-}" != raw ] || is "as segments none was left out" "$(raw too_long)" 0

stop dmz TERM || :
NET_WORKERS=1/2
launch_example 4 dmz-relay
tunnels_up inner dmz
wait_for 5 sas_at dmz $((2 * SENDERS)) || bail "the SAs did not come back"
check "1 and 2 threads: two connections beside" wait_for 5 equals 3 connections
moves "the dmz-relay has one thread: all packets" "$through" -- all 600
is "which counts no locks" "$(member dmz lock_contended)" null
moves "what it took before is a replay" "dmz/rtp/replay=$rtp" -- again

stop inner KILL || :
NET_WORKERS=1/1
launch_example 4 inner-relay
tunnels_up inner dmz
wait_for 5 sas_at dmz $((2 * SENDERS)) || bail "the SAs did not come back"
check "one thread each: $(connections_of 1)" wait_for 5 equals "$(connections_of 1)" connections
moves "all packets" "$through" -- all 900
done_testing
