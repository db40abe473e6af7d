#!/bin/bash
# The laboratories of the figures themselves: what the tests with companies and phones rely on. Packets
# go where the rules let them, all others are counted at the firewall that drops them.
. "$(dirname "$0")/lib.sh"

company a b
home random
rules_anybody a | firewall fwx-a
rules_peer b a | firewall fwx-b
for c in a b; do rules_tunnel $c | firewall fwi-$c; done
show_firewalls
capture dmz-a dmz-a eth0 udp
capture dmz-b dmz-b eth0 udp
capture inner-a inner-a eth0
capture home home eth0 udp

# udp SPACE ADDRESS PORT [FROM-ADDRESS:PORT]: one datagram.
udp() {
    in_ns "$1" "$NET_TOOLS/rtpsend" --plain --count 1 --from "${4:-0.0.0.0:6000}" --to "$2:$3" >/dev/null
}
seen() { at_least 1 packets "$@"; }
refused() { fw_count "$1" refused; }
# drops TEXT FIREWALL NUMBER COMMAND...: it refuses so many packets.
drops() {
    local text=$1 firewall=$2 number=$3 before
    shift 3
    before=$(refused "$firewall")
    "$@" 2>/dev/null
    check "$text" wait_for 2 equals $((before + number)) refused "$firewall"
}
connect() { in_ns "$1" timeout 0.3 bash -c ": </dev/tcp/$2/$3"; }

for port in $MEDIA $((MEDIA + 1)); do
    udp inet "${DMZ_OUT[a]}" $port
    check "the Internet reaches UDP $port of company a" \
        wait_for 5 seen dmz-a "src host $WEB and dst port $port"
    udp dmz-a "${DMZ_OUT[b]}" $port "${DMZ_OUT[a]}:$port"
    check "its dmz-relay reaches UDP $port of company b" \
        wait_for 5 seen dmz-b "src host ${DMZ_OUT[a]} and dst port $port"
done
drops "another port of company a is refused" fwx-a 1 udp inet "${DMZ_OUT[a]}" $((MEDIA + 2))
drops "the Internet is refused at company b" fwx-b 1 udp inet "${DMZ_OUT[b]}" $MEDIA "$WEB:$MEDIA"
drops "and TCP is" fwx-a 1 connect inet "${DMZ_OUT[a]}" $TUNNEL
drops "from the DMZ nothing leaves by another port" fwx-a 1 udp dmz-a $WEB 6000
drops "the DMZ opens nothing inward: TCP" fwi-a 1 connect dmz-a "${INNER[a]}" $TUNNEL
drops "the DMZ opens nothing inward: UDP to the inner-relay" fwi-a 1 udp dmz-a "${INNER[a]}" $MEDIA
drops "the DMZ opens nothing inward: UDP to a client" fwi-a 1 udp dmz-a "${LAN[a]}" 7000
drops "a client inside cannot open the tunnel" fwi-a 1 connect lan-a "${DMZ_IN[a]}" $TUNNEL
drops "nor can it send out" fwi-a 1 udp lan-a "${DMZ_IN[a]}" $MEDIA
before=$(fw_count fwi-a in)
connect inner-a "${DMZ_IN[a]}" $TUNNEL 2>/dev/null
check "the inner-relay's host can, and is answered" wait_for 2 at_least $((before + 1)) fw_count fwi-a in
udp lan-a "${INNER[a]}" $MEDIA
check "a client inside reaches the inner-relay" \
    wait_for 5 seen inner-a "src host ${LAN[a]} and dst port $MEDIA"

# Phones: 192.168.1.N seen as one address, with ports that are not theirs.
for i in 1 50; do udp home "${DMZ_OUT[a]}" $MEDIA "192.168.1.$i:6000"; done
check "phones behind NAT reach company a" \
    wait_for 5 at_least 2 packets dmz-a "src host $NAT_ADDRESS and dst port $MEDIA"
is "from other ports than their own" "$(packets dmz-a "src host $NAT_ADDRESS and src port 6000")" 0
reply_to=$(tcpdump -n -t -r "$W/dmz-a.pcap" "src host $NAT_ADDRESS" 2>/dev/null |
    awk 'NR == 1 { n = split($2, part, "."); print part[n] }')
udp dmz-a $NAT_ADDRESS "$reply_to" "${DMZ_OUT[a]}:$MEDIA"
check "what is sent there reaches the phone" \
    wait_for 5 seen home "src host ${DMZ_OUT[a]} and dst host 192.168.1.1 and dst port 6000"
udp inet $NAT_ADDRESS "$reply_to" "$WEB:$MEDIA"
udp dmz-a $NAT_ADDRESS "$reply_to" "${DMZ_OUT[a]}:$MEDIA"
check "again" wait_for 5 at_least 2 packets home "src host ${DMZ_OUT[a]}"
is "and from elsewhere nothing does" "$(packets home "src host $WEB")" 0
done_testing
