#!/bin/bash
# Who is no part of a call: copies the sender's packets faster than the sender (he is the router, and
# holds them back), repeats them, spoils them, makes up others, speaks RTP' without being a peer. No
# packet of his is heard, none is sent to him, and the return path stays with the sender. Each row is
# a call and an attacker of it; all rows of a table go on at once.
. "$(dirname "$0")/lib.sh"

M=104 # packets of each sender, RTP and RTCP
SENDING=(--rate 100 --count 100 --rtcp-every 25)

company a
evil
rules_anybody a | firewall fwx-a
rules_tunnel a | firewall fwi-a
launch_example 4 dmz-relay
launch_example 4 inner-relay
tunnels_up inner dmz
capture_ends
capture evil evil eth0 dst net $EVIL_NET.0/24 or dst net $FLOOD_NET.0.0/16

# ---------------------------------------------------------------- tables

# The SAs of a call whose sources are fixed.
strict_call() {
    sa_add inner --side external --source-policy strict --source "$WEB:$2" --suite $ATTACK_SUITE --key "${KEY_IN[$1]}" \
        --ssrc "$(ssrc "$2")" --to "$CALLEE:$2" >/dev/null &&
        sa_add inner --side internal --source-policy strict --source "$CALLEE:$2" --suite $ATTACK_SUITE --key "${KEY_OUT[$1]}" \
            --ssrc "$2" --to "$WEB:$2" >/dev/null
}

# words [PLACE-REGEX]: what places made of packets since the table began: a line "word number" each.
words() {
    moved | tr ' ' '\n' | sed 's,\(.*\)/\([^/=]*\)=,\1 \2 ,' |
        awk -v place="${1-^dmz/rtc?p$}" '$1 ~ place { n[$2] += $3 } END { for (w in n) print w, n[w] }'
}
word() { words "${2-^dmz/rtc?p$}" | awk -v w="$1" '$1 == w { n = $2 } END { print n + 0 }'; }
total() { words | awk '{ n += $2 } END { print n + 0 }'; }

# The attackers of a table stop, everything is counted, each packet is where it belongs.
judge() {
    local title=$1 calls=$((${#ROWS[@]} * M)) name sum
    check "$title: each packet of the callers came through once" \
        wait_for 5 equals $calls word accepted '^inner/tunnel'
    check "$title: and each of the phones" wait_for 5 equals $calls word accepted '^dmz/tunnel'
    quiet
    sum=$calls
    for name in "${ROWS[@]}"; do
        say "$name: $(cat "$W/$name.out")"
        sum=$((sum + $(field "$name" .sent)))
    done
    check "$title: so is each of the attackers" wait_for 5 equals $sum total
    say "$title: $(words | paste -sd ' ')"
    judge_words "$title" "$calls"
    for name in "${ROWS[@]}"; do judge_row "$name"; done
}
# sent VERDICT: by the attackers of rows with this one.
sent() {
    local name sum=0
    for name in "${ROWS[@]}"; do
        [ "${WORD[$name]}" != "$1" ] || sum=$((sum + $(field "$name" .sent)))
    done
    echo $sum
}
judge_words() {
    is "$1: the dmz-relay accepted the senders' packets" "$(word accepted)" "$2"
    is "$1: and dropped forged ones, as auth-fail or replay" \
        $(($(word auth-fail) + $(word replay))) "$(sent forged)"
    check "$1: and those of strangers, as no-sa" test "$(word no-sa)" -ge "$(sent no-sa)"
}
judge_row() {
    local name=$1
    is "$name: he sent enough, and nothing came to him" \
        "$(field "$name" '"\(.sent >= '$M') \(.received)"')" "true 0"
    check "$name: the phone has the caller's packets and no other" heard_all "$name" phone
    check "$name: the caller has the phone's and no other" heard_all "$name" web
}

# ---------------------------------------------------------------- sources that are fixed

CALL_OF=strict_call
table
counters >"$W/moved.before"
row copy no-sa copy --hold 20
row copy-10 no-sa copy --hold 20 --addresses 10 --copies 10
row replay no-sa replay
row spoil no-sa spoil --hold 20
row spoof forged spoof --hold 20 --copies 10
row spoof-late forged spoof --copies 10
row spoof-first forged forge --as $WEB:$PORT
row prime any prime --hold 20
row forge no-sa forge
row guess no-sa guess
row guess-prime any guess --prime
wait_for 3 sas_at dmz "$(status_of inner .sas)" || bail "the SAs did not reach the dmz-relay"
talk
judge "fixed sources"

end_capture evil
is "not one packet went to any attacker" "$(packets evil)" 0
done_testing
