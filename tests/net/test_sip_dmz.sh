#!/bin/bash
# Kamailio in the DMZ, on a host beside the dmz-relay: phones on the Internet register there by TLS, phones
# inside by UDP, and it asks the inner-relay through the internal firewall. Both firewalls have the rules of
# docs/replace-rtpengine.md for it, taken from there, and no others.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/sip.sh"

PROXY=203.0.113.11
PROXY_IN=172.16.1.11
NG_PORT=2223

company a
dmz_host a proxy 11
{ rules_anybody a && rules_documented "external firewall, Kamailio in the DMZ"; } | firewall fwx-a
{ rules_tunnel a && rules_documented "internal firewall, Kamailio in the DMZ"; } | firewall fwi-a
show_firewalls
capture inward fwi-a dmz
capture internet fwx-a internet
sip_daemons a kamailio-dmz
SIP_HOST=proxy-a
SIP_LOCAL=$EXAMPLES/kamailio-dmz/kamailio-local.cfg
kamailio a
PHONE_SIP=5060
phone bob lan-a "${LAN[a]}" "$PROXY_IN:$SIP_INSIDE;transport=udp" 440
phone alice inet $WEB "$PROXY:$SIP_PORT;transport=tls" 880
phones_registered alice bob

for row in "alice bob alice" "bob alice bob"; do
    read -r from to ends <<<"$row"
    dial "$from" "$to"
    check "$from calls $to: two SAs on both relays" wait_for 10 sas a 2
    check "$from calls $to: media both ways" flows a 100
    tell "$ends" hangup >>"$W/tell.out"
    check "$ends hangs up: no SA is left after a second" within 1 sas a 0
    check "alice hears bob" wait_for 5 heard alice 440 1.5
    check "bob hears alice" wait_for 5 heard bob 880 1.5
done
is "nothing failed authentication" "$(verdict dmz-a auth-fail)+$(verdict inner-a auth-fail)" 0+0
end_capture inward
end_capture internet
tunnel="tcp port $TUNNEL and host ${INNER[a]} and host ${DMZ_IN[a]}"
ng="udp port $NG_PORT and host ${INNER[a]} and host $PROXY_IN"
sip="udp src port $SIP_INSIDE and udp dst port $SIP_INSIDE and host $PROXY_IN"
check "internal firewall: requests of ng from the proxy" test "$(packets inward "$ng and src host $PROXY_IN")" -ge 6
check "internal firewall: SIP" test "$(packets inward "$sip")" -ge 10
is "internal firewall: these and the tunnel, nothing else" "$(packets inward "$QUIET and not ($tunnel) and not ($ng) and not ($sip)")" 0
is "external firewall: the two UDP ports, and TLS to the proxy, nothing else" "$(packets internet "$QUIET and not \
    (host ${DMZ_OUT[a]} and udp portrange $MEDIA-$((MEDIA + 1))) and not (host $PROXY and tcp port $SIP_PORT)")" 0
nothing_refused

# ng SPACE COMMAND: in one datagram; prints the reply.
ng() {
    in_ns "$1" timeout 1 rtpengine-ng-client "$2" --proxy-address="${INNER[a]}" --proxy-port=$NG_PORT 2>&1
}
like "the proxy's host may ask" "$(ng proxy-a ping)" pong
before=$(fw_count fwi-a refused)
refuse "the dmz-relay's host gets no answer: the firewall refuses it" ng dmz-a ping
check "and counts it" at_least $((before + 1)) fw_count fwi-a refused
refuse "a host inside gets no answer, either" ng lan-a ping
is "the inner-relay counts it" "$(stats_of inner-a .counters.ng_foreign)" 1

# options SPACE ADDRESS: asks Kamailio from that address; prints the first line of its answer.
options() {
    in_ns "$1" python3 - "$2" "$PROXY_IN" $SIP_INSIDE <<'END'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 5060))
s.settimeout(1)
lines = ["OPTIONS sip:example.com SIP/2.0", "Via: SIP/2.0/UDP %s:5060;branch=z9hG4bKx" % sys.argv[1], "Max-Forwards: 7",
         "From: <sip:x@example.com>;tag=x", "To: <sip:example.com>", "Call-ID: x@" + sys.argv[1], "CSeq: 1 OPTIONS",
         "Content-Length: 0", "", ""]
s.sendto("\r\n".join(lines).encode(), (sys.argv[2], int(sys.argv[3])))
print(s.recv(1500).decode().split("\r\n")[0])
END
}
like "Kamailio answers SIP from the inside" "$(options lan-a 10.1.1.2)" '200 OK'
refuse "SIP from the DMZ, which would need no password, gets no answer" options dmz-a "${DMZ_IN[a]}"
done_testing
