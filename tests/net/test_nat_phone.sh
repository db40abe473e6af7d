#!/bin/bash
# A corporate network behind NAT and a strict stateful firewall, which lets out one TCP connection, and nothing
# in; the dmz-relay on a public host; examples/behind-nat. A SIP phone on the Internet and one inside call
# each other, started from either end; another one outside is behind NAT itself. The NAT router forgets a
# connection that is silent for two seconds; at last it forgets the tunnel in the middle of a call.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/sip.sh"
. "$(dirname "$0")/lib/intranets.sh"

RELAY=${DMZ_OUT[a]}

public_host dmz-a "$RELAY"
intranet a random
forgets nat-a 2
home random
lets_out a ip saddr "${INNER[a]}" ip daddr "$RELAY" tcp dport $TUNNEL
host_firewall dmz-a <<RULES
    chain let-in {
        udp dport { $MEDIA, $((MEDIA + 1)) } accept
        tcp dport { $TUNNEL, $SIP_PORT } ct state new accept
    }
    chain let-out {
        udp sport { $MEDIA, $((MEDIA + 1)) } accept
    }
RULES
show_rules_of nat-a dmz-a
capture outward nat-a internet
launch_example behind-nat dmz-relay
launch_example behind-nat inner-relay-a
tunnels_up inner-a
SIP_LOCAL=$EXAMPLES/behind-nat/kamailio-local-a.cfg kamailio a
phone bob lan-a "${LAN[a]}" "${INNER[a]}:$SIP_INSIDE;transport=udp" 440
phone alice inet $WEB "$RELAY:$SIP_PORT;transport=tls" 880
phone carol home 192.168.1.1 "$RELAY:$SIP_PORT;transport=tls" 1100
phones_registered alice bob carol

declare -A TONE=([alice]=880 [bob]=440 [carol]=1100)
both() { sas_at inner-a "$1" && sas_at dmz "$1"; }
for row in "bob alice alice $WEB" "alice bob bob $WEB" "bob carol bob $NAT_ADDRESS"; do
    read -r from to ends seen <<<"$row"
    dial "$from" "$to"
    check "$from calls $to: two SAs on both relays" wait_for 10 both 2
    check "$from calls $to: media both ways" flows a 100
    is "the phone outside is at" "$(sources a external)" "$seen"
    tell "$ends" hangup >>"$W/tell.out"
    check "$ends hangs up: no SA is left after a second" within 1 both 0
    check "$from hears $to" wait_for 5 heard "$from" "${TONE[$to]}" 1.5
    check "$to hears $from" wait_for 5 heard "$to" "${TONE[$from]}" 1.5
done
is "nothing failed authentication" "$(verdict dmz auth-fail)+$(verdict inner-a auth-fail)" 0+0

only_outward a "$RELAY" $TUNNEL
ports=$(connections nat-a | cut -d ' ' -f 5)
peer=$(status_of dmz '.tunnels[] | select(.state == "up") | .peer')
like "the dmz-relay sees the tunnel where conntrack has it" "$peer" "^${NAT_OUT[a]}:($(paste -sd '|' <<<"$ports"))\$"
end_capture outward
is "nothing else was on the wire" \
    "$(packets outward "$QUIET and not (tcp port $TUNNEL and host $RELAY and host ${NAT_OUT[a]})")" 0
is "the relay's host refused nothing" "$(fw_count dmz-a refused)" 0

# The router forgets all that it knows in the middle of a call: what comes then is invalid, or new and inward.
dial bob alice
check "bob calls alice once more: media both ways" flows a 50
begun=$(now_ms)
in_ns nat-a sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_established=0
forgotten() { ! connections nat-a | cut -d ' ' -f 5 | grep -qxF "$ports"; }
check "the NAT router has forgotten the tunnel" wait_for 5 forgotten
forgets nat-a 2
check "another one is opened, from the inside" wait_for 10 at_least $((2 * $(connections_of 1))) fw_count nat-a opened
check "and the call goes on: media both ways" flows a 50
say "the call was silent for less than $(($(now_ms) - begun)) ms"
is "under the SAs that it had" "$(sources a external) $(status_of inner-a .sas)" "$WEB 2"
check "segments of the old connection were dropped" test "$(($(invalid nat-a) + $(fw_count nat-a refused)))" -gt 0

# That the counters count: somebody who knows the tunnel's port at the NAT router, and somebody with UDP.
before=$(fw_count nat-a inward)
in_ns inet timeout 0.2 bash -c ": </dev/tcp/${NAT_OUT[a]}/$(connections nat-a | cut -d ' ' -f 5 | head -n 1)" 2>/dev/null
in_ns inet bash -c "echo x >/dev/udp/${NAT_OUT[a]}/$MEDIA" 2>/dev/null
check "strangers are refused, and counted" wait_for 2 at_least $((before + 2)) fw_count nat-a inward
check "and the tunnel stays" tunnel_up inner-a
done_testing
