#!/bin/bash
# Two corporate networks behind NAT routers that let nothing in, each with an inner-relay and a Kamailio, and the
# dmz-relay on a public host; examples/intranets. A phone of each calls the other: SIP and media go from tunnel to
# tunnel.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/sip.sh"
. "$(dirname "$0")/lib/intranets.sh"

RELAY=${DMZ_OUT[a]}
CA_OF[b]=a

public_host dmz-a "$RELAY"
for c in a b; do
    intranet $c random
    lets_out $c ip saddr "${INNER[$c]}" ip daddr "$RELAY" tcp dport $TUNNEL
done
host_firewall dmz-a <<RULES
    counter strangers { }
    chain let-in {
        ip saddr { ${NAT_OUT[a]}, ${NAT_OUT[b]} } tcp dport $TUNNEL ct state new accept
    }
    chain let-out {
        udp sport { $MEDIA, $((MEDIA + 1)) } counter name "strangers" accept
    }
RULES
show_rules_of nat-a nat-b dmz-a
capture wire net any
launch_example intranets dmz-relay
for c in a b; do
    launch_example intranets inner-relay-$c
done
tunnels_up inner-a inner-b

# local_of COMPANY: its kamailio-local.cfg, so that it is as it stands once kamailio has written it.
local_of() { mirrored "$1" <"$EXAMPLES/intranets/kamailio-local-$1.cfg" >"$W/local-$1.cfg"; }
for c in a b; do
    local_of $c
    SIP_LOCAL=$W/local-$c.cfg kamailio $c
    diff "$EXAMPLES/intranets/kamailio-local-$c.cfg" "$W/kamailio-$c/kamailio-local.cfg" || bail "not the example"
done
phone bob lan-a "${LAN[a]}" "${INNER[a]}:$SIP_INSIDE;transport=udp" 440
SIP_DOMAIN=${DOMAIN[b]}
phone erin lan-b "${LAN[b]}" "${INNER[b]}:$SIP_INSIDE;transport=udp" 880
phones_registered bob erin

# known LETTER: its inner-relay knows that its one call is with the other site.
declare -A SITE=([a]=hq.example.com [b]=branch.example.com)
other() { [ "$1" = a ] && echo b || echo a; }
known() {
    [ "$(ctl_json inner-"$1" call list | jq -r '.calls[0].site')" = "${SITE[$(other "$1")]}" ] &&
        [ "$(status_of inner-"$1" '.sites[0].sas')" = 2 ]
}
no_sas() { for d in dmz inner-a inner-b; do sas_at $d 0 || return 1; done; }

for row in "bob erin@${DOMAIN[b]} erin" "erin bob@${DOMAIN[a]} erin"; do
    read -r from to ends <<<"$row"
    dial "$from" "$to"
    for c in a b; do
        check "$from calls $to: two SAs at site $c" wait_for 10 sas_at inner-$c 2
        check "media both ways at site $c" flows $c 100
    done
    is "four SAs at the dmz-relay" "$(status_of dmz .sas)" 4
    for c in a b; do check "site $c knows which site it is with" wait_for 20 known $c; done
    tell "$ends" hangup >>"$W/tell.out"
    check "$ends hangs up: no SA is left" wait_for 10 no_sas
    check "bob hears erin" wait_for 10 heard bob 880 1.5
    check "erin hears bob" wait_for 10 heard erin 440 1.5
done
for name in dmz inner-a inner-b; do is "$name: nothing failed authentication" "$(verdict $name auth-fail)" 0; done

for c in a b; do only_outward $c "$RELAY" $TUNNEL; done
is "the firewall of the dmz-relay's host refused nothing" "$(fw_count dmz-a refused)+$(invalid dmz-a)" 0+0
is "no media left it" "$(fw_count dmz-a strangers)" 0
end_capture wire
is "nothing but two tunnels was on the Internet" "$(packets wire "$QUIET and not (tcp port $TUNNEL and host $RELAY)")" 0
for port in $SIP_PORT $((SIP_PORT + 1)); do
    in_ns inet timeout 0.2 bash -c ": </dev/tcp/$RELAY/$port" 2>/dev/null
done
check "a stranger who wants to speak SIP is refused" wait_for 10 at_least 2 fw_count dmz-a refused
done_testing
