#!/bin/bash
# TCP by simultaneous open between two intranets behind strict NAT routers, without any privilege: media of a call moves
# to a connection that both inner-relays open at once, and has the delay of the direct path there, against plain UDP on
# it in the same run; when the path is cut, it goes by the dmz-relay again. It goes on there while there is no dmz-relay.
# When the call ends both NATs forget the connection, although an RST is lost. With raw sockets a lost segment holds up no
# other one. Where a NAT draws ports at random, and where direct-to does not allow it, it stays there, and call show says why.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/intranets.sh"
. "$(dirname "$0")/lib/placed.sh"

SLOW[net:to-dmz-a]="delay=20"
SLOW[net:to-b]="delay=0"
public_host dmz-a "$RELAY"
for c in a b; do
    intranet $c
    lets_out $c meta l4proto tcp
    lets_out $c udp sport 9100
done
in_ns nat-a nft -f - <<END || bail "rules of nat-a"
table inet cut {
    chain forward { type filter hook forward priority filter - 1; }
    chain once { limit rate 1/day burst 1 packets counter drop; }
    chain early {
        type filter hook prerouting priority raw - 1
        ip saddr ${NAT_OUT[b]} tcp flags & rst == rst jump once
        ip daddr ${NAT_OUT[b]} tcp flags & rst == rst jump once
    }
}
END
dropped() { in_ns nat-a nft -j list chain inet cut once | jq '[.. | .counter? // empty | .packets?] | add'; }
host_firewall dmz-a <<RULES
    chain let-in {
        ip saddr { ${NAT_OUT[a]}, ${NAT_OUT[b]} } tcp dport $TUNNEL ct state new accept
    }
    chain let-out { }
RULES

# Nobody has a raw socket at first.
direct_to_the_other() { sed -i "/^ring-timeout/a direct-to = ${NAT_OUT[$(other "$1")]}" "$2"; }
sites_up direct_to_the_other

# ---------------------------------------------------------------- words

punch() { status_of inner-"$1" ".sites[0].punch.$2"; }
punch_is() { [ "$(punch "$1" state)" = "$2" ]; }
why_is() { [[ "$(show "$1" punch_why)" == $2 ]]; }

# medians PORT...: of the one-way time of datagrams to each of these ports, in us: between the captures of the phones.
# With PART=95 it is not half of them that take so long at most, but 95 %.
cat >"$W/medians.py" <<'END'
import os, struct, sys
def read(name):
    data = open(name, "rb").read()
    at, nano = 24, data[:4] in (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d")
    while at + 16 <= len(data):
        s, part, held, _ = struct.unpack_from("<IIII", data, at)
        frame = data[at + 16:at + 16 + held]
        at += 16 + held
        if len(frame) > 62 and frame[12:14] == b"\x08\x00" and frame[23] == 17:
            yield struct.unpack_from(">H", frame, 36)[0], frame[42:], s * 1e6 + part / (1e3 if nano else 1)
sent = {payload: when for _, payload, when in reversed(list(read(sys.argv[1])))}
times = {}
for port, payload, when in read(sys.argv[2]):
    if payload in sent:
        times.setdefault(port, []).append(when - sent[payload])
for port in sys.argv[3:]:
    all = sorted(times[int(port)])
    print(int(all[len(all) * int(os.environ.get("PART", 50)) // 100]), end=" ")
END
medians() { python3 "$W/medians.py" "$W/left.pcap" "$W/right.pcap" "$@"; }
# beside NAME: media of the call from a to b, and plain UDP on the direct path, in the same second; their medians are in
# MEDIA_US and UDP_US, and FIRST is the number of the next packet.
FIRST=1
beside() {
    capture left lan-a eth0 udp
    capture right lan-b eth0 udp
    send_now open-$1 lan-b --from "${LAN[b]}:9100" --to "${NAT_OUT[a]}:9100" --key "$key_b" --count 1
    receive got-udp-$1 lan-b "${LAN[b]}:9100" --key "$key_a" --count 100 --wait 20 --timeout 3
    media $1 a 200 $FIRST --rate 100
    FIRST=$((FIRST + 200))
    send_now udp-$1 lan-a --from "${LAN[a]}:9100" --to "${NAT_OUT[b]}:9100" --key "$key_a" --count 100 --rate 50 --ssrc 7
    finish_of got-udp-$1 30 && came $1 || return 1
    end_capture left
    end_capture right
    read -r MEDIA_US UDP_US <<<"$(medians 9000 9100)"
}

# ---------------------------------------------------------------- both NATs keep ports

call_up
media first a 50 1 --rate 100
check "media goes by the dmz-relay from the first packet on" came first
FIRST=51
for c in a b; do check "site $c: both have opened a connection at once, and it is proven" wait_for 15 path_is $c punched; done
for c in a b; do
    port=$(show $c mapped)
    is "site $c is told where its tunnel is seen" "${port%:*}" "${NAT_OUT[$c]}"
    like "which is what its router has" "$(connections "nat-$c")" "tcp ${INNER[$c]} $RELAY $TUNNEL ${port##*:}"
    is "and the other site is told the same" "$(show "$(other $c)" other_mapped)" "$port"
    is "nat-$c calls nothing invalid" "$(invalid "nat-$c")" 0
done
# straight: with the delay of the direct path, and most of it not seen by the dmz-relay.
straight() {
    local before
    wait_for 20 path_is a punched && wait_for 20 path_is b punched || return 2
    before=$(relayed)
    beside "straight$FIRST" || return 2
    copies=$(($(relayed) - before))
    [ $copies -ge 1 ] && [ $copies -lt 100 ] && [ "$MEDIA_US" -lt $((UDP_US + 3000)) ]
}
# thrice COMMAND...: until it is true, since a process may have stood still; a status of 2 is final.
thrice() {
    local try status
    for try in 1 2 3; do
        status=0
        "$@" || status=$?
        [ $status = 1 ] || return $status
        say "$* again, after try $try"
    done
    return 1
}
check "media goes there, octet for octet, with the delay of plain UDP on the direct path" thrice straight
say "one-way medians: media $MEDIA_US us, plain UDP on the direct path $UDP_US us; $copies packets by the dmz-relay, too"
check "which is not that over the public host" test "$MEDIA_US" -lt 20000
for c in a b; do is "site $c: nothing was forged" "$(punch $c forged)" 0; done

# ---------------------------------------------------------------- cut

# cut: in the middle of media the routers let nothing from one to the other any more.
cut() {
    local sent
    wait_for 20 path_is a punched && wait_for 20 path_is b punched || return 2
    sent=$(punch a sent)
    media back$FIRST a 300 $FIRST --rate 200
    wait_for 10 at_least $((sent + 100)) punch a sent || return 2
    in_ns nat-a nft add rule inet cut forward ip daddr "${NAT_OUT[b]}" drop || return 2
    wait_for 10 path_is a dmz-relay && wait_for 10 path_is b dmz-relay || return 2
    finish_of back$FIRST 30
    finish_of got-back$FIRST 30
    in_ns nat-a nft flush chain inet cut forward || return 2
    lost=$((300 - $(field got-back$FIRST .packets)))
    FIRST=$((FIRST + 300))
    [ $lost -le 40 ]
}
check "when it is cut, media goes by the dmz-relay, and at most 200 ms are lost" thrice cut
say "lost: $lost packets of 200/s"
# hang_up: the connection goes with the call.
hang_up() {
    check "site a hangs up" ctl inner-a call end "$CALL"
    for c in a b; do check "site $c: the connection ends with the call" wait_for 10 punch_is $c off; done
}
# kept LETTER: the NAT has the connection between both, as one that goes on.
kept() { [ -n "$(tracked "nat-$1" ESTABLISHED "dst=${NAT_OUT[$(other "$1")]}" tcp)" ]; }
forgotten() { ! kept "$1"; }
for c in a b; do check "nat-$c has the connection" kept $c; done
is "no RST was dropped so far" "$(dropped)" 0
hang_up
for c in a b; do check "nat-$c keeps it no more" wait_for 5 forgotten $c; done
is "although the first RST was dropped before it was seen" "$(dropped)" 1
call_up
for c in a b; do check "site $c: the next call has one from the same ports" wait_for 30 path_is $c punched; done

# ---------------------------------------------------------------- no dmz-relay

stop dmz || :
for c in a b; do check "site $c: the tunnel is down" wait_for 10 tunnel_not_up inner-$c; done
for c in a b; do check "site $c: the connection stays" path_is $c punched; done
media alone a 150 $FIRST --rate 100
check "media goes on there" came alone
for c in a b; do is "site $c: the connection is open as before" "$(punch $c why)" ""; done
launch_host dmz dmz-a dmz-relay
tunnels_up inner-a inner-b
sessions_are_up() { [ "$(status_of inner-a '.sites[0] | [.ours, .theirs] | index("up") != null')" = true ]; }
check "the sites talk to each other again" wait_for 20 sessions_are_up

# ---------------------------------------------------------------- loss, where there is a raw socket

for c in a b; do kill -TERM "${PID[inner-$c]}"; done
for c in a b; do finish_of inner-$c 10 || bail "inner-$c: $(tail -n 3 "$W/inner-$c.log")"; done
# shellcheck disable=SC2034
NET_CAPS=("${RAW_CAPS[@]}")
for c in a b; do
    sed -i "/^raw-socket = /d; /^\[tunnel\]\$/a raw-socket = yes" "$W/hosts/inner-$c/etc/media-relay/inner-relay.ini"
    launch_host inner-$c inner-$c inner-relay
done
tunnels_up inner-a inner-b
call_up
# lossy: segments that come behind one that was lost do not wait for it. What the sender's TCP waits for while it mends a
# loss stays: 4 to 5 ms, and up to 18 where processes have to wait for a CPU; in order it is 21 to 27 on an idle machine.
lossy() {
    local early
    wait_for 20 path_is a punched && wait_for 20 path_is b punched || return 2
    early=$(punch b early)
    capture left lan-a eth0 udp
    capture right lan-b eth0 udp
    send_now open-$FIRST lan-b --from "${LAN[b]}:9100" --to "${NAT_OUT[a]}:9100" --key "$key_b" --count 5
    media lossy$FIRST a 300 $FIRST --rate 100
    send udp-$FIRST lan-a --from "${LAN[a]}:9100" --to "${NAT_OUT[b]}:9100" --key "$key_a" --count 300 --rate 100 --ssrc 7
    finish_of udp-$FIRST 30 && finish_of lossy$FIRST 30
    finish_of got-lossy$FIRST 30
    FIRST=$((FIRST + 300))
    end_capture left
    end_capture right
    read -r MEDIA_US UDP_US <<<"$(PART=95 medians 9000 9100)"
    EARLY=$(($(punch b early) - early))
    [ "$EARLY" -ge 200 ] && [ "$MEDIA_US" -lt $((UDP_US + 20000)) ]
}
link net:to-b delay=10 loss=2 >"$W/loss.json"
check "with raw sockets, and 2 % loss, 95 % of the packets take 20 ms more than 95 % of plain UDP at most" thrice lossy
say "within $MEDIA_US us, plain UDP $UDP_US us; $EARLY of 300 by segments, $(punch a returns) times back to the dmz-relay"
link net:to-b delay=0 loss=0 >"$W/loss.json"
for c in a b; do is "site $c: no segment was taken for a forged one" "$(punch $c forged)" 0; done

# ---------------------------------------------------------------- one that draws ports at random

in_ns nat-b nft flush chain ip translation postrouting || bail "NAT of nat-b"
in_ns nat-b nft add rule ip translation postrouting oifname internet masquerade random || bail "NAT of nat-b"
in_ns nat-b sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_close=1 || bail "timeouts of nat-b"
hang_up
# What it keeps of the one that was closed has its port yet.
all_forgotten() { [ -z "$(tracked nat-b "dst=${NAT_OUT[a]}" tcp)" ]; }
check "nat-b has nothing of it any more" wait_for 20 all_forgotten
call_up
for c in a b; do
    check "site $c: NAT that draws ports at random: it does not open, and that is said" \
        wait_for 20 why_is $c "TCP does not open: *"
done
media over a 50 1 --rate 100
check "media goes by the dmz-relay" came over

# ---------------------------------------------------------------- an address that may not be

sed -i "s/^direct-to = .*/direct-to = 198.51.100.0\/24/" "$W/hosts/inner-b/etc/media-relay/inner-relay.ini"
ctl inner-b reload >/dev/null || bail "reload of site b"
check "an address that direct-to does not name is refused" wait_for 30 why_is b "direct-to does not allow *"
check "and the other site knows why" wait_for 10 why_is a "the other site: direct-to does not allow *"
is "media goes by the dmz-relay" "$(show a path) $(show b path)" "dmz-relay dmz-relay"
like "which status says in text, too" "$(ctl inner-b status)" "site ${SITE[a]}, punch: off, direct-to does not allow "

# ---------------------------------------------------------------- one site alone has direct-to

hang_up
for c in a b; do kill -TERM "${PID[inner-$c]}"; done
for c in a b; do finish_of inner-$c 10 || bail "inner-$c: $(tail -n 3 "$W/inner-$c.log")"; done
sed -i "/^direct-to = /d" "$W/hosts/inner-b/etc/media-relay/inner-relay.ini"
for c in a b; do launch_host inner-$c inner-$c inner-relay; done
tunnels_up inner-a inner-b
wait_for 10 both_sites_are_up || bail "the dmz-relay does not have both sites"
call_up
check "the site that has it says that the other one has not asked" \
    wait_for 10 why_is a "the other site has not asked"
like "so does status" "$(ctl inner-a status)" "site ${SITE[b]}, punch: off, the other site has not asked"
like "and call show" "$(ctl inner-a call show "$CALL")" "not punched  *the other site has not asked"
like "which knows why it is not direct" "$(ctl inner-a call show "$CALL")" "not direct  *the ini file does not allow spoofing"
unlike() { ! grep -q -- "$2" <<<"$1"; }
check "the other one's status has nothing of it" unlike "$(ctl inner-b status)" "punch:"
done_testing
