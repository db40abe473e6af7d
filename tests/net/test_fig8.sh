#!/bin/bash
# FIG. 8: two companies with examples/fig8, each with both relays on the host in the DMZ. Clients inside
# speak RTP' to two UDP ports of it, by rtp-prime; the internal firewall lets nothing in but replies to
# that, and no TCP crosses it. RTP' between the companies, too. RTP and RTCP, both directions, and real
# media.
. "$(dirname "$0")/lib.sh"

N=50
CALLS=4 # clients of each company with rtpsend and rtprecv; two more with real media
SUITE=AES_CM_128_HMAC_SHA1_80
PEER=company # company-a, company-b
declare -A OTHER=([a]=b [b]=a)

# rules_replies COMPANY: the inside may send to the two UDP ports, and gets replies.
rules_replies() {
    local dmz=${DMZ_IN[$1]} ports="{ $MEDIA, $((MEDIA + 1)) }"
    cat <<END
        iifname "inside" oifname "dmz" ip daddr $dmz udp dport $ports counter name "out" accept
        iifname "dmz" oifname "inside" ip saddr $dmz udp sport $ports ct state established counter name "in" accept
END
}

company a b
rules_peer a b | firewall fwx-a
rules_peer b a | firewall fwx-b
for c in a b; do rules_replies $c | firewall fwi-$c; done
show_firewalls
for c in a b; do
    capture outside-$c fwx-$c internet
    capture inside-$c fwi-$c inside
    capture clients-$c lan-$c lo
    launch_example 8 dmz-relay-$c
    launch_example 8 inner-relay-$c dmz-$c
done
tunnels_up dmz-a inner-a dmz-b inner-b

# ---------------------------------------------------------------- clients

# Client I of a company: host 10.x.1.I, where rtp-prime sends from port 6000; the client itself sends to
# it and listens on the host's loopback.
client_host() { echo "${LAN[$1]%.*}.$2"; }
listen_of() { echo "127.0.0.1:$((20000 + 10 * $1))"; }
client_of() { echo "127.0.0.1:$((30000 + 10 * $1))"; }
# prime COMPANY I [OPTION...]: its rtp-prime, ready once this returns.
prime() {
    local c=$1 i=$2
    shift 2
    start_user "prime-$c$i" "lan-$c" "$NET_PRIME" --listen "$(listen_of "$i")" --client "$(client_of "$i")" \
        --from "$(client_host "$c" "$i"):6000" --relay "${DMZ_IN[$c]}:$MEDIA" --keepalive 600 "$@"
    wait_for 5 grep -qs '^ready: ' "$W/prime-$c$i.out" || bail "prime-$c$i: $(cat "$W/prime-$c$i.log")"
}
# prime_sums COMPANY I: its counters, once it has been asked for them.
prime_sums() {
    kill -USR1 "${PID[prime-$1$2]}"
    wait_for 5 grep -qs '^keepalive ' "$W/prime-$1$2.out"
    tail -n 5 "$W/prime-$1$2.out"
}

# line FROM I SSRC: an SA at either company for what client I of FROM says to client I of the other.
declare -A KEY=()
line() {
    local from=$1 to=${OTHER[$1]} i=$2 key
    key=$(new_key $SUITE)
    KEY[$from$i]=$key
    sa_add "inner-$from" --side internal --source "$(client_host "$from" "$i"):6000" --rtp-prime \
        --ssrc "$3" --suite $SUITE --key "$key" --peer "$PEER-$to" >"$W/sa.out" ||
        bail "sa add at inner-$from: $(cat "$W/sa.out")"
    sa_add "inner-$to" --side external --peer "$PEER-$from" --ssrc "$3" --suite $SUITE --key "$key" \
        --to "$(client_host "$to" "$i"):6000" --to-rtp-prime >"$W/sa.out" ||
        bail "sa add at inner-$to: $(cat "$W/sa.out")"
    SAS=$((SAS + 1))
}
SAS=0
in_step() {
    for c in a b; do
        wait_for 5 sas_at dmz-$c $SAS || bail "the SAs did not reach dmz-$c"
    done
}
refused() { fw_count "fwi-$1" refused; }

# ---------------------------------------------------------------- the firewall

say "a client that has not sent anything yet"
prime b 1 --keepalive 0
prime a 1
line a 1 0x80c80006 # looks like the head of a sender report
in_step
before=$(refused b)
out=(--to "$(listen_of 1)" --from 127.0.0.1:5000 --key "${KEY[a1]}" --ssrc 0x80c80006)
moves "to a client that did not send: through all four daemons" \
    "inner-a/rtp/accepted=$N dmz-a/tunnel/accepted=$N dmz-b/rtp/accepted=$N inner-b/tunnel/accepted=$N" -- \
    send_now early lan-a "${out[@]}" --count $N --rate 0
is "and refused by the internal firewall of b, as it replies to nothing" $(($(refused b) - before)) $N
stop prime-b1
like "rtp-prime of b got nothing" "$(cat "$W/prime-b1.out")" '^relay-rtp packets=0$'
firewall fwi-b < <(rules_replies b) # counts from 0
prime b 1

# ---------------------------------------------------------------- octet for octet

say "$CALLS calls at once, both directions, RTP and RTCP"
line b 1 0xbfffffff
for i in $(seq 2 $CALLS); do
    prime a "$i"
    prime b "$i"
    line a "$i" "$((0x80000000 + i))"
    line b "$i" "$((0xb0000000 + i))"
done
in_step
all=$((CALLS * N)) rtcp=$((CALLS * N / 10))
everybody() {
    local c i first=500 ssrc
    for c in a b; do
        for i in $(seq $CALLS); do
            receive "got-$c$i" "lan-${OTHER[$c]}" "$(client_of "$i")" --ports 2 --key "${KEY[$c$i]}" \
                --count $((N + N / 10)) --wait 20
        done
    done
    for c in a b; do
        for i in $(seq $CALLS); do
            ssrc=$((i == 1 ? (0x80c80006) : (0x80000000 + i)))
            [ $c = a ] || ssrc=$((i == 1 ? (0xbfffffff) : (0xb0000000 + i)))
            send "send-$c$i" "lan-$c" --from "127.0.0.1:$((5000 + 10 * i))" --to "$(listen_of "$i")" \
                --key "${KEY[$c$i]}" --ssrc "$ssrc" --seq $first --count $N --rate 200 --rtcp-every 10 \
                --save "$W/send-$c$i.sent"
        done
    done
    for c in a b; do
        for i in $(seq $CALLS); do finish_of "send-$c$i" 20 || return 1; done
    done
}
wanted=
for c in a b; do
    for place in inner-$c/rtp dmz-$c/rtp; do wanted+=" $place/accepted=$all"; done
    for place in inner-$c/rtcp dmz-$c/rtcp; do wanted+=" $place/accepted=$rtcp"; done
    for place in inner-$c/tunnel dmz-$c/tunnel; do wanted+=" $place/accepted=$((all + rtcp))"; done
done
moves "everything is accepted everywhere" "${wanted# }" -- everybody
for c in a b; do
    for i in $(seq $CALLS); do
        check "$c$i: verified at the other company" finish_of "got-$c$i" 10
        check "$c$i: octet for octet" same_datagrams "$W/send-$c$i.sent" "$W/got-$c$i.got"
    done
done

# ---------------------------------------------------------------- real media

say "real media: a call of ffmpeg and GStreamer, and one the other way round"
FF=$((CALLS + 1)) GST=$((CALLS + 2)) # who sends at a: the other one sends at b
for c in a b; do
    for i in $FF $GST; do
        prime $c "$i"
        line $c "$i" "$((0x9000 + i))"
    done
done
in_step
port() { echo "${1#*:}"; }
gst_receive got-real-a lan-b 127.0.0.1 "$(port "$(client_of $FF)")" $SUITE "${KEY[a$FF]}" $((0x9000 + FF))
ffmpeg_receive got-real-b lan-a 127.0.0.1 "$(port "$(client_of $FF)")" $SUITE "${KEY[b$FF]}"
ffmpeg_receive got-real-c lan-b 127.0.0.1 "$(port "$(client_of $GST)")" $SUITE "${KEY[a$GST]}"
gst_receive got-real-d lan-a 127.0.0.1 "$(port "$(client_of $GST)")" $SUITE "${KEY[b$GST]}" $((0x9000 + GST))
before=$(verdict inner-a accepted '^listener')
before_b=$(verdict inner-b accepted '^listener')
ffmpeg_send real-a lan-a 440 $SECONDS_SENT $SUITE "${KEY[a$FF]}" $((0x9000 + FF)) 7000 127.0.0.1 \
    "$(port "$(listen_of $FF)")"
gst_send real-b lan-b 550 $SECONDS_SENT $SUITE "${KEY[b$FF]}" $((0x9000 + FF)) 127.0.0.1 7000 127.0.0.1 \
    "$(port "$(listen_of $FF)")"
gst_send real-c lan-a 660 $SECONDS_SENT $SUITE "${KEY[a$GST]}" $((0x9000 + GST)) 127.0.0.1 7010 127.0.0.1 \
    "$(port "$(listen_of $GST)")"
ffmpeg_send real-d lan-b 770 $SECONDS_SENT $SUITE "${KEY[b$GST]}" $((0x9000 + GST)) 7010 127.0.0.1 \
    "$(port "$(listen_of $GST)")"
all_here() {
    at_least $((before + 2 * SECONDS_SENT * 50)) verdict inner-a accepted '^listener' &&
        at_least $((before_b + 2 * SECONDS_SENT * 50)) verdict inner-b accepted '^listener'
}
check "every packet came" wait_for 20 all_here
end_streams real-a real-b real-c real-d
for row in "a 440" "b 550" "c 660" "d 770"; do
    read -r name tone <<<"$row"
    check "real-$name: $tone Hz" hears "$tone" "$W/got-real-$name.wav"
done

# ---------------------------------------------------------------- what is dropped

say "a client that speaks RTP' badly, from the address of an SA; its firewall lets it out"
BAD=$((GST + 1)) GOOD_SSRC=0x9100
line a $BAD $GOOD_SSRC
in_step
dropped() { echo "inner-a/rtp/$1=20 inner-a/rtcp/$1=2"; }
# bad RTPSEND-ARGUMENT...: 20 RTP packets and 2 of RTCP, protected with the SA's key.
bad() {
    send_now bad lan-a --from "$(client_host a $BAD):6000" --to "${DMZ_IN[a]}:$MEDIA" --key "${KEY[a$BAD]}" \
        --count 20 --rate 0 --rtcp-every 10 "$@"
}
moves "no SA has the SSRC in front" "$(dropped no-sa)" -- bad --prime --ssrc 0x9101
moves "it is that of another client's SA" "$(dropped no-sa)" -- bad --prime --ssrc 0x80c80006
moves "RTP, not RTP': there is none behind its first four octets" "$(dropped malformed)" -- bad --ssrc $GOOD_SSRC
moves "another SSRC behind the one in front" "$(dropped ssrc-mismatch)" -- \
    bad --outer $GOOD_SSRC --ssrc 0x80c80006
moves "a wrong key" "$(dropped auth-fail)" -- bad --prime --ssrc $GOOD_SSRC --wrong-key
wanted=
for place in inner-a/PORT dmz-a/tunnel dmz-b/PORT inner-b/tunnel; do
    case $place in
    */PORT) wanted+=" ${place%PORT}rtp/accepted=20 ${place%PORT}rtcp/accepted=2" ;;
    *) wanted+=" $place/accepted=22" ;;
    esac
done
before=$(refused b)
moves "and well, at last" "${wanted# }" -- bad --prime --ssrc $GOOD_SSRC
is "nobody at b has asked for it" $(($(refused b) - before)) 22
firewall fwi-b < <(rules_replies b)

# ---------------------------------------------------------------- what was on the wire

for c in a b; do
    for i in 1 $FF $GST; do
        like "prime-$c$i: RTP both ways" "$(prime_sums $c "$i" | tr '\n' ' ')" \
            'client-rtp packets=[1-9].*relay-rtp packets=[1-9]'
        refuse "prime-$c$i dropped nothing" grep -qE ' (malformed|stranger|ssrc-mismatch|wrong-port|no-client|too-big|unreachable|socket-full)=' \
            "$W/prime-$c$i.out"
    done
    for name in outside inside clients; do end_capture $name-$c; done
done
# same_payloads CAPTURE FILTER CAPTURE FILTER: those of the first are all in the second, and no others.
same_payloads() {
    payloads "$1" "$2" | sort >"$W/$1.hex"
    payloads "$3" "$4" | sort >"$W/$3.hex"
    [ -s "$W/$1.hex" ] && cmp "$W/$1.hex" "$W/$3.hex"
}
for row in "a $FF" "a $GST" "b $FF" "b $GST"; do
    read -r c i <<<"$row"
    sent=$(port "$(listen_of "$i")") got=$(port "$(client_of "$i")")
    check "$c$i: what ffmpeg or GStreamer sent arrived octet for octet, RTP and RTCP" same_payloads \
        "clients-$c" "udp and dst portrange $sent-$((sent + 1))" \
        "clients-${OTHER[$c]}" "udp and dst portrange $got-$((got + 1))"
done
for c in a b; do
    lan=$(client_host $c 0)/24 dmz=${DMZ_IN[$c]} ports="portrange $MEDIA-$((MEDIA + 1))"
    is "internal firewall of $c: no TCP" "$(packets inside-$c "tcp")" 0
    is "internal firewall of $c: nothing but the two UDP ports of the DMZ" "$(packets inside-$c \
        "$QUIET and not (udp and ((src net $lan and dst host $dmz and dst $ports) or (dst net $lan and src host $dmz and src $ports)))")" 0
    check "internal firewall of $c: replies came in" \
        test "$(packets inside-$c "udp and dst net $lan and src host $dmz")" -gt 0
    two_ports outside-$c $c
    is "external firewall of $c: only the two dmz-relays" \
        "$(packets outside-$c "$QUIET and not (host ${DMZ_OUT[a]} and host ${DMZ_OUT[b]})")" 0
done
nothing_refused
for i in $(seq $GST); do stop "prime-a$i"; stop "prime-b$i"; done
done_testing
