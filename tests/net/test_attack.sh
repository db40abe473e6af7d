#!/bin/bash
# Who is no part of a call: copies the sender's packets faster than the sender (he is the router, and
# holds them back), repeats them, spoils them, makes up others, speaks RTP' without being a peer. No
# packet of his is heard, none is sent to him, and the return path stays with the sender. Each row is
# a call and an attacker of it; all rows of a table go on at once.
. "$(dirname "$0")/lib.sh"

SUITE=AES_CM_128_HMAC_SHA1_80
PHONE=${LAN[a]}
N=100        # RTP packets of each sender
M=$((N + 4)) # and its RTCP
SENDING=(--rate 100 --count $N --rtcp-every 25)

company a
evil
rules_anybody a | firewall fwx-a
rules_tunnel a | firewall fwi-a
launch_example 4 dmz-relay
launch_example 4 inner-relay
tunnels_up inner dmz
capture web inet eth0 udp and dst host $WEB
capture evil evil eth0 dst net $EVIL_NET.0/24 or dst net $FLOOD_NET.0.0/16

# ---------------------------------------------------------------- rows

# row NAME VERDICT ATTACK ARGUMENT...: a call between WEB:PORT and PHONE:PORT, and its attacker.
# VERDICT: what the dmz-relay makes of each of the attacker's packets; "forged" is auth-fail, or
# replay when the true packet was there before; "any" is no-sa or no RTP at all.
# With --hold he holds the caller's packets back, and his own are there before them.
ROWS=() PORT=6000 EVIL=10
declare -A PORT_OF=() WORD=() KEY_IN=() KEY_OUT=()
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
    KEY_IN[$name]=$(new_key $SUITE)
    KEY_OUT[$name]=$(new_key $SUITE)
    "$CALL" "$name" "$port" || bail "SAs of $name"
    attack "$name" "$EVIL_NET.$EVIL:$port" "$what" --sender "$WEB:$port" --ssrc "$(ssrc $port)" "$@"
}
# Of a caller: in front of RTP' it looks like RTP.
ssrc() { echo $((0x80000000 + $1)); }

# The SAs of a call whose sources are fixed.
strict_call() {
    sa_add inner --side external --source "$WEB:$2" --suite $SUITE --key "${KEY_IN[$1]}" \
        --ssrc "$(ssrc "$2")" --to "$PHONE:$(($2 + 1000))" >/dev/null &&
        sa_add inner --side internal --source "$PHONE:$2" --suite $SUITE --key "${KEY_OUT[$1]}" \
            --ssrc "$2" --to "$WEB:$2" >/dev/null
}

# table: begins one. Its rows follow, then judge.
table() {
    counters >"$W/moved.before"
    ROWS=()
}

# Both ends of all calls send.
talk() {
    local name port
    wait_for 3 sas_at dmz "$(status_of inner .sas)" || bail "the SAs did not reach the dmz-relay"
    for name in "${ROWS[@]}"; do
        port=${PORT_OF[$name]}
        receive "$name-in" lan-a "$PHONE:$((port + 1000))" --ports 2 --wait 20 --timeout 20
        send "$name-web" inet --from $WEB:"$port" --to "${DMZ_OUT[a]}:$MEDIA" \
            --ssrc "$(ssrc "$port")" --key "${KEY_IN[$name]}" "${SENDING[@]}" \
            --save "$W/$name-web.sent"
        send "$name-phone" lan-a --from "$PHONE:$port" --to "${INNER[a]}:$MEDIA" --ssrc "$port" \
            --key "${KEY_OUT[$name]}" "${SENDING[@]}" --save "$W/$name-phone.sent"
    done
    for name in "${ROWS[@]}"; do
        finish_of "$name-phone" 10 && finish_of "$name-web" 10 || bail "senders of $name"
    done
}

# words [PLACE-REGEX]: what places made of packets since the table began: a line "word number" each.
words() {
    moved | tr ' ' '\n' | sed 's,\(.*\)/\([^/=]*\)=,\1 \2 ,' |
        awk -v place="${1-^dmz/rtc?p$}" '$1 ~ place { n[$2] += $3 } END { for (w in n) print w, n[w] }'
}
word() { words "${2-^dmz/rtc?p$}" | awk -v w="$1" '$1 == w { n = $2 } END { print n + 0 }'; }
total() { words | awk '{ n += $2 } END { print n + 0 }'; }

# same_list FILE FILE: datagrams in hex.
same_list() { [ -s "$1" ] && diff "$1" "$2" | head -n 5 && cmp -s "$1" "$2"; }

# The attackers of a table stop, everything is counted, each packet is where it belongs.
judge() {
    local title=$1 calls=$((${#ROWS[@]} * M)) name sum
    check "$title: each packet of the callers came through once" \
        wait_for 5 equals $calls word accepted '^inner/tunnel'
    check "$title: and each of the phones" wait_for 5 equals $calls word accepted '^dmz/tunnel'
    sum=$calls
    for name in "${ROWS[@]}"; do
        stop "$name" || bail "attacker $name: $(cat "$W/$name.log")"
        stop "$name-in" || :
        say "$name: $(cat "$W/$name.out")"
        sum=$((sum + $(field "$name" .sent)))
    done
    check "$title: so is each of the attackers" wait_for 5 equals $sum total
    say "$title: $(words | paste -sd ' ')"
    judge_words "$title" "$calls"
    for name in "${ROWS[@]}"; do judge_row "$name" "${PORT_OF[$name]}"; done
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
    local name=$1 port=$2
    is "$name: he sent enough, and nothing came to him" \
        "$(field "$name" '"\(.sent >= '$M') \(.received)"')" "true 0"
    check "$name: the phone has the caller's packets and no other" \
        same_datagrams "$W/$name-web.sent" "$W/$name-in.got"
    datagrams "$W/$name-phone.sent" >"$W/$name.sent"
    payloads web "udp and dst portrange $port-$((port + 1))" | sort >"$W/$name.got"
    check "$name: the caller has the phone's and no other" same_list "$W/$name.sent" "$W/$name.got"
}

# ---------------------------------------------------------------- sources that are fixed

CALL=strict_call
table
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
talk
judge "fixed sources"

end_capture evil
is "not one packet went to any attacker" "$(packets evil)" 0
done_testing
