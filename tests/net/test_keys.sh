#!/bin/bash
# What the dmz-relay is given of the keys (dmz-keys), suite by suite: where bad packets are dropped,
# counted one by one, and that only the sender's own arrive; and pairs that cannot work together.
. "$(dirname "$0")/lib.sh"

N=20
LOG_LEVEL=info
MEDIA='^listener'
TUNNEL='^tunnel'

# with KEYS [ENGINE-OF-DMZ [ENGINE-OF-INNER]]: the pair anew with these settings.
with() {
    local name
    for name in inner dmz; do
        stop $name TERM || bail "$name did not stop"
    done
    DMZ_EXTRA=$'[srtp]\nsrtp-engine = '${2:-auto}
    INNER_EXTRA=$'[srtp]\ndmz-keys = '$1$'\nsrtp-engine = '${3:-auto}
    INNER_EXTRA+=$'\n[learning]\nsource-policy = strict\nssrc-policy = strict' # keyless needs it
    dmz_config
    inner_config
    launch dmz
    launch inner
}

mark() {
    ctl_json dmz stats >"$W/dmz.mark"
    ctl_json inner stats >"$W/inner.mark"
}
# moved DAEMON PLACE: what has come to the verdicts there since then.
moved() {
    ctl_json "$1" stats | jq -r --slurpfile b "$W/$1.mark" --arg p "$2" '
        def sums(s): [s.places[] | select(.place | test($p)) | .verdicts | to_entries[]]
            | group_by(.key) | map({key: .[0].key, value: (map(.value) | add)}) | from_entries;
        sums($b[0]) as $x | sums(.)
        | to_entries | map(select(.value != $x[.key]) | "\(.key)=\(.value - $x[.key])") | join(" ")'
}
# counts TEXT AT-DMZ AT-INNER RTPSEND-ARGUMENT...: packets from outside, and the verdicts of both.
# When all have their verdict at the dmz-relay, those that it dropped cannot come any more.
counts() {
    local text=$1 dmz=$2 inner=$3
    shift 3
    mark
    send_now sender inet --rate 0 --to $DMZ_RTP:$DMZ_PORT "$@"
    wait_for 5 equals "$dmz" moved dmz "$MEDIA"
    wait_for 5 equals "$inner" moved inner "$TUNNEL"
    is "$text: at the dmz-relay" "$(moved dmz "$MEDIA")" "$dmz"
    is "$text: at the inner-relay" "$(moved inner "$TUNNEL")" "$inner"
}

# What needs a key to be seen is dropped at the dmz-relay, or with keyless at the inner-relay.
first() { [ "$KEYS" = keyless ] && echo "accepted=$2" || echo "$1=$2"; }
second() { [ "$KEYS" = keyless ] && echo "$1=$2" || echo ""; }

port=5000 ssrc=1000
# run_suite SUITE SHOWN: a call; SHOWN is what the dmz-relay says that it has of the key.
run_suite() {
    local suite=$1 key in_key id reply text="$KEYS, $1"
    port=$((port + 10)) ssrc=$((ssrc + 10))
    key=$(new_key "$suite") in_key=$(new_key "$suite")
    reply=$(sa_add inner --side external --source $CLIENT:$port --suite "$suite" --key "$key" \
        --ssrc $ssrc --to $PHONE:$((port + 6))) || bail "sa add: $reply"
    id=$(jq .id <<<"$reply")
    sa_add inner --side internal --source $PHONE:$port --suite "$suite" --key "$in_key" \
        --ssrc $((ssrc + 1)) --to $CLIENT:$((port + 6)) >/dev/null || bail "sa add"
    wait_for 3 sas_at dmz "$(status_of inner .sas)" || bail "the SAs did not reach the dmz-relay"
    is "$text: what the dmz-relay has" "$(ctl_json dmz sa show "$id" | jq -r .sa.key)" "$2"
    receive phone lan $PHONE:$((port + 6)) --ports 2 --wait 60 --timeout 60
    receive client inet $CLIENT:$((port + 6)) --ports 2 --wait 60 --timeout 60 --suite "$suite" --key "$in_key"
    local from=(--from $CLIENT:$port --ssrc $ssrc --suite "$suite")
    counts "$text, a wrong key first" "$(first auth-fail $((2 * N)))" \
        "$(second auth-fail $((2 * N)))" \
        "${from[@]}" --wrong-key --key "$key" --count $N --rtcp-every 1
    counts "$text, the sender" "accepted=$((N + 2))" "accepted=$((N + 2))" \
        "${from[@]}" --key "$key" --count $N --rtcp-every 10 --save "$W/good.sent"
    counts "$text, replayed" "$(first replay $((N + 2)))" "$(second replay $((N + 2)))" \
        "${from[@]}" --resend "$W/good.sent"
    counts "$text, forged" "$(first auth-fail $N)" "$(second auth-fail $N)" \
        "${from[@]}" --key "$key" --forge --seq 500 --count $N
    counts "$text, another SSRC" "ssrc-mismatch=$N" "" \
        --from $CLIENT:$port --ssrc $((ssrc + 5)) --suite "$suite" --key "$key" --count $N
    counts "$text, another source" "no-sa=$N" "" \
        --from $CLIENT:$((port + 4)) --ssrc $ssrc --suite "$suite" --key "$key" --seq 700 --count $N
    counts "$text, no room for a tag" "malformed=$N" "" \
        "${from[@]}" --plain --size 0 --seq 800 --count $N
    counts "$text, the sender again" "accepted=$N" "accepted=$N" \
        "${from[@]}" --key "$key" --seq 900 --count $N --save "$W/more.sent"
    # The way back is the same in all of them: the inner-relay verifies.
    mark
    send_now back lan --from $PHONE:$port --to $INNER_RTP:$INNER_PORT --ssrc $((ssrc + 1)) \
        --suite "$suite" --key "$in_key" --count $N --rtcp-every 10 --rate 200
    is "$text: the way back" "$(wait_for 5 equals "accepted=$((N + 2))" moved dmz "$TUNNEL"
        moved dmz "$TUNNEL")" "accepted=$((N + 2))"
    stop phone TERM
    stop client TERM
    cat "$W/good.sent" "$W/more.sent" >"$W/wanted.sent"
    check "$text: the phone has the sender's packets, and no other" \
        same_datagrams "$W/wanted.sent" "$W/phone.got"
    is "$text: the client has all that the phone sent" \
        "$(field client '"\(.rtp) \(.rtcp) \(.auth_failures)"')" "$N 2 0"
}

pair_up
for KEYS in verify-only full keyless; do
    with $KEYS
    wait_for 10 tunnel_up inner || bail "$KEYS: the tunnel did not come up"
    is "$KEYS: status says so" "$(status_of inner .dmz_keys)" $KEYS
    is "$KEYS: status names the engines" \
        "$(status_of inner '.srtp_engine + " " + .tunnels[0].srtp_engine') $(status_of dmz '.srtp_engine + " " + .tunnels[0].srtp_engine')" \
        "auto auto auto auto"
    case $KEYS in
    verify-only) run_suite AES_CM_128_HMAC_SHA1_80 verify-only && run_suite AEAD_AES_128_GCM full ;;
    full) run_suite AES_CM_128_HMAC_SHA1_80 full && run_suite AEAD_AES_128_GCM full ;;
    keyless)
        run_suite AES_CM_128_HMAC_SHA1_80 none && run_suite AEAD_AES_128_GCM none
        reply=$(sa_add inner --side external --source $CLIENT:$port --suite AEAD_AES_128_GCM \
            --key "$(new_key AEAD_AES_128_GCM)" --ssrc 7 --to $PHONE:7000)
        like "keyless: a source has one SA" "$reply" "dmz-keys = keyless"
        ;;
    esac
done

# Pairs that cannot work: the inner-relay says why, the dmz-relay is told, and no storm follows.
with verify-only libsrtp2
wait_for 5 grep -q 'look there before you give it' "$W/inner.log" || :
like "verify-only, libsrtp2 at the dmz-relay: the inner-relay's status" \
    "$(status_of inner '.tunnels[0].last_error')" 'dmz-keys = verify-only needs .*look there before you give it full keys'
wait_for 5 grep -q 'said BYE: dmz-keys' "$W/dmz.log" || :
like "the dmz-relay's status" "$(status_of dmz '.tunnels[0].last_error')" 'dmz-keys = verify-only needs'
like "the inner-relay's log" "$(grep 'dmz main' "$W/inner.log" | tail -n 1)" 'dmz-keys = verify-only'
# Full jitter from 200 ms on: of six waits in a row one is longer, or the back-off does not work.
waits() { grep -o 'dmz-keys.*next attempt in [0-9]* ms' "$W/inner.log" | grep -o '[0-9]* ms$'; }
six_waits() { [ "$(waits | wc -l)" -ge 6 ]; }
check "it tries again" wait_for 30 six_waits
check "and waits longer each time" test "$(waits | sort -n | tail -n 1 | cut -d ' ' -f 1)" -gt 200

sed 's/^srtp-engine = auto$/srtp-engine = libsrtp2/' "$W/inner.ini" >"$W/wrong.ini"
like "verify-only with libsrtp2 at the inner-relay is refused before it starts" \
    "$(as_user "${PROGRAM[inner]}" -t -c "$W/wrong.ini" 2>&1)" \
    'srtp-engine: libsrtp2 cannot .*dmz-keys = full, would be right'

with full libsrtp2 libsrtp2
wait_for 10 tunnel_up inner || bail "libsrtp2 with full keys: the tunnel did not come up"
KEYS="full"
run_suite AES_CM_128_HMAC_SHA1_80 full
run_suite AEAD_AES_128_GCM full
done_testing
