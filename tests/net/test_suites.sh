#!/bin/bash
# All suites, SRTP and SRTCP, with and without rtcp-mux, over IPv4 and IPv6 and from one to the
# other, in both directions.
. "$(dirname "$0")/lib.sh"

PACKETS=30
EVERY=10 # one SRTCP packet after so many
# test_libsrtp2.sh runs all of it once more with these.
DMZ_EXTRA=$'[srtp]\nsrtp-engine = '${ENGINE:-auto}
INNER_EXTRA=$DMZ_EXTRA$'\ndmz-keys = '${KEYS:-verify-only}

pair_up

host() { case $1 in *:*) echo "[$1]" ;; *) echo "$1" ;; esac; }

port=10000 ssrc=1000 cases=()
# begin_case SIDE SUITE MUX OUTER-FAMILY INNER-FAMILY: an SA and its receiver.
begin_case() {
    local side=$1 suite=$2 mux=$3 outer=$4 inner=$5 name key reply client phone relay_in relay_out
    local from_space to_space from to send_to receiver=() add=() sender=()
    port=$((port + 4)) ssrc=$((ssrc + 1))
    name=c$ssrc
    key=$(new_key "$suite")
    client=$CLIENT phone=$PHONE relay_in=$DMZ_RTP relay_out=$INNER_RTP
    [ "$outer" = 4 ] || client=$CLIENT6 relay_in=$DMZ_RTP6
    [ "$inner" = 4 ] || phone=$PHONE6 relay_out=$INNER_RTP6
    if [ "$side" = external ]; then
        from_space=inet to_space=lan from=$client to=$phone
        send_to=$(host "$relay_in"):$DMZ_PORT leaves=$(host "$relay_out"):$INNER_PORT
    else
        from_space=lan to_space=inet from=$phone to=$client
        send_to=$(host "$relay_out"):$INNER_PORT leaves=$(host "$relay_in"):$DMZ_PORT
    fi
    [ "$mux" = no ] || add=(--mux --to-mux) sender=(--mux)
    [ "$mux" = yes ] && receiver=(--ports 1) || receiver=(--ports 2)
    reply=$(sa_add inner --side "$side" --source "$(host $from):$port" --suite "$suite" --key "$key" \
        --ssrc $ssrc --to "$(host $to):$((port + 2))" "${add[@]}") || bail "sa add: $reply"
    [ "$(jq -r .send_to <<<"$reply")" = "$send_to" ] || bail "send_to: $reply"
    receive $name $to_space "$(host $to):$((port + 2))" "${receiver[@]}" --suite "$suite" \
        --key "$key" --count $((PACKETS + PACKETS / EVERY)) --wait 15
    cases+=("$name|$from_space|$(host $from):$port|$send_to|${sender[*]-}|$suite|$key|$ssrc|$leaves|$side $suite IPv$outer outside, IPv$inner inside, mux $mux")
}

run_cases() {
    local c name space from to mux suite key ssrc leaves text
    wait_for 3 sas_at dmz "$(status_of inner .sas)" || bail "the SAs did not reach the dmz-relay"
    for c in "${cases[@]}"; do
        IFS='|' read -r name space from to mux suite key ssrc leaves text <<<"$c"
        # shellcheck disable=SC2086
        send "s$name" "$space" --from "$from" --to "$to" $mux --suite "$suite" --key "$key" \
            --ssrc "$ssrc" --count $PACKETS --rate 200 --rtcp-every $EVERY --save "$W/$name.sent"
    done
    for c in "${cases[@]}"; do
        IFS='|' read -r name space from to mux suite key ssrc leaves text <<<"$c"
        finish_of "s$name" 20 || bail "rtpsend: $(cat "$W/s$name.log")"
        finish_of "$name" 20
        check "$text" case_good "$name" "$leaves" "$mux"
    done
    cases=()
}

case_good() {
    local sources
    field "$1" . &&
        [ "$(field "$1" '"\(.rtp) \(.rtcp) \(.lost) \(.auth_failures)"')" = \
            "$PACKETS $((PACKETS / EVERY)) 0 0" ] || return 1
    # RTP leaves from the RTP port; RTCP from the next one, or with mux from the same.
    sources=$(field "$1" '.sources | sort | join(" ")')
    if [ -n "$3" ]; then [ "$sources" = "$2" ]; else
        [ "$sources" = "$2 ${2%:*}:$((${2##*:} + 1))" ]
    fi || return 1
    same_datagrams "$W/$1.sent" "$W/$1.got"
}

for families in "4 4" "6 6" "6 4" "4 6"; do
    read -r outer inner <<<"$families"
    for mux in no yes; do
        for suite in $SUITES; do
            begin_case external "$suite" $mux "$outer" "$inner"
            begin_case internal "$suite" $mux "$outer" "$inner"
        done
        run_cases
    done
done

# RTCP where the SA says that it comes from, and goes to, ports of their own.
key=$(new_key AES_CM_128_HMAC_SHA1_80)
reply=$(sa_add inner --side external --source $CLIENT:20000 --source-rtcp $CLIENT:20010 \
    --suite AES_CM_128_HMAC_SHA1_80 --key "$key" --ssrc 77 --to $PHONE:20000 \
    --to-rtcp $PHONE:20007 --listener main --to-listener main) || bail "sa add: $reply"
wait_for 3 sas_at dmz "$(status_of inner .sas)"
receive rtp lan $PHONE:20000 --count 10
receive rtcp lan $PHONE:20007 --count 2
send_now sender inet --from $CLIENT:20000 --rtcp-from $CLIENT:20010 --to $DMZ_RTP:$DMZ_PORT \
    --key "$key" --ssrc 77 --count 10 --rtcp-every 5
check "RTP to the port of the SA" finish_of rtp 15
check "RTCP from and to ports of its own" finish_of rtcp 15
is "of the same sender" "$(field rtp .rtp) $(field rtcp .rtcp)" "10 2"

is "the dmz-relay dropped nothing" "$(verdicts dmz | tr ' ' '\n' | grep -vc '^accepted=')" 0
is "the inner-relay dropped nothing" "$(verdicts inner | tr ' ' '\n' | grep -vc '^accepted=')" 0
done_testing
