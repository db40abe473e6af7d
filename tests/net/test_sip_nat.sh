#!/bin/bash
# The same calls with the outside phone behind a NAT router that takes other ports than the phone's: its SDP
# names 192.168.1.1, what Kamailio saw is the router's address, and the first packet shows the port. A hold
# does not lose it, whoever holds.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/sip.sh"

company a
home random
sip_pair a
kamailio a
phone bob lan-a "${LAN[a]}" "${INNER[a]}:$SIP_INSIDE;transport=udp" 440
phone alice home 192.168.1.1 "${DMZ_OUT[a]}:$SIP_PORT;transport=tls" 880
phones_registered alice bob
for row in "alice bob bob bob" "bob alice alice alice"; do
    read -r from to holds ends <<<"$row"
    dial "$from" "$to"
    check "$from calls $to: two SAs on both relays" wait_for 10 sas a 2
    check "$from calls $to: media both ways" flows a 100
    is "the phone's source is the router's" "$(sources a external)" "$NAT_ADDRESS"
    check "alice hears bob" wait_for 5 heard alice 440 1.5
    check "bob hears alice" wait_for 5 heard bob 880 1.5
    held "$holds" 50
    is "and still is" "$(sources a external)" "$NAT_ADDRESS"
    tell "$ends" hangup >>"$W/tell.out"
    check "$ends hangs up: no SA is left after a second" within 1 sas a 0
done
is "nothing failed authentication" "$(verdict dmz-a auth-fail)+$(verdict inner-a auth-fail)" 0+0
nothing_refused
done_testing
