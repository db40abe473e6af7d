#!/bin/bash
# New keys in the middle of a call, by relayctl: both directions, the sender changes over later than
# the relays, nothing is lost; then the old keys are good no longer. Key lifetime; a restart.
. "$(dirname "$0")/lib.sh"

COUNT=300 SWITCH=200 EVERY=50
REPORTS=$((COUNT / EVERY))
TOTAL=$((COUNT + REPORTS))
OUT_SUITE=AES_CM_128_HMAC_SHA1_80 OUT_NEXT=AEAD_AES_128_GCM # of the client outside
IN_SUITE=AEAD_AES_256_GCM IN_NEXT=AES_256_CM_HMAC_SHA1_80   # of the phone
OUTSIDE='^listener' TUNNEL='^tunnel'

# key_file NAME KEY: prints the path of a file with the key.
key_file() {
    (umask 077 && echo "$2" >"$W/$1.key")
    echo "$W/$1.key"
}
shows() { ctl_json "$1" sa show "$2" | jq -r ".sa.$3"; }
has_come() { at_least "$3" verdict "$1" accepted "$2"; }
no_old_key() { equals null shows inner "$1" old_key && equals null shows dmz "$1" old_key; }

# moves TEXT AT-DMZ AT-INNER COMMAND...: what the command adds to the verdicts of both.
mark() { ctl_json "$1" stats >"$W/$1.mark"; }
moved() {
    ctl_json "$1" stats | jq -r --slurpfile b "$W/$1.mark" --arg p "$2" '
        def sums(s): [s.places[] | select(.place | test($p)) | .verdicts | to_entries[]]
            | group_by(.key) | map({key: .[0].key, value: (map(.value) | add)}) | from_entries;
        sums($b[0]) as $x | sums(.)
        | to_entries | map(select(.value != $x[.key]) | "\(.key)=\(.value - $x[.key])") | join(" ")'
}
moves() {
    local text=$1 dmz=$2 inner=$3
    shift 3
    mark dmz
    mark inner
    "$@"
    wait_for 5 equals "$dmz" moved dmz "$DMZ_PLACE"
    wait_for 5 equals "$inner" moved inner "$INNER_PLACE"
    is "$text: at the dmz-relay" "$(moved dmz "$DMZ_PLACE")" "$dmz"
    is "$text: at the inner-relay" "$(moved inner "$INNER_PLACE")" "$inner"
}
outside() { DMZ_PLACE=$OUTSIDE INNER_PLACE=$TUNNEL; }
inside() { DMZ_PLACE=$TUNNEL INNER_PLACE=$OUTSIDE; }

client() {
    send_now client-more inet --from $CLIENT:5000 --to $DMZ_RTP:$DMZ_PORT --ssrc 100 --rate 0 "$@"
}
phone() {
    send_now phone-more lan --from $PHONE:5000 --to $INNER_RTP:$INNER_PORT --ssrc 200 --rate 0 "$@"
}

pair_up
out_key=$(new_key $OUT_SUITE) out_next=$(new_key $OUT_NEXT)
in_key=$(new_key $IN_SUITE) in_next=$(new_key $IN_NEXT)
reply=$(sa_add inner --side external --source $CLIENT:5000 --suite $OUT_SUITE \
    --key-file "$(key_file out "$out_key")" --ssrc 100 --to $PHONE:6000) || bail "sa add: $reply"
out=$(jq .id <<<"$reply")
reply=$(sa_add inner --side internal --source $PHONE:5000 --suite $IN_SUITE \
    --key-file "$(key_file in "$in_key")" --ssrc 200 --to $CLIENT:6000) || bail "sa add: $reply"
in=$(jq .id <<<"$reply")
wait_for 3 sas_at dmz 2 || bail "the SAs did not reach the dmz-relay"

# ---------------------------------------------------------------- while media runs
receive at-phone lan $PHONE:6000 --ports 2 --count $TOTAL --wait 20
receive at-client inet $CLIENT:6000 --ports 2 --count $TOTAL --wait 20
send client inet --from $CLIENT:5000 --to $DMZ_RTP:$DMZ_PORT --ssrc 100 --seq 65400 \
    --suite $OUT_SUITE --key "$out_key" --next-suite $OUT_NEXT --next-key "$out_next" \
    --switch-at $SWITCH --count $COUNT --rate 100 --rtcp-every $EVERY --save "$W/client.sent"
send phone lan --from $PHONE:5000 --to $INNER_RTP:$INNER_PORT --ssrc 200 --seq 30000 \
    --suite $IN_SUITE --key "$in_key" --next-suite $IN_NEXT --next-key "$in_next" \
    --switch-at $SWITCH --count $COUNT --rate 100 --rtcp-every $EVERY --save "$W/phone.sent"
wait_for 10 has_come dmz "$OUTSIDE" 50 || bail "no media from outside"
wait_for 10 has_come inner "$OUTSIDE" 50 || bail "no media from inside"
is "relayctl says which key it is" "$(ctl inner sa rekey "$out" --suite $OUT_NEXT \
    --key-file "$(key_file out-next "$out_next")" 2>&1)" "rekeyed, generation 2"
is "the same again changes nothing" "$(ctl inner sa rekey "$out" --suite $OUT_NEXT \
    --key-file "$(key_file out-next "$out_next")" 2>&1)" "rekeyed, generation 2"
is "as JSON" "$(ctl_json inner sa rekey "$in" --suite $IN_NEXT \
    --key "inline:$in_next|2^40" | jq -c '[.ok, .generation]')" '[true,2]'
like "the old key is good for some seconds more" "$(shows inner "$out" old_key)" '^[0-4]\.'
wait_for 3 equals 2 shows dmz "$out" generation
like "at the dmz-relay, too" "$(shows dmz "$out" old_key)" '^[0-4]\.|^5(\.0)?$'
is "which has no key of a sender inside" "$(shows dmz "$in" old_key)" null
is "a lifetime is shown" "$(shows inner "$in" 'lifetime > 1099511627000')" true
is "a key without one" "$(shows inner "$out" lifetime)" null
finish_of client 20 || bail "rtpsend: $(cat "$W/client.log")"
finish_of phone 20 || bail "rtpsend: $(cat "$W/phone.log")"
check "from outside: all packets under both keys arrived" finish_of at-phone 20
check "octet for octet" same_datagrams "$W/client.sent" "$W/at-phone.got"
check "from inside: all packets under both keys arrived" finish_of at-client 20
check "octet for octet" same_datagrams "$W/phone.sent" "$W/at-client.got"
is "the dmz-relay dropped nothing" "$(verdicts dmz)" "accepted=$((2 * TOTAL))"
is "the inner-relay dropped nothing" "$(verdicts inner)" "accepted=$((2 * TOTAL))"
is "nothing counts as lost" \
    "$(shows inner "$out" 'streams[0].lost') $(shows inner "$in" 'streams[0].lost')" "0 0"

# ---------------------------------------------------------------- the old keys are over
check "the old keys end" wait_for 10 no_old_key "$out"
check "both" wait_for 10 no_old_key "$in"
outside
moves "the client's old key" auth-fail=20 "" \
    client --suite $OUT_SUITE --key "$out_key" --roc 1 --seq 5000 --count 20
inside
moves "the phone's old key" "" auth-fail=20 \
    phone --suite $IN_SUITE --key "$in_key" --seq 35000 --count 20
outside
moves "the client's new key" accepted=20 accepted=20 \
    client --suite $OUT_NEXT --key "$out_next" --roc 1 --seq 5000 --count 20
inside
moves "the phone's new key" accepted=20 accepted=20 \
    phone --suite $IN_NEXT --key "$in_next" --seq 35000 --count 20

# ---------------------------------------------------------------- a lifetime; ROC 0
short=$(new_key $OUT_SUITE) last=$(new_key $OUT_SUITE)
ctl inner sa rekey "$out" --suite $OUT_SUITE --key "$short" --lifetime 10 >/dev/null ||
    bail "sa rekey --lifetime"
wait_for 3 equals 3 shows dmz "$out" generation
is "a lifetime goes to the dmz-relay" "$(shows dmz "$out" lifetime)" 10
outside
moves "a key that may protect 10 packets" "accepted=10 key-expired=5" accepted=10 \
    client --suite $OUT_SUITE --key "$short" --seq 5100 --count 15
ctl inner sa rekey "$out" --suite $OUT_SUITE --key "$last" >/dev/null || bail "sa rekey"
wait_for 3 equals 4 shows dmz "$out" generation
moves "the next one" accepted=15 accepted=15 \
    client --suite $OUT_SUITE --key "$last" --seq 5200 --count 15

# ---------------------------------------------------------------- a restart
newer() { [ "$(stat -c %y "$RUN/inner.state")" != "$old" ]; }
for _ in 1 2; do # the first may have been begun before
    old=$(stat -c %y "$RUN/inner.state")
    wait_for 5 newer || bail "the state file is not written again"
done
stop inner KILL || :
launch inner
wait_for 10 synced || bail "the tunnel did not come up"
is "the state file has the new key" "$(shows inner "$out" generation)" 4
moves "and it goes on" accepted=20 accepted=20 \
    client --suite $OUT_SUITE --key "$last" --seq 5300 --count 20

# ---------------------------------------------------------------- what is refused
like "an SA that is not there" "$(ctl inner sa rekey 4711 --suite $OUT_SUITE --key "$last" 2>&1)" \
    'refused: id: there is no SA 4711'
like "a key of the wrong length" "$(ctl inner sa rekey "$out" --suite $IN_SUITE --key "$last" 2>&1)" \
    'key: has 30 octets; AEAD_AES_256_GCM takes 44'
like "at the dmz-relay" "$(ctl dmz sa rekey "$out" --suite $OUT_SUITE --key "$last" 2>&1)" \
    'refused: SAs are added, changed and deleted at the inner-relay'
done_testing
