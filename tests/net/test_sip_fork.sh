#!/bin/bash
# Bob has two phones, one inside and one on the Internet. Alice, on the Internet, calls him: both ring, one
# is picked up, and the media go to that one: through the pair, or round at the dmz-relay.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/sip.sh"

company a
sip_pair a
kamailio a
outside="${DMZ_OUT[a]}:$SIP_PORT;transport=tls" inside="${INNER[a]}:$SIP_INSIDE;transport=udp"
phone alice inet $WEB "$outside" 880
PHONE_USER=bob phone desk lan-a 10.1.1.1 "$inside" 440
PHONE_USER=bob phone mobile inet $WEB_OTHER "$outside" 660
phones_registered alice desk mobile
for name in desk mobile; do tell $name answermode manual >>"$W/tell.out"; done
ringing() { says desk 'Incoming call' "$1" && says mobile 'Incoming call' "$1"; }
talks() { at_least "$1" dmz_rtp; }
dmz_rtp() { verdict dmz-a accepted ' rtp$'; }

n=0
for row in "mobile 660" "desk 440"; do
    read -r name tone <<<"$row"
    n=$((n + 1))
    dial alice bob
    check "both phones ring" wait_for 5 ringing $n
    is "and there is no SA yet" "$(status_of inner-a .sas)" 0
    had=$(dmz_rtp)
    tell "$name" accept >>"$W/tell.out"
    check "$name answers: two SAs on both relays" wait_for 5 sas a 2
    check "media flow" wait_for 10 talks $((had + 110))
    tell alice hangup >>"$W/tell.out"
    check "hang-up: no SA is left after a second" within 1 sas a 0
    check "alice hears $name" wait_for 5 heard alice "$tone" 1
    check "$name hears alice" wait_for 5 heard "$name" 880 1
done
is "nothing failed authentication" "$(verdict dmz-a auth-fail)" 0
nothing_refused
done_testing
