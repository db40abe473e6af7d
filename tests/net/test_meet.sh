#!/bin/bash
# Two intranets behind strict NAT routers, and media that goes past their dmz-relay: each site's second connection is
# found out by it, handed over to the other site, and never spoken on again. Where the routers let no spoofed segment
# out, the dmz-relay carries the call; where they do, media goes straight; when that way dies, back.
# MEET_PACKETS=60000 MEET_RATE=4000 sends more than the window of a connection that nobody acknowledges.
# shellcheck disable=SC2034
NET_RAW=yes
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/intranets.sh"
# shellcheck disable=SC2034
NET_CAPS=("${RAW_CAPS[@]}")

RELAY=${DMZ_OUT[a]}
CA_OF[b]=a
SUITE=AES_CM_128_HMAC_SHA1_80
declare -A SITE=([a]=hq.example.com [b]=branch.example.com)
other() { [ "$1" = a ] && echo b || echo a; }

public_host dmz-a "$RELAY"
for c in a b; do
    intranet $c random
    lets_out $c ip saddr "${INNER[$c]}" ip daddr "$RELAY" tcp dport $TUNNEL
    in_ns nat-$c sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_close=1 || bail "timeouts of nat-$c"
    in_ns nat-$c nft -f - <<END || bail "spoofing rules of nat-$c"
table inet spoofing {
    chain raw { type filter hook prerouting priority raw; }
}
END
done
# spoofing COMPANY: its router lets segments in the name of the dmz-relay out, as they are.
spoofing() {
    in_ns "nat-$1" nft add rule inet spoofing raw iifname inside ip saddr "$RELAY" tcp sport $TUNNEL notrack &&
        in_ns "nat-$1" nft insert rule inet firewall forward iifname inside oifname internet ct state untracked \
            ip saddr "$RELAY" accept || bail "spoofing of nat-$1"
}
no_spoofing() { in_ns "nat-$1" nft flush chain inet spoofing raw || bail "spoofing of nat-$1"; }

host_firewall dmz-a <<RULES
    chain let-in {
        ip saddr { ${NAT_OUT[a]}, ${NAT_OUT[b]}, ${INNER[b]} } tcp dport $TUNNEL ct state new accept
    }
    chain let-out { }
RULES

# The example, with what is missing in it.
cp -r "$EXAMPLES/intranets" "$W/intranets"
EXAMPLES=$W
for c in a b; do
    sed -i "/^ring-timeout/a allow-spoofing = yes\ndirect-to = ${NAT_OUT[$(other $c)]}, 10.2.0.0/16" "$W/intranets/inner-relay-$c.ini"
done
launch_example intranets dmz-relay
for c in a b; do launch_example intranets inner-relay-$c; done
tunnels_up inner-a inner-b
wait_for 10 equals 2 status_of dmz '[.tunnels[] | select(.state == "up")] | length' ||
    bail "the dmz-relay does not have both sites"

# ---------------------------------------------------------------- words

sdp() {
    printf '%s\r\n' v=0 "o=- 1 1 IN IP4 ${LAN[$1]}" s=- "c=IN IP4 ${LAN[$1]}" "t=0 0" "m=audio 9000 RTP/SAVP 0" \
        "a=crypto:1 $SUITE inline:$2" "a=ssrc:$3 cname:x"
}
direct() { status_of inner-"$1" ".sites[0].direct.$2"; }
direct_is() { [ "$(direct "$1" state)" = "$2" ]; }
refused_by() { grep -q 'which its direct-to does not allow' "$W/inner-$1.log"; }
show() { ctl_json inner-"$1" call show "$CALL" | jq -r ".calls[0].$2"; }
path_is() { [ "$(show "$1" path)" = "$2" ]; }
# mapped COMPANY: the ports that its router has for connections to the dmz-relay.
mapped() { connections "nat-$1" | awk -v to="$RELAY" '$3 == to { print $5 }' | sort | xargs; }
forgot() { [[ " $(mapped "$1") " != *" $2 "* ]]; }
# call_up: a call from site a to site b, answered.
call_up() {
    sdp a "$key_a" 101 >"$W/place.sdp"
    sdp b "$key_b" 102 >"$W/answer.sdp"
    CALL=$(ctl inner-a call place "${SITE[b]}" --sdp "$W/place.sdp") || bail "the call cannot be placed"
    wait_for 10 rings b || bail "the call does not ring"
    ctl inner-b call answer "$CALL" --sdp "$W/answer.sdp" >/dev/null || bail "the call cannot be answered"
    wait_for 10 answered a || bail "the call was not answered"
}
state() { ctl_json inner-"$1" call list | jq -r --arg id "$CALL" '.calls[] | select(.call_id == $id) | .state'; }
rings() { [ "$(state "$1")" = ringing ]; }
answered() { [ "$(state "$1")" = answered ]; }
# media NAME FROM COUNT FIRST [ARGUMENT...]: packets from the phone of a site to that of the other.
media() {
    local name=$1 from=$2 count=$3 first=$4 to ssrc=101 key=$key_a
    to=$(other "$from")
    [ "$from" = a ] || ssrc=102 key=$key_b
    shift 4
    receive "got-$name" "lan-$to" "${LAN[$to]}:9000" --key "$key" --count "$count" --wait 20 --timeout 3
    send "$name" "lan-$from" --from "${LAN[$from]}:9000" --to "${INNER[$from]}:$MEDIA" --key "$key" --ssrc $ssrc \
        --count "$count" --seq "$first" --save "$W/$name.sent" "$@"
}
# came NAME: all of it, and nothing else.
came() {
    finish_of "$1" 30 && finish_of "got-$1" 30
    same_datagrams "$W/$1.sent" "$W/got-$1.got"
}
# both NAME COUNT FIRST [ARGUMENT...]: one after the other; here no port can send and receive.
both() {
    local name=$1 c
    shift
    for c in a b; do
        media "$name-$c" $c "$@"
        came "$name-$c" || return 1
    done
}
relayed() { verdict dmz accepted tunnel; }

# ---------------------------------------------------------------- no way but by the dmz-relay

key_a=$(new_key $SUITE) key_b=$(new_key $SUITE)
capture silent dmz-a eth0 tcp and src port $TUNNEL
call_up
check "media goes by the dmz-relay from the first packet on" both forwarded 50 1 --rate 100
for c in a b; do
    check "site $c: its second connection was handed over" wait_for 15 direct_is $c open
    is "site $c: spoofed segments do not pass" "$(show $c path)" dmz-relay
done
for c in a b; do
    port=$(show $c mapped)
    is "site $c is told where it is seen" "${port%:*}" "${NAT_OUT[$c]}"
    like "site $c: which is what its router has" "$(mapped $c)" "(^| )${port##*:}( |\$)"
    is "and the other site is told the same" "$(show "$(other $c)" other_mapped)" "$port"
done
# segments PORT: so many has the dmz-relay sent there so far.
segments() { tcpdump -n -t -r "$W/silent.pcap" "dst port $1" 2>/dev/null | wc -l; }
a_port=$(show a mapped) a_port=${a_port##*:}
b_port=$(show b mapped) b_port=${b_port##*:}
a_said=$(segments "$a_port") b_said=$(segments "$b_port")
check "the capture has what it said before" test "$a_said" -gt 5 -a "$b_said" -gt 5

# ---------------------------------------------------------------- straight

spoofing a
spoofing b
for c in a b; do check "site $c: the direct path is proven" wait_for 20 path_is $c direct; done
# A process that had to stand still for a moment makes media go both ways for a second: it may be tried again.
# straight: most of it is not seen by the dmz-relay; FIRST is the number of the next packet.
FIRST=51
straight() {
    local before
    before=$(relayed)
    both straight 200 $FIRST --rate 200 || return 2
    FIRST=$((FIRST + 200))
    count=$(($(relayed) - before))
    [ $count -lt 100 ]
}
# thrice COMMAND...: until it is true; a status of 2 is final.
thrice() {
    local try status
    for try in 1 2 3; do
        wait_for 20 path_is a direct && wait_for 20 path_is b direct || return 2
        status=0
        "$@" || status=$?
        [ $status = 1 ] || return $status
        say "$* again, after try $try"
    done
    return 1
}
check "media goes straight, octet for octet, but for a sample" thrice straight
for c in a b; do
    is "nat-$c: nothing was opened inwards" "$(fw_count nat-$c inward)" 0
    check "site $c: what came was acknowledged" at_least 100 direct $c acks
    is "site $c: and nothing was forged" "$(direct $c forged)" 0
done

# ---------------------------------------------------------------- and back

# cut: in the middle of media the router of site a lets nothing spoofed out any more.
cut() {
    local sent
    wait_for 20 path_is a direct || return 2
    sent=$(direct a sent)
    media back a 500 $FIRST --rate 200
    FIRST=$((FIRST + 500))
    wait_for 10 at_least $((sent + 100)) direct a sent || return 2
    no_spoofing a
    wait_for 10 path_is a dmz-relay && wait_for 10 path_is b dmz-relay || return 2
    finish_of back 30
    finish_of got-back 30
    spoofing a
    lost=$((500 - $(field got-back .packets)))
    say "lost: $lost packets of 200/s"
    [ $lost -le 40 ]
}
check "when the direct path is cut, media goes by the dmz-relay, and at most 200 ms are lost" thrice cut
for c in a b; do check "site $c: it is proven again" wait_for 20 path_is $c direct; done

# ---------------------------------------------------------------- the end

check "site a hangs up" ctl inner-a call end "$CALL"
ended=$SECONDS
check "nat-a: its router has forgotten the connection" wait_for 10 forgot a "$a_port"
check "nat-b: and so has the other" wait_for 10 forgot b "$b_port"
say "after $((SECONDS - ended)) s; 1 s of it is the router's own"
end_capture silent
is "since the hand-over the dmz-relay has sent nothing on these connections, not even a RST" \
    "$(segments "$a_port") $(segments "$b_port")" "$a_said $b_said"

# ---------------------------------------------------------------- a site without NAT, and an address that may not be

in_ns nat-b nft flush chain ip translation postrouting || bail "NAT of nat-b"
in_ns net ip route add 10.2.0.0/16 via "${NAT_OUT[b]}" || bail "route to site b"
call_up
for c in a b; do check "a call with a site without NAT: the direct path of site $c is proven" wait_for 20 path_is $c direct; done
like "site b is seen as it is" "$(show a other_mapped)" "^${INNER[b]}:[0-9]+\$"
invalid=$(invalid nat-a)
check "media goes straight" both open "${MEET_PACKETS-100}" 5001 --rate "${MEET_RATE-200}"
check "and not by the dmz-relay alone" at_least 20 direct a sent
is "nat-a calls nothing of it invalid" "$(invalid nat-a)" "$invalid"
sed -i "s/^direct-to = .*/direct-to = 198.51.100.0\/24/" "$W/hosts/inner-a/etc/media-relay/inner-relay.ini"
ctl inner-a call end "$CALL" >/dev/null
ctl inner-a reload >/dev/null || bail "reload of site a"
for c in a b; do wait_for 10 direct_is $c off || bail "site $c has a direct path without a call"; done
call_up
check "an address that direct-to does not name is refused" wait_for 15 refused_by a
is "and media goes by the dmz-relay" "$(show b path)" dmz-relay
done_testing
