#!/bin/bash
# alone: its flood needs the machine.
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
    is "$title: the dmz-relay accepted the callers' packets" "$(word accepted)" "$calls"
    for name in "${ROWS[@]}"; do judge_row "$name"; done
}
# The copies of a caller's packets that came after the first.
replays() { ctl_json dmz sa show "$1" | jq '.sa.verdicts.replay // 0'; }

# A table: begin, its rows, all_there, talk, judge.
begin() {
    table
    counters >"$W/moved.before"
}
all_there() {
    wait_for 3 sas_at dmz "$(status_of inner .sas)" || bail "the SAs did not reach the dmz-relay"
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
    is "$1: it dropped forged ones, as auth-fail or replay" \
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
begin
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
all_there
talk
judge fixed
judge_words fixed

# ---------------------------------------------------------------- sources that are learned

CALL_OF=hinted_call
begin
row hinted-copy any copy --hold 20
row hinted-copy-10 any copy --hold 20 --addresses 10 --copies 10
row hinted-copy-0 any copy --hold 1
row hinted-replay any replay
row hinted-spoil any spoil --hold 20
row hinted-spoof any spoof --hold 20 --copies 10
row hinted-spoof-first any forge --as $WEB:$PORT --rate 50
row hinted-prime any prime --hold 20
row hinted-forge any forge
row hinted-guess any guess
CALL_OF=unnamed_call
row unnamed-copy any copy --hold 20
row unnamed-replay any replay
row unnamed-forge any forge
row unnamed-guess any guess
all_there
callers_talk
wait_for 5 all_bound || bail "not every caller was heard: $(heard_from)"
phones_talk
all_said
judge learned
is "learned: every caller is where it was from the first packet to the last" "$(heard_from)" "$(right)"
for name in hinted-copy unnamed-copy; do
    check "$name: his copies were there first, and accepted; the caller's own were the replays" \
        at_least $((M - 20)) replays "${SA_OF[$name]}"
done

# ---------------------------------------------------------------- a flood

# Four callers with one SSRC, so that a forged packet with it may be any of theirs; three senders that
# may be anywhere and one that may be in the midst of the flood: all kinds of searches.
say "50,000 forged packets per second from 10,000 addresses"
ONE_SSRC=0x80001000
ssrc() { echo $((ONE_SSRC)); }
CALL_OF=hinted_call
table
for n in 1 2 3 4; do
    ROWS+=("flood-$n")
    PORT=$((PORT + 10))
    PORT_OF[flood-$n]=$PORT
    KEY_IN[flood-$n]=$(new_key $ATTACK_SUITE)
    KEY_OUT[flood-$n]=$(new_key $ATTACK_SUITE)
    WEB_SENDS_TO[flood-$n]=${DMZ_OUT[a]}:$MEDIA
    PHONE_SENDS_TO[flood-$n]=${INNER[a]}:$MEDIA
    hinted_call "flood-$n" $PORT || bail "SAs of flood-$n"
done
silent=(--side external --suite $ATTACK_SUITE --to "$CALLEE:5998")
for n in 1 2 3; do
    sa_add inner "${silent[@]}" --key "$(new_key $ATTACK_SUITE)" --source-policy open >/dev/null ||
        bail "sa add of a silent one"
done
sa_add inner "${silent[@]}" --key "$(new_key $ATTACK_SUITE)" --hint $FLOOD_NET.0.77 >/dev/null ||
    bail "sa add of one that is hinted"
all_there

# constant NAME: of common/sa/budget.h.
constant() { sed -n "s/^ *BUDGET_$1 = \([0-9]*\),.*/\1/p" "$(dirname "$0")/../../common/sa/budget.h"; }
resident() { awk '/^VmRSS/ { print $2 }' "/proc/${PID[dmz]}/status"; }
overflow() { status_of dmz '[.listeners[] | .rtp.overflow, .rtcp.overflow] | add'; }
counter() { stats_of dmz ".counters.$1"; }

SENDING=(--rate 100 --count 500 --rtcp-every 25)
SENT=520
flood() {
    attack "$1" $FLOOD_NET.0.1:4000 flood --target "${DMZ_OUT[a]}:$MEDIA" --addresses 10000 \
        --ssrc $((ONE_SSRC)) "${@:2}"
}
counters >"$W/moved.before"
callers_talk
wait_for 5 all_bound || bail "not every caller was heard: $(heard_from)"
# A little of it before, so that what is allocated once is there.
flood warm-up --rate 10000 --seconds 0.5
finish_of warm-up 10 || bail "attacker warm-up: $(cat "$W/warm-up.log")"
begin_kb=$(resident) overflow=$(overflow)
tries=$(counter learn_tries) refused=$(counter learn_refused) calls=$(counter srtp_verifications)
begin=$(now_ms)
flood flood --rate 50000
phones_talk
all_said
stop flood || bail "attacker flood: $(cat "$W/flood.log")"
ms=$(($(now_ms) - begin))
say "flood: $(cat "$W/flood.out") in $ms ms"
sum=$((4 * SENT + $(field flood .sent) + $(field warm-up .sent)))
all_counted() { [ "$(total)" -ge $sum ]; }
check "flood: each packet is counted" wait_for 5 all_counted
say "flood: $(words | paste -sd ' ')"
tries=$(($(counter learn_tries) - tries)) refused=$(($(counter learn_refused) - refused))
calls=$(($(counter srtp_verifications) - calls))
bound=0
for kind in MATCH SEARCH OPEN; do
    bound=$((bound + $(constant ${kind}_BURST) + $(constant ${kind}_RATE) * ms / 1000))
done
say "flood: $tries tries of at most $bound, $refused packets were refused them, $calls verifications"
check "flood: at least 30,000 packets per second" test $(($(field flood .sent) * 1000 / ms)) -ge 30000
check "flood: it made tries of what was not known" test "$tries" -gt $((ms * 10))
check "flood: as many as the bounds allow, not more" test "$tries" -le $bound
check "flood: and some packets were refused them" test "$refused" -gt 0
# A try is one verification, or two: in the first turn of the sequence numbers and in another one.
check "flood: no verifications but for these tries and the callers' own packets" \
    test "$calls" -le $((2 * tries + 4 * SENT))
check "flood: and fewer than the bounds of the tries" test "$calls" -le $((bound + 4 * SENT))
end_kb=$(resident)
say "flood: $begin_kb kB resident before, $end_kb kB after"
# Less than six octets for each packet: what is freed under a sanitizer stays for a while.
check "flood: the memory stays flat" test $((end_kb - begin_kb)) -le 1024
if [ "$(overflow)" = "$overflow" ]; then
    for name in "${ROWS[@]}"; do
        check "$name: the phone has all of the caller's packets" heard_all "$name" phone
        check "$name: the caller has all of the phone's packets" heard_all "$name" web
    done
else
    ok "flood: no call lost a packet # SKIP the kernel dropped $(($(overflow) - overflow)): its buffers are too small, or the CPU is busy"
fi
is "flood: nothing came to him" "$(field flood .received) $(field warm-up .received)" "0 0"
is "flood: every caller is where it was" "$(heard_from)" "$(right)"

end_capture evil
is "not one packet went to any attacker" "$(packets evil)" 0
done_testing
