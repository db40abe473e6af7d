#!/bin/bash
# The firewalls themselves: what the other tests rely on. Everything but the two
# UDP ports and TCP from inside to the tunnel port is dropped and counted.
. "$(dirname "$0")/lib.sh"

topology
show_rules
capture dmz dmz eth0 udp
capture in inside eth0

refused() { fw_packets "$1" refused; }
# udp FROM-SPACE ADDRESS PORT: one datagram.
udp() { in_ns "$1" bash -c "echo x >/dev/udp/$2/$3" 2>/dev/null; }
seen() { at_least "$1" packets dmz "${@:2}"; }

for port in $DMZ_PORT $((DMZ_PORT + 1)); do
    udp inet $DMZ_RTP $port
    check "UDP $port reaches the DMZ" wait_for 5 seen 1 "udp dst port $port and ip"
    udp inet $DMZ_RTP6 $port
    check "UDP $port reaches the DMZ over IPv6" wait_for 5 seen 1 "udp dst port $port and ip6"
done
before=$(refused fwx)
udp inet $DMZ_RTP $((DMZ_PORT - 1))
udp inet $DMZ_RTP $((DMZ_PORT + 2))
udp inet $DMZ_RTP6 $((DMZ_PORT + 2))
udp inet $DMZ_TUNNEL $DMZ_TCP
check "other UDP ports are dropped and counted" wait_for 2 at_least $((before + 4)) refused fwx
before=$(refused fwx)
in_ns inet timeout 0.3 bash -c ": </dev/tcp/$DMZ_TUNNEL/$DMZ_TCP" 2>/dev/null
check "TCP from the Internet is dropped" wait_for 2 at_least $((before + 1)) refused fwx
before=$(refused fwx)
udp dmz $CLIENT 5000
check "UDP from the DMZ by another port is dropped" wait_for 2 at_least $((before + 1)) refused fwx

before=$(refused fwi)
udp dmz 10.9.0.10 5000
udp dmz 10.9.1.20 5000
in_ns dmz timeout 0.3 bash -c ": </dev/tcp/10.9.0.10/$DMZ_TCP" 2>/dev/null
check "the DMZ opens nothing inward" wait_for 2 at_least $((before + 3)) refused fwi
before=$(refused fwi)
in_ns inside timeout 0.3 bash -c ": </dev/tcp/$DMZ_TUNNEL/$((DMZ_TCP + 1))" 2>/dev/null
check "other TCP ports outward are dropped" wait_for 2 at_least $((before + 1)) refused fwi
is "no packet of these arrived inside" "$(packets in 'not arp and not icmp6 and src net 192.0.2.0/24')" 0

before=$(fw_packets fwi tunnel-back)
in_ns inside timeout 0.3 bash -c ": </dev/tcp/$DMZ_TUNNEL/$DMZ_TCP" 2>/dev/null
check "TCP to the tunnel port is answered" wait_for 2 at_least $((before + 1)) fw_packets fwi tunnel-back

cut_tunnel
before=$(fw_packets fwi tunnel-out)
in_ns inside timeout 0.3 bash -c ": </dev/tcp/$DMZ_TUNNEL/$DMZ_TCP" 2>/dev/null
is "a cut tunnel passes nothing" "$(fw_packets fwi tunnel-out)" "$before"
heal_tunnel
in_ns inside timeout 0.3 bash -c ": </dev/tcp/$DMZ_TUNNEL/$DMZ_TCP" 2>/dev/null
check "and a healed one does" wait_for 2 at_least $((before + 1)) fw_packets fwi tunnel-out
done_testing
