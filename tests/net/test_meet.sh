#!/bin/bash
# Two intranets behind strict NAT routers, and media that goes past their dmz-relay: each site's second connection is
# found out by it, handed over to the other site, and never spoken on again. Where the routers let no spoofed segment
# out, by their rules or by their reverse path filter alone, the dmz-relay carries the call; where they do, media goes
# straight; when that way dies, back; and of two calls at once, the one that goes on keeps the way when the other ends.
# Site b is behind a box that gives TCP connections initial sequence numbers of its own, close to the wrap. Then a site
# without NAT, 2 % loss, IPv6. MEET_PACKETS=60000 MEET_RATE=4000 sends more than the window of a connection; where
# processes have to stand still meanwhile, packets of that rate come later than their replay window allows.
# shellcheck disable=SC2034
NET_RAW=yes
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/intranets.sh"
. "$(dirname "$0")/lib/placed.sh"
# shellcheck disable=SC2034
NET_CAPS=("${RAW_CAPS[@]}")

SLOW[net:to-dmz-a]="delay=20"
SLOW[net:to-b]="delay=5 isn=4294960000"
public_host dmz-a "$RELAY"
in_ns dmz-a sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_close=1 || bail "timeouts of dmz-a"
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

# rp_filter COMPANY VALUE: how its router judges sources of what comes from the inside; 1 is strict. The larger one of
# that of the interface and "all" counts, and both may be anything where a system begins.
rp_filter() {
    in_ns "nat-$1" sysctl -qw net.ipv4.conf.all.rp_filter=0 "net.ipv4.conf.inside.rp_filter=$2" ||
        bail "rp_filter of nat-$1"
}
# rp_dropped COMPANY: so many packets its router has dropped for that.
rp_dropped() {
    in_ns "nat-$1" awk '$1 != "TcpExt:" { next }
        at { print $at; exit }
        { for (i = 2; i <= NF; i++) if ($i == "IPReversePathFilter") at = i }' /proc/net/netstat
}

host_firewall dmz-a <<RULES
    chain let-in {
        ip saddr { ${NAT_OUT[a]}, ${NAT_OUT[b]}, ${INNER[b]} } tcp dport $TUNNEL ct state new accept
    }
    chain let-out { }
RULES

# The rate of an SA: more than half a second's worth at once would be dropped otherwise, which is what comes when a
# process stood still.
settings() {
    sed -i "/^ring-timeout/a allow-spoofing = yes\ndirect-to = ${NAT_OUT[$(other "$1")]}, 10.2.0.0/16
        /^media-timeout/a sa-rate = 100000" "$2"
}
sites_up settings

# ---------------------------------------------------------------- words

direct() { status_of inner-"$1" ".sites[0].direct.$2"; }
direct_is() { [ "$(direct "$1" state)" = "$2" ]; }
refused_by() { grep -q 'which its direct-to does not allow' "$W/inner-$1.log"; }
# mapped COMPANY: the ports that its router has for connections to the dmz-relay.
mapped() { connections "nat-$1" | awk -v to="$RELAY" '$3 == to { print $5 }' | sort | xargs; }
forgot() { [[ " $(mapped "$1") " != *" $2 "* ]]; }
# only_the_tunnel COMPANY: its router has nothing but what was there beside the first meeting, of whatever call.
declare -A BESIDE=()
only_the_tunnel() {
    local port
    for port in $(mapped "$1"); do [[ " ${BESIDE[$1]} " == *" $port "* ]] || return 1; done
}
forgot_there() { [ -z "$(tracked dmz-a "sport=$1 dport=$TUNNEL")$(tracked dmz-a "sport=$2 dport=$TUNNEL")" ]; }
# both NAME COUNT FIRST [ARGUMENT...]: one after the other; here no port can send and receive.
both() {
    local name=$1 c
    shift
    for c in a b; do
        media "$name-$c" $c "$@"
        came "$name-$c" || return 1
    done
}

# ---------------------------------------------------------------- no way but by the dmz-relay

capture silent dmz-a eth0 tcp and src port $TUNNEL
call_up
check "media goes by the dmz-relay from the first packet on" both forwarded 50 $FIRST --rate 100
FIRST=$((FIRST + 50))
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
BESIDE[a]=$(mapped a | tr ' ' '\n' | grep -vx "$a_port" | xargs)
BESIDE[b]=$(mapped b | tr ' ' '\n' | grep -vx "$b_port" | xargs)
a_said=$(segments "$a_port") b_said=$(segments "$b_port")
check "the capture has what it said before" test "$a_said" -gt 5 -a "$b_said" -gt 5

# ---------------------------------------------------------------- a reverse path filter

# The source of a spoofed segment is routed by the outer interface, but it comes by the inner one. The rules let it
# through: the filter is all that stops it.
for c in a b; do
    rp_filter $c 1
    is "nat-$c: its reverse path filter has dropped nothing so far" "$(rp_dropped $c)" 0
    spoofing $c
done
for c in a b; do check "nat-$c: it drops spoofed segments" wait_for 20 at_least 3 rp_dropped $c; done
check "media stays with the dmz-relay, and nothing is lost" both filtered 100 $FIRST --rate 100
FIRST=$((FIRST + 100))
for c in a b; do
    is "site $c: spoofed segments do not pass" "$(show $c path)" dmz-relay
    is "site $c: and none has come" "$(direct $c received) $(direct $c acks)" "0 0"
done

# ---------------------------------------------------------------- straight

for c in a b; do rp_filter $c 0; done
for c in a b; do check "site $c: the direct path is proven" wait_for 20 path_is $c direct; done
# A process that had to stand still for a moment makes media go both ways for a second: it may be tried again.
# straight: most of it is not seen by the dmz-relay.
straight() {
    local before
    before=$(relayed)
    both straight 200 $FIRST --rate 400 || return 2
    FIRST=$((FIRST + 200))
    count=$(($(relayed) - before))
    [ $count -lt 200 ]
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
    media back a 400 $FIRST --rate 200
    FIRST=$((FIRST + 400))
    wait_for 10 at_least $((sent + 100)) direct a sent || return 2
    no_spoofing a
    wait_for 10 path_is a dmz-relay && wait_for 10 path_is b dmz-relay || return 2
    finish_of back 30
    finish_of got-back 30
    spoofing a
    lost=$((400 - $(field got-back .packets)))
    [ $lost -le 40 ]
}
check "when the direct path is cut, media goes by the dmz-relay, and at most 200 ms are lost" thrice cut
say "lost: $lost packets of 200 a second"
for c in a b; do check "site $c: it is proven again" wait_for 20 path_is $c direct; done

# ---------------------------------------------------------------- two calls at once

# same_connection COMPANY: its meeting is the one that began with the first call.
same_connection() {
    local port=$a_port
    [ "$1" = a ] || port=$b_port
    [ "$(show "$1" mapped)" = "${NAT_OUT[$1]}:$port" ] && ! forgot "$1" "$port"
}
one=$CALL
media one a 300 $FIRST --rate 100
PHONES=9010 LABEL=201
call_up
for c in a b; do
    check "site $c: another call at once: the direct path is its way, too" wait_for 20 path_is $c direct
    check "site $c: by the same connection" same_connection $c
    refuse "nat-$c: which is beside the tunnel" only_the_tunnel $c
done
check "nothing of the first call is lost" came one
sent=$(direct a sent)
media two a 300 $FIRST --rate 100
FIRST=$((FIRST + 300))
wait_for 10 at_least $((sent + 50)) direct a sent || bail "the second call has no media on the direct path"
check "site a hangs up the first call" ctl inner-a call end "$one"
for c in a b; do check "site $c: only the SAs of the second one are left" wait_for 10 sas_at inner-$c 2; done
check "nothing of the second one is lost meanwhile" came two
check "and it goes straight" at_least $((sent + 200)) direct a sent
for c in a b; do
    check "site $c: the direct path stays" wait_for 20 path_is $c direct
    check "site $c: on the same connection" same_connection $c
done
check "media goes on there" thrice straight

# ---------------------------------------------------------------- the end

# The first RST of site a is lost.
in_ns nat-a nft add rule inet spoofing raw iifname inside ip saddr "${INNER[a]}" "tcp flags & rst == rst" \
    quota until 79 bytes counter drop || bail "rule of nat-a"
check "site a hangs up the last call" ctl inner-a call end "$CALL"
ended=$SECONDS
check "nat-a: within 5 s its router has forgotten the connection, though a RST is lost" within 5 forgot a "$a_port"
check "nat-b: and so has the other" within 5 forgot b "$b_port"
for c in a b; do check "nat-$c: which has nothing left of both calls" within 5 only_the_tunnel $c; done
check "dmz-a: and its own firewall" within 5 forgot_there "$a_port" "$b_port"
say "after $((SECONDS - ended)) s; 1 s of it is how long connection tracking keeps what a RST has ended"
end_capture silent
is "since the hand-over the dmz-relay has sent nothing on these connections, not even a RST" \
    "$(segments "$a_port") $(segments "$b_port")" "$a_said $b_said"
PHONES=9000 LABEL=101

# ---------------------------------------------------------------- a site without NAT; delay, and loss

in_ns nat-b nft flush chain ip translation postrouting || bail "NAT of nat-b"
in_ns net ip route add 10.2.0.0/16 via "${NAT_OUT[b]}" || bail "route to site b"
# Plain UDP between the phones, to compare with.
lets_out a udp dport 7777
for chain in came forward; do
    in_ns nat-b nft insert rule inet firewall $chain udp dport 7777 accept || bail "rule of nat-b"
done
call_up
for c in a b; do check "a call with a site without NAT: the direct path of site $c is proven" wait_for 20 path_is $c direct; done
like "site b is seen as it is" "$(show a other_mapped)" "^${INNER[b]}:[0-9]+\$"
# delay PORT: the median in ms between the capture at site a and that at site b, of datagrams to PORT there.
# How many of them came, then.
cat >"$W/delay.py" <<'END'
import statistics, struct, sys
def datagrams(name):
    data, at, out = open(name, "rb").read(), 24, {}
    while at + 16 <= len(data):
        s, us, length, _ = struct.unpack_from("<4I", data, at)
        ip = data[at + 30:at + 16 + length]
        head = (ip[0] & 15) * 4
        out.setdefault(ip[head + 8:], (s * 1000 + us / 1000, struct.unpack_from("!H", ip, head + 2)[0]))
        at += 16 + length
    return out
sent, came = datagrams(sys.argv[1]), datagrams(sys.argv[2])
delays = [t - sent[d][0] for d, (t, port) in came.items() if d in sent and port == int(sys.argv[3])]
print("%.2f" % statistics.median(delays), len(delays))
END
delay() { python3 "$W/delay.py" "$W/from-a.pcap" "$W/at-b.pcap" "$1"; }
# as_udp: as many packets by the direct path (two PINGs that are lost make some go both ways) as by plain UDP, side by
# side, over a link that loses 2 % each way.
as_udp() {
    local before
    before=$(direct a sent)
    capture from-a lan-a eth0 udp
    capture at-b lan-b eth0 udp
    media udp a 300 $FIRST --rate 300
    send plain lan-a --from "${LAN[a]}:7777" --to "${LAN[b]}:7777" --key "$key_a" --count 300 --rate 300
    FIRST=$((FIRST + 300))
    finish_of plain 30
    finish_of udp 30
    finish_of got-udp 30
    end_capture from-a
    end_capture at-b
    read -r plain plain_came <<<"$(delay 7777)"
    read -r direct direct_came <<<"$(delay 9000)"
    [ $(($(direct a sent) - before)) = 300 ]
}
invalid="$(invalid nat-a) $(invalid nat-b)"
link net:to-b loss=2 >"$W/loss.json"
check "with 2 % loss it stays the way" thrice as_udp
say "median of plain UDP $plain ms, $plain_came of 300 came; direct $direct ms, $direct_came came"
check "the delay is that of plain UDP, and not that by the dmz-relay, which is 40 ms more" \
    awk "BEGIN { exit !(${direct:-999} < $plain + 5) }"
check "and no more is lost than of plain UDP" test "$direct_came" -ge $((plain_came - 20))
link net:to-b loss=0 >"$W/loss.json"
PACKETS=${MEET_PACKETS-100}
# on_the_way FROM: packets that the site has sent by the direct path, less those that came by it.
on_the_way() { echo $(($(direct "$1" sent) - $(direct "$(other "$1")" received))); }
before="$(on_the_way a) $(on_the_way b)"
check "media goes straight, all of it" both open $PACKETS $FIRST --rate "${MEET_RATE-200}"
FIRST=$((FIRST + PACKETS))
for c in a b; do say "site $c: $(direct $c sent) packets went straight, $(direct $c rewinds) rewinds"; done
is "nothing of it was lost on the direct path" "$(on_the_way a) $(on_the_way b)" "$before"
is "no router calls anything of it invalid" "$(invalid nat-a) $(invalid nat-b)" "$invalid"

# ---------------------------------------------------------------- an address that may be no more

sed -i "s/^direct-to = .*/direct-to = 198.51.100.0\/24, 2001:db8:b::\/48/" "$W/hosts/inner-a/etc/media-relay/inner-relay.ini"
ctl inner-a reload >/dev/null || bail "reload of site a"
for c in a b; do check "direct-to does not name it after a reload: site $c leaves the direct path" wait_for 10 path_is $c dmz-relay; done
check "and says why" wait_for 10 grep -q "direct-to allows the address of the other site no more" "$W/inner-a.log"
check "the call goes on" both still 20 $FIRST --rate 100
ctl inner-a call end "$CALL" >/dev/null
for c in a b; do wait_for 10 direct_is $c off || bail "site $c has a direct path without a call"; done
call_up
check "in a new call that address is refused" wait_for 15 refused_by a
is "and media goes by the dmz-relay" "$(show b path)" dmz-relay
ctl inner-a call end "$CALL" >/dev/null

# ---------------------------------------------------------------- IPv6

declare -A NET6=([a]=2001:db8:a [b]=2001:db8:b [dmz]=2001:db8:d)
RELAY6=${NET6[dmz]}::10
for name in inner-a inner-b dmz; do kill -TERM "${PID[$name]}"; done
for name in inner-a inner-b dmz; do finish_of $name 10 || bail "$name: $(tail -n 3 "$W/$name.log")"; done
address net to-dmz-a "${NET6[dmz]}::1/64"
address dmz-a eth0 "$RELAY6/64"
in_ns dmz-a ip route add default via "${NET6[dmz]}::1"
for chain in input output; do
    in_ns dmz-a nft insert rule inet firewall $chain ip6 version 6 meta l4proto "{ tcp, ipv6-icmp }" accept || bail "rules of dmz-a"
done
in_ns net sysctl -qw net.ipv6.conf.all.forwarding=1
for c in a b; do
    address net to-$c "${NET6[$c]}:1::1/64"
    address nat-$c internet "${NET6[$c]}:1::2/64"
    address nat-$c inside "${NET6[$c]}::1/64"
    address inner-$c eth0 "${NET6[$c]}::10/64"
    in_ns nat-$c sysctl -qw net.ipv6.conf.all.forwarding=1
    in_ns nat-$c ip route add default via "${NET6[$c]}:1::1"
    in_ns net ip route add "${NET6[$c]}::/64" via "${NET6[$c]}:1::2"
    in_ns inner-$c ip route add default via "${NET6[$c]}::1"
    in_ns nat-$c nft insert rule inet firewall own meta l4proto ipv6-icmp accept || bail "rules of nat-$c"
    lets_out $c ip6 saddr "${NET6[$c]}::10" ip6 daddr "$RELAY6" tcp dport $TUNNEL
    in_ns "nat-$c" nft add rule inet spoofing raw iifname inside ip6 saddr "$RELAY6" tcp sport $TUNNEL notrack &&
        in_ns "nat-$c" nft insert rule inet firewall forward iifname inside oifname internet ct state untracked \
            ip6 saddr "$RELAY6" accept || bail "spoofing of nat-$c"
    sed -i "s/^address = $RELAY:.*/address = [$RELAY6]:$TUNNEL/; s/^direct-to = .*/direct-to = ${NET6[$(other $c)]}::\/48/" \
        "$W/hosts/inner-$c/etc/media-relay/inner-relay.ini"
done
sed -i "s/^listen = $RELAY:$TUNNEL/listen = [$RELAY6]:$TUNNEL/" "$W/hosts/dmz-a/etc/media-relay/dmz-relay.ini"
launch_host dmz dmz-a dmz-relay
for c in a b; do launch_host inner-$c inner-$c inner-relay; done
tunnels_up inner-a inner-b
call_up
for c in a b; do check "IPv6: the direct path of site $c is proven" wait_for 20 path_is $c direct; done
like "site b is seen as it is" "$(show a other_mapped)" "^\[${NET6[b]}::10\]:[0-9]+\$"
check "media comes, octet for octet" both six 100 $FIRST --rate 200
for c in a b; do check "and goes straight from site $c" at_least 20 direct $c sent; done
for c in a b; do is "site $c: nothing was forged" "$(direct $c forged)" 0; done

# ---------------------------------------------------------------- a connection of the two takes its place

for c in a b; do
    lets_out $c ip6 saddr "${NET6[$c]}::10" ip6 daddr "${NET6[$(other $c)]}::10" meta l4proto tcp
    ctl inner-$c reload >/dev/null || bail "reload of site $c"
done
for c in a b; do check "site $c: both may open a connection at once now: media goes there" wait_for 20 path_is $c punched; done
for c in a b; do check "and the meeting of site $c is ended" wait_for 20 direct_is $c off; done
like "it says why" "$(direct a why)" "both have opened at once"
check "media comes, octet for octet" both seven 100 $((FIRST + 100)) --rate 200
done_testing
