#!/bin/bash
# Two companies, each with a Kamailio and a pair, and examples/kamailio: a phone inside one calls a phone
# inside the other. SIP goes from tunnel to tunnel by TLS between the DMZs, the media as RTP'.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/sip.sh"

company a b
sip_pair a
sip_pair b
kamailio a
kamailio b
phone bob lan-a "${LAN[a]}" "${INNER[a]}:$SIP_INSIDE;transport=udp" 440
SIP_DOMAIN=${DOMAIN[b]}
phone erin lan-b "${LAN[b]}" "${INNER[b]}:$SIP_INSIDE;transport=udp" 880
phones_registered bob erin
capture between net to-a "host ${DMZ_OUT[a]} and host ${DMZ_OUT[b]}"

for row in "bob erin@${DOMAIN[b]} erin" "erin bob@${DOMAIN[a]} erin" "bob erin@${DOMAIN[b]} bob"; do
    read -r from to ends <<<"$row"
    dial "$from" "$to"
    check "$from calls $to: two SAs in company a" wait_for 10 sas a 2
    check "$from calls $to: two SAs in company b" wait_for 10 sas b 2
    check "media both ways at company a" flows a 100
    check "media both ways at company b" flows b 50
    tell "$ends" hangup >>"$W/tell.out"
    check "$ends hangs up: no SA is left in company a after a second" within 1 sas a 0
    check "$ends hangs up: nor in company b" within 1 sas b 0
    check "bob hears erin" wait_for 5 heard bob 880 1.5
    check "erin hears bob" wait_for 5 heard erin 440 1.5
done
end_capture between
ours="udp and src portrange $MEDIA-$((MEDIA + 1)) and dst portrange $MEDIA-$((MEDIA + 1))"
check "between the companies: RTP' from port to port" test "$(packets between "$ours")" -gt 300
is "and TLS, and nothing else" "$(packets between "$QUIET and not ($ours) and not tcp port $SIP_PORT")" 0
nothing_refused
done_testing
