#!/bin/bash
# FIG. 7: both daemons on the DMZ host, with examples/fig7. Company a has 50 clients, each with a port
# of the internal firewall of its own; 17 talk to the Internet (RTP), 17 to company b and 16 to company c
# (RTP'), all at once through the same two external ports. No TCP crosses an internal firewall.
. "$(dirname "$0")/lib.sh"

SUITE=AES_CM_128_HMAC_SHA1_80
PACKETS=150
EVERY=50 # one SRTCP packet after so many
CALLS=50

# Client N of a company, or of the Internet, receives at port 7000 + 2 * N; RTCP at the next one.

# rules_clients COMPANY: the clients send to the inner-relay's two ports, and it sends from these to
# the ports of each client.
rules_clients() {
    local relay=${DMZ_IN[$1]} net=${LAN[$1]%.1.1} i port doors=() ports="{ $MEDIA, $((MEDIA + 1)) }"
    for ((i = 1; i <= CALLS; i++)); do
        port=$((7000 + 2 * i))
        doors+=("$net.1.$i . $port-$((port + 1))")
    done
    cat <<END
        iifname "inside" oifname "dmz" ip saddr $net.0.0/16 ip daddr $relay udp dport $ports counter name "out" accept
        iifname "dmz" oifname "inside" ip saddr $relay udp sport $ports ip daddr . udp dport { $(
        IFS=,
        echo "${doors[*]}"
    ) } counter name "in" accept
END
}

company a b c
rules_anybody a | firewall fwx-a
for c in b c; do rules_peer $c a | firewall fwx-$c; done
for c in a b c; do rules_clients $c | firewall fwi-$c; done
show_firewalls
capture internet fwx-a internet
for c in a b c; do
    capture inside-$c fwi-$c dmz
    launch_example 7 dmz-relay-$c dmz-$c
    launch_example 7 inner-relay-$c dmz-$c
done
tunnels_up inner-a dmz-a inner-b dmz-b inner-c dmz-c

add() {
    local name=$1 reply
    shift
    reply=$(sa_add "$name" --suite $SUITE "$@") || bail "sa add at $name: $reply"
}

# Call I is between client I of company a, which sends from NEAR_FROM and receives at NEAR_AT, and client
# N of its group: of the Internet, of b or of c. The SSRCs are the same in all groups. The last call of
# each group has real media on the way in.
GROUP=() KEY=() IN_SSRC=() OUT_SSRC=() NEAR_FROM=() NEAR_AT=() FAR_FROM=() FAR_AT=()
real() { case $1 in 17 | 34 | 50) return 0 ;; *) return 1 ;; esac; }
# plan CALL GROUP N
plan() {
    local i=$1 g=$2 n=$3 a=${LAN[a]%.*}
    GROUP[i]=$g KEY[i]=$(new_key $SUITE)
    IN_SSRC[i]=$((1000 + n)) OUT_SSRC[i]=$((2000 + n))
    NEAR_FROM[i]=$a.$i:6000 NEAR_AT[i]=$a.$i:$((7000 + 2 * i))
    if [ "$g" = web ]; then
        FAR_FROM[i]=$WEB:$((6000 + 2 * n)) FAR_AT[i]=$WEB:$((7000 + 2 * n))
    else
        FAR_FROM[i]=${LAN[$g]%.*}.$n:6000 FAR_AT[i]=${LAN[$g]%.*}.$n:$((7000 + 2 * n))
    fi
}
# connect CALL: its SAs, two at company a and two at the other company.
connect() {
    local i=$1 g=${GROUP[$1]} from=(--peer "company-${GROUP[$1]}") to id=scripted
    local in=(--ssrc "${IN_SSRC[i]}" --key "${KEY[i]}") out=(--ssrc "${OUT_SSRC[i]}" --key "${KEY[i]}")
    ! real "$i" || id=real
    to=("${from[@]}")
    if [ "$g" = web ]; then
        from=(--source "${FAR_FROM[i]}") to=(--to "${FAR_AT[i]}")
    else
        add "inner-$g" --side internal --source "${FAR_FROM[i]}" "${in[@]}" --peer company-a
        add "inner-$g" --side external --peer company-a "${out[@]}" --to "${FAR_AT[i]}"
    fi
    add inner-a --side external "${from[@]}" "${in[@]}" --to "${NEAR_AT[i]}" --call-id $id
    add inner-a --side internal --source "${NEAR_FROM[i]}" "${out[@]}" "${to[@]}"
}
for ((i = 1; i <= CALLS; i++)); do
    if [ $i -le 17 ]; then plan $i web $i; elif [ $i -le 34 ]; then plan $i b $((i - 17)); else
        plan $i c $((i - 34))
    fi
    connect $i
done
for row in "a 100" "b 34" "c 32"; do
    read -r c count <<<"$row"
    check "company $c: all SAs are at its dmz-relay" wait_for 5 sas_at "dmz-$c" "$count"
done

counters >"$W/moved.before"
declare -A SPACE=([web]=inet [b]=lan-b [c]=lan-c)
declare -A RELAY=([web]=${DMZ_OUT[a]} [b]=${DMZ_IN[b]} [c]=${DMZ_IN[c]})
total=$((PACKETS + PACKETS / EVERY))
# listen NAME SPACE ADDRESS KEY, talk NAME SPACE FROM TO SSRC KEY: one client, receiving and sending. All
# of them begin to send at once: when somebody has opened the pipe for writing.
mkfifo "$W/begin"
listen() {
    start "$1" "$2" "$NET_TOOLS/rtprecv" --listen "$3" --ports 2 --key "$4" --count $total \
        --wait 60 --timeout 5 --ready "$W/$1.ready" --save "$W/$1.got" --brief
}
talk() {
    # shellcheck disable=SC2016
    start "talk-$1" "$2" sh -c ': <"$0" && exec "$@"' "$W/begin" "$NET_TOOLS/rtpsend" \
        --from "$3" --to "$4:$MEDIA" --ssrc "$5" --key "$6" --count $PACKETS \
        --rtcp-every $EVERY --save "$W/$1.sent"
}
for ((i = 1; i <= CALLS; i++)); do
    real $i || listen "in-$i" lan-a "${NEAR_AT[i]}" "${KEY[i]}"
    listen "out-$i" "${SPACE[${GROUP[i]}]}" "${FAR_AT[i]}" "${KEY[i]}"
done
gst_receive got-17 lan-a "${NEAR_AT[17]%:*}" "${NEAR_AT[17]#*:}" $SUITE "${KEY[17]}" "${IN_SSRC[17]}"
ffmpeg_receive got-34 lan-a "${NEAR_AT[34]%:*}" "${NEAR_AT[34]#*:}" $SUITE "${KEY[34]}"
ffmpeg_receive got-50 lan-a "${NEAR_AT[50]%:*}" "${NEAR_AT[50]#*:}" $SUITE "${KEY[50]}"
ready() { at_least $((2 * CALLS - 3)) eval "ls '$W'/*.ready | wc -l"; }
wait_for 10 ready || bail "the receivers do not listen"

for ((i = 1; i <= CALLS; i++)); do
    g=${GROUP[i]}
    real $i || talk "in-$i" "${SPACE[$g]}" "${FAR_FROM[i]}" "${RELAY[$g]}" "${IN_SSRC[i]}" "${KEY[i]}"
    talk "out-$i" lan-a "${NEAR_FROM[i]}" "${DMZ_IN[a]}" "${OUT_SSRC[i]}" "${KEY[i]}"
done
ffmpeg_send 17 inet 440 $SECONDS_SENT $SUITE "${KEY[17]}" "${IN_SSRC[17]}" 6034 "${DMZ_OUT[a]}" $MEDIA
gst_send 34 lan-b 550 $SECONDS_SENT $SUITE "${KEY[34]}" "${IN_SSRC[34]}" "${FAR_FROM[34]%:*}" 6000 \
    "${DMZ_IN[b]}" $MEDIA
ffmpeg_send 50 lan-c 660 $SECONDS_SENT $SUITE "${KEY[50]}" "${IN_SSRC[50]}" 6000 "${DMZ_IN[c]}" $MEDIA \
    "${FAR_FROM[50]%:*}"
# shellcheck disable=SC2034
exec {BEGIN}<>"$W/begin"

# all_arrived DIRECTION NUMBER: each scripted receiver has its sender's packets, and no others.
all_arrived() {
    local i bad=0 got=()
    for ((i = 1; i <= CALLS; i++)); do
        [ -n "${PID[$1-$i]-}" ] || continue
        finish_of "$1-$i" 20 || { bad=$((bad + 1)) && cat "$W/$1-$i.out" "$W/$1-$i.log"; }
        got+=("$W/$1-$i.got")
    done
    jq -s "map(select(.rtp == $PACKETS and .rtcp == $PACKETS / $EVERY and .ssrcs == 1)) | length" \
        "${got[@]/%.got/.out}" >"$W/$1.good"
    cat "${got[@]/%.got/.sent}" >"$W/$1.sent"
    cat "${got[@]}" >"$W/$1.got"
    [ $bad = 0 ] && [ "$(cat "$W/$1.good")" = "$2" ] && same_datagrams "$W/$1.sent" "$W/$1.got"
}
for ((i = 1; i <= CALLS; i++)); do
    real $i || finish_of "talk-in-$i" 20 || bail "sender in-$i"
    finish_of "talk-out-$i" 20 || bail "sender out-$i"
done
check "inward: the 47 scripted clients have all of their packets and no others" all_arrived in $((CALLS - 3))
check "outward: and so have all 50" all_arrived out $CALLS
real_packets() { ctl_json inner-a sa list | jq "[.sas[] | select(.call_id == \"real\") | .packets] | min"; }
check "every packet of the real media came" wait_for 20 at_least $((SECONDS_SENT * 50)) real_packets
end_streams 17 34 50
for row in "17 440" "34 550" "50 660"; do
    read -r i tone <<<"$row"
    check "client $i hears $tone Hz" hears "$tone" "$W/got-$i.wav"
done

places=$(printf '%s ' {dmz,inner}-{a,b,c}/{rtcp,rtp,tunnel}/accepted)
is "every packet was accepted wherever it came" \
    "$(moved | tr ' ' '\n' | sed 's/=.*//' | sort)" "$(tr ' ' '\n' <<<"${places% }" | sort)"
for name in internet inside-{a,b,c}; do end_capture $name; done
two_ports internet a
for row in "the Internet|$WEB|8" "company b|${DMZ_OUT[b]}|prime" "company c|${DMZ_OUT[c]}|prime"; do
    IFS='|' read -r text address form <<<"$row"
    payloads internet "src host $address and dst port $MEDIA" >"$W/hop"
    check "$text: there is media in" test "$(wc -l <"$W/hop")" -ge $((14 * PACKETS))
    # RTP begins with version 2; RTP' with the SSRC, which follows again after 8 octets of RTP.
    if [ "$form" = prime ]; then
        is "$text: all of it RTP'" "$(awk 'substr($0, 1, 8) != substr($0, 25, 8)' "$W/hop" | wc -l)" 0
    else
        is "$text: all of it RTP" "$(grep -cv '^80' "$W/hop")" 0
    fi
done
# at_once CAPTURE FIELD FILTER...: by how many senders, or to how many receivers (field 3 or 5 of a
# line), packets go, if there is a moment at which all of them have begun and none has ended.
at_once() {
    tcpdump -n -tt -r "$W/$1.pcap" "${@:3}" 2>/dev/null | awk -v field="$2" '
        { who = $field; sub(/\.[0-9]+:?$/, "", who); if (!(who in first)) first[who] = $1; last[who] = $1 }
        END {
            for (who in first) {
                n++
                if (first[who] > begin) begin = first[who]
                if (!end || last[who] < end) end = last[who]
            }
            print begin < end ? n : "one ended before another began"
        }'
}
is "media from three networks at once" \
    "$(at_once internet 3 "udp and dst host ${DMZ_OUT[a]} and dst port $MEDIA")" 3
# The real media begin and end when ffmpeg and GStreamer are ready.
others="not dst host ${NEAR_AT[17]%:*} and not dst host ${NEAR_AT[34]%:*} and not dst host ${NEAR_AT[50]%:*}"
is "media for the 47 scripted clients at once" "$(at_once inside-a 5 \
    "udp and src host ${DMZ_IN[a]} and src port $MEDIA and $others")" $((CALLS - 3))
for c in a b c; do
    is "company $c: no TCP at the internal firewall" "$(packets inside-$c tcp)" 0
    is "company $c: nothing but UDP with the relay's two ports" "$(packets inside-$c \
        "$QUIET and not (udp and host ${DMZ_IN[$c]} and portrange $MEDIA-$((MEDIA + 1)))")" 0
done
nothing_refused
done_testing
