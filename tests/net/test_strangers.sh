#!/bin/bash
# What must not get in: wrong keys, wrong sources, forged and replayed packets, and junk from a
# fourth host. Nothing of it arrives, nothing is answered, each packet is under the verdict that
# fits, and none of it is logged above debug.
. "$(dirname "$0")/lib.sh"

N=20
FIRST=5
SUITE=AES_CM_128_HMAC_SHA1_80
LOG_LEVEL=info

pair_up
capture inet fwx inet0 udp or icmp
capture lan lan eth0 udp or icmp

key=$(new_key $SUITE)
out_key=$(new_key $SUITE)
other_key=$(new_key $SUITE)
sa_add inner --side external --source $CLIENT:5004 --suite $SUITE --key "$key" --ssrc 1000 \
    --to $PHONE:6000 >/dev/null || bail "sa add"
sa_add inner --side internal --source $PHONE:5004 --suite $SUITE --key "$out_key" --ssrc 2000 \
    --to $CLIENT:6000 >/dev/null || bail "sa add"
wait_for 3 sas_at dmz 2 || bail "the SAs did not reach the dmz-relay"

# Both receivers listen all the time: what they have at the end is all that arrived.
receive phone lan $PHONE:6000 --ports 2 --wait 120 --timeout 120
receive client inet $CLIENT:6000 --ports 2 --wait 120 --timeout 120

outside=(--from $CLIENT:5004 --to $DMZ_RTP:$DMZ_PORT --ssrc 1000)
inside=(--from $PHONE:5004 --to $INNER_RTP:$INNER_PORT --ssrc 2000)

received() { ctl_json "$1" stats | jq --arg p "$2" '[.places[] | select(.place | test($p)) | .received] | add'; }
# drops TEXT DAEMON PLACE NUMBER VERDICTS SPACE RTPSEND-ARGUMENT...: the packets of the rtpsend move
# the counters of that place by that number, and of the verdicts just these.
drops() {
    local text=$1 daemon=$2 place=$3 number=$4 want=$5 space=$6 before got
    shift 6
    before=$(received "$daemon" "$place")
    ctl_json "$daemon" stats >"$W/before.json"
    send_now sender "$space" --rate 0 "$@"
    [ "$number" != all ] || number=$(field sender '.rtp + .rtcp + .other')
    wait_for 3 equals $((before + number)) received "$daemon" "$place"
    ctl_json "$daemon" stats >"$W/after.json"
    got=$(jq -rn --slurpfile b "$W/before.json" --slurpfile a "$W/after.json" --arg p "$place" '
        def sums(s): [s.places[] | select(.place | test($p)) | .verdicts | to_entries[]]
            | group_by(.key) | map({key: .[0].key, value: (map(.value) | add)}) | from_entries;
        sums($b[0]) as $x | sums($a[0])
        | to_entries | map(select(.value != $x[.key]) | "\(.key)=\(.value - $x[.key])")
        | sort | join(" ")')
    if [ "$want" = any ]; then
        is "$text: all $number counted" "$(($(received "$daemon" "$place") - before))" "$number"
        is "$text: none accepted" "$(grep -c 'accepted=' <<<"$got")" 0
        say "$text: $got"
    else
        is "$text: $got" "$got" "${want//N/$number}"
    fi
}
lines() { cat "$W/dmz.log" "$W/inner.log" | wc -l; }
logged=$(lines)
media='^listener'

drops "before anything good, a wrong key" dmz "$media" $N auth-fail=N inet "${outside[@]}" \
    --key "$other_key" --count $N
drops "a spoilt tag" dmz "$media" $N auth-fail=N inet "${outside[@]}" --key "$key" --forge --count $N
drops "SRTCP with a wrong key" dmz "$media" $((N + N)) auth-fail=N inet "${outside[@]}" \
    --key "$other_key" --count $N --rtcp-every 1
# RTCP is bound by its address once RTP is: the daemon may read the RTCP socket first.
drops "the sender's first packets" dmz "$media" $FIRST accepted=N inet "${outside[@]}" --key "$key" \
    --count $FIRST --save "$W/first.sent"
drops "the sender itself" dmz "$media" $((N + 2)) accepted=N inet "${outside[@]}" --key "$key" \
    --seq 100 --count $N --rtcp-every 10 --save "$W/good.sent"
drops "each of its packets again" dmz "$media" $((N + 2)) replay=N inet "${outside[@]}" \
    --resend "$W/good.sent"
drops "its packets from another port" dmz "$media" $((N + 2)) replay=N inet \
    --from $CLIENT:5010 --to $DMZ_RTP:$DMZ_PORT --resend "$W/good.sent"
drops "its packets from a fourth host" dmz "$media" $((N + 2)) replay=N inet \
    --from $STRANGER:5004 --to $DMZ_RTP:$DMZ_PORT --resend "$W/good.sent"
# Who has the key is the sender. It has not moved: that takes eight packets.
drops "fresh packets with the right key from a fourth host" dmz "$media" 7 accepted=N inet \
    --from $STRANGER:5004 --to $DMZ_RTP:$DMZ_PORT --ssrc 1000 --key "$key" --seq 500 --count 7 \
    --save "$W/moving.sent"
drops "packets of no SSRC that is known from a fourth host" dmz "$media" $N no-sa=N inet \
    --from $STRANGER:5004 --to $DMZ_RTP:$DMZ_PORT --ssrc 1002 --key "$key" --count $N
drops "packets with the right key and another SSRC" dmz "$media" $N ssrc-mismatch=N inet \
    --from $CLIENT:5004 --to $DMZ_RTP:$DMZ_PORT --ssrc 1001 --key "$key" --count $N
drops "RTP and RTCP without protection" dmz "$media" $((N + 2)) "plain-rtcp=2 plain-rtp=$N" inet \
    "${outside[@]}" --plain --seq 600 --count $N --rtcp-every 10
drops "RTCP on the RTP port without rtcp-mux" dmz "$media" $((2 * N)) "accepted=$N wrong-port=$N" inet \
    "${outside[@]}" --mux --key "$key" --seq 700 \
    --count $N --rtcp-every 1 --save "$W/more.sent"
drops "a spoilt tag in the middle of the call" dmz "$media" $N auth-fail=N inet "${outside[@]}" \
    --key "$key" --forge --seq 800 --count $N
drops "junk from a fourth host" dmz "$media" all any inet --from $STRANGER:5004 \
    --to $DMZ_RTP:$DMZ_PORT --junk
drops "junk over IPv6" dmz "$media" all any inet --from "[$STRANGER6]:5004" \
    --to "[$DMZ_RTP6]:$DMZ_PORT" --junk
drops "junk from the address and port of the sender" dmz "$media" all any inet \
    --from $CLIENT:5004 --to $DMZ_RTP:$DMZ_PORT --junk

drops "inside: a wrong key" inner "$media" $N auth-fail=N lan "${inside[@]}" --key "$other_key" --count $N
drops "inside: the sender's first packets" inner "$media" $FIRST accepted=N lan "${inside[@]}" \
    --key "$out_key" --count $FIRST --save "$W/first-out.sent"
drops "inside: the sender itself" inner "$media" $((N + 2)) accepted=N lan "${inside[@]}" \
    --key "$out_key" --seq 100 --count $N --rtcp-every 10 --save "$W/good-out.sent"
drops "inside: each of its packets again" inner "$media" $((N + 2)) replay=N lan "${inside[@]}" \
    --resend "$W/good-out.sent"
drops "inside: its packets from another host" inner "$media" $((N + 2)) replay=N lan \
    --from 10.9.1.21:5004 --to $INNER_RTP:$INNER_PORT --resend "$W/good-out.sent"
drops "inside: junk" inner "$media" all any lan --from 10.9.1.21:5004 \
    --to $INNER_RTP:$INNER_PORT --junk

is "nothing of all this was logged at level info" "$(lines)" "$logged"
say "the same again with the logs at debug: no key may appear"
ctl dmz debug debug >/dev/null && ctl inner debug debug >/dev/null || bail "relayctl debug"
loud() { cat "$W/dmz.log" "$W/inner.log" | grep -cE '\[(info|warning|error)\]'; }
logged=$(loud)
drops "at debug: junk" dmz "$media" all any inet --from $STRANGER:5004 --to $DMZ_RTP:$DMZ_PORT --junk
drops "at debug: a wrong key" dmz "$media" $N auth-fail=N inet "${outside[@]}" --key "$other_key" \
    --seq 900 --count $N
is "the fourth host causes no line above debug" "$(loud)" "$logged"

# The end: one good packet each way shows that whatever was to arrive has arrived.
send_now last inet "${outside[@]}" --key "$key" --seq 2000 --count 1 --save "$W/last.sent"
send_now last-out lan "${inside[@]}" --key "$out_key" --seq 2000 --count 1 --save "$W/last-out.sent"
accepted_at() { verdict "$1" accepted tunnel; }
wait_for 3 equals $((FIRST + N + 2 + 7 + N + 1)) accepted_at inner
wait_for 3 equals $((FIRST + N + 2 + 1)) accepted_at dmz
stop phone TERM
stop client TERM
# arrived NAME FILE...: what NAME received is what these files hold, but for RTCP on the RTP port.
arrived() {
    local name=$1 file
    shift
    for file; do
        if [ "$file" = more.sent ]; then datagrams "$W/$file" | grep -v '^..c[89]'; else
            datagrams "$W/$file"
        fi
    done | sort >"$W/$name.wanted"
    datagrams "$W/$name.got" | diff "$W/$name.wanted" - | head -n 5
    datagrams "$W/$name.got" | cmp -s "$W/$name.wanted" -
}
check "the phone has the sender's packets and no other" arrived phone first.sent good.sent moving.sent more.sent last.sent
check "the client has the sender's packets and no other" arrived client first-out.sent good-out.sent last-out.sent

end_capture inet
end_capture lan
is "not one packet went to the fourth host" "$(packets inet "dst host $STRANGER or dst host $STRANGER6")" 0
is "nor to the other host inside" "$(packets lan 'dst host 10.9.1.21')" 0
is "nor to the sender outside" "$(packets inet "dst host $CLIENT and not dst portrange 6000-6001")" 0
is "nor to the sender inside" "$(packets lan "dst host $PHONE and not dst portrange 6000-6001")" 0
check "though they sent enough" test "$(packets inet "src host $STRANGER or src host $STRANGER6")" -gt 500
done_testing
