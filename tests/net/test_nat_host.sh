#!/bin/bash
# A corporate network behind NAT and a host with a public address, each with an inner-relay and a Kamailio
# that nobody can connect to; the dmz-relay on another public host; examples/behind-nat. A client on the public
# host and a phone inside call each other, started from either end: SIP and media go from tunnel to tunnel.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/sip.sh"
. "$(dirname "$0")/lib/intranets.sh"

RELAY=${DMZ_OUT[a]}
HOST=${DMZ_OUT[b]}
SEEN=10.99.0.1 # the inner-relay of the public host, as its clients see it
INNER[b]=$HOST
CA_OF[b]=a

public_host dmz-a "$RELAY"
public_host inner-b "$HOST"
in_ns inner-b ip addr add $SEEN/32 dev lo
in_ns inner-b ip route replace table local local $SEEN dev lo src "$HOST"
intranet a random
lets_out a ip saddr "${INNER[a]}" ip daddr "$RELAY" tcp dport $TUNNEL
host_firewall dmz-a <<RULES
    counter strangers { }
    chain let-in {
        ip saddr { ${NAT_OUT[a]}, $HOST } tcp dport $TUNNEL ct state new accept
        udp dport { $MEDIA, $((MEDIA + 1)) } counter name "strangers" accept
        tcp dport $SIP_PORT ct state new counter name "strangers" accept
    }
    chain let-out {
        udp sport { $MEDIA, $((MEDIA + 1)) } counter name "strangers" accept
    }
RULES
host_firewall inner-b <<RULES
    counter opened { }
    chain let-in { }
    chain let-out {
        ip daddr $RELAY tcp dport $TUNNEL ct state new counter name "opened" accept
    }
RULES
show_rules_of nat-a inner-b dmz-a
capture wire net any
launch_example behind-nat dmz-relay
launch_example behind-nat inner-relay-a
launch_example behind-nat inner-relay-b
tunnels_up inner-a inner-b

# local_of COMPANY: its kamailio-local.cfg, so that it is as it stands once kamailio has written it.
local_of() { mirrored "$1" <"$EXAMPLES/behind-nat/kamailio-local-$1.cfg" >"$W/local-$1.cfg"; }
for c in a b; do
    local_of $c
    SIP_LOCAL=$W/local-$c.cfg kamailio $c
    diff "$EXAMPLES/behind-nat/kamailio-local-$c.cfg" "$W/kamailio-$c/kamailio-local.cfg" || bail "not the example"
done
phone bob lan-a "${LAN[a]}" "${INNER[a]}:$SIP_INSIDE;transport=udp" 440
SIP_DOMAIN=${DOMAIN[b]}
phone erin inner-b "$HOST" "$SEEN:$SIP_INSIDE;transport=udp" 880
phones_registered bob erin

for row in "bob erin@${DOMAIN[b]} erin" "erin bob@${DOMAIN[a]} erin"; do
    read -r from to ends <<<"$row"
    dial "$from" "$to"
    for c in a b; do
        check "$from calls $to: two SAs at site $c" wait_for 10 sas_at inner-$c 2
        check "media both ways at site $c" flows $c 100
    done
    is "four SAs at the dmz-relay" "$(status_of dmz .sas)" 4
    tell "$ends" hangup >>"$W/tell.out"
    check "$ends hangs up: no SA is left at the dmz-relay after a second" within 1 sas_at dmz 0
    for c in a b; do check "nor at site $c" within 1 sas_at inner-$c 0; done
    check "bob hears erin" wait_for 5 heard bob 880 1.5
    check "erin hears bob" wait_for 5 heard erin 440 1.5
done
for name in dmz inner-a inner-b; do is "$name: nothing failed authentication" "$(verdict $name auth-fail)" 0; done

only_outward a "$RELAY" $TUNNEL
is "the public host opened one tunnel" "$(fw_count inner-b opened)" "$(connections_of 1)"
own="($HOST|$SEEN|127\.0\.0\.1)"
is "and conntrack has nothing more but what the host says to itself" \
    "$(connections inner-b | grep -vE "^[a-z]+ $own $own " | cut -d ' ' -f 1-4 | sort | uniq -c | xargs)" \
    "$(connections_of 1) tcp $HOST $RELAY $TUNNEL"
for s in inner-b dmz-a; do is "the firewall of $s refused nothing" "$(fw_count $s refused)+$(invalid $s)" 0+0; done
is "no media and no SIP left the dmz-relay's host" "$(fw_count dmz-a strangers)" 0
end_capture wire
is "nothing but two tunnels was on the Internet" "$(packets wire "$QUIET and not (tcp port $TUNNEL and host $RELAY)")" 0
# That the counters count.
in_ns inet timeout 0.2 bash -c ": </dev/tcp/$HOST/5061" 2>/dev/null
check "a stranger at the public host is refused" wait_for 2 at_least 1 fw_count inner-b refused
done_testing
