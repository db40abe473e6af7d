#!/bin/bash
# The same attacks on the pair and on rtpengine, by hand, not in CI:
#
#     apt-get install rtpengine-daemon python3
#     NET_TESTS=$PWD/tests/attack/compare.sh make -C BUILD check-net
#
# Both relays stand in the DMZ of FIG. 4, an attacker beside the Internet's router. For each
# attack: how many packets the phone heard that it should not have (copies and others), how many
# of the phone's went to the attacker, and how many of either side's did not arrive. rtpengine
# runs as its package brings it, with SDES keys passing through, which is what a relay gets that is
# asked to forward SRTP; and once more with "strict source". The table is in docs/security.md.
. "$(dirname "$0")/../net/lib.sh"

company a
evil
rules_anybody a | firewall fwx-a
rules_tunnel a | firewall fwi-a
capture_ends

# ---------------------------------------------------------------- the relays

pair_start() {
    launch_example 4 dmz-relay
    launch_example 4 inner-relay
    tunnels_up inner dmz
}

NG=127.0.0.1:22223
NG_FLAGS=()
rtpengine_call() {
    local places
    places=$(in_ns dmz-a python3 "$(dirname "$0")/ngcall.py" $NG "$1" "$WEB:$2" "${KEY_IN[$1]}" \
        "$CALLEE:$2" "${KEY_OUT[$1]}" ${NG_FLAGS[@]+"${NG_FLAGS[@]}"}) || return 1
    WEB_SENDS_TO[$1]=${places% *}
    PHONE_SENDS_TO[$1]=${places#* }
}
rtpengine_start() {
    in_ns dmz-a ip link set lo up
    for wall in fwx-a fwi-a; do echo accept | firewall $wall; done
    start rtpengine dmz-a rtpengine --config-file=none --table=-1 --interface="${DMZ_OUT[a]}" \
        --listen-ng=$NG --foreground --log-stderr --log-level=4
    wait_for 10 bound dmz-a "${NG#*:}" || bail "rtpengine does not listen: $(cat "$W/rtpengine.log")"
    CALL_OF=rtpengine_call
}

# Their RTP at least: they send no RTCP.
rtp_bound() { [ "$(heard_from | grep -c ' null null')" = 0 ]; }

# ---------------------------------------------------------------- the attacks

attacks() {
    row "$1-copy" any copy --hold 20
    row "$1-copy-10" any copy --hold 20 --addresses 10 --copies 10
    row "$1-replay" any replay
    row "$1-spoil" any spoil --hold 20
    row "$1-spoof" any spoof --hold 20 --copies 10
    row "$1-spoof-first" any forge --as $WEB:$PORT
    row "$1-prime" any prime --hold 20
    row "$1-forge" any forge
    row "$1-guess" any guess
}

# missed NAME web|phone: how many packets the other end sent that did not come, and how many came
# that it had not sent, or had sent less often.
missed() {
    heard "$1" "$2"
    echo "$(comm -23 "$W/$1.wanted" "$W/$1.heard" | wc -l) $(comm -13 "$W/$1.wanted" "$W/$1.heard" | wc -l)"
}
result() {
    local lost_in more_in lost_out more_out
    read -r lost_in more_in <<<"$(missed "$1" phone)"
    read -r lost_out more_out <<<"$(missed "$1" web)"
    printf '# | %-24s | %6d | %8d | %8d | %8d | %8d | %8d\n' "$1" "$(field "$1" .sent)" \
        "$more_in" "$lost_in" "$(field "$1" .received)" "$lost_out" "$more_out"
}
# compare NAME [COMMAND]: the phones send as soon as the command succeeds.
compare() {
    local name
    table
    attacks "$1"
    callers_talk
    [ $# = 1 ] || wait_for 20 "$2" || say "not every caller was heard"
    phones_talk
    all_said
    quiet
    echo "# | attack                   |   sent | heard in | lost in  | stolen   | lost out | heard out"
    for name in "${ROWS[@]}"; do result "$name"; done
    ok "$1: attacked"
}

pair_start
CALL_OF=strict_call
compare fixed
CALL_OF=hinted_call
compare learned rtp_bound
stop inner
stop dmz
rtpengine_start
compare rtpengine
NG_FLAGS=(strict-source)
compare strict-source
stop rtpengine
done_testing
