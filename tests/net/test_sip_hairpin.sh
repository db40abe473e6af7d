#!/bin/bash
# Two phones on the Internet call each other: their media turn round at the dmz-relay, and none of it
# enters the tunnel.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/sip.sh"

company a
sip_pair a
kamailio a
phone alice inet $WEB "${DMZ_OUT[a]}:$SIP_PORT;transport=tls" 880
phone carol inet $WEB_OTHER "${DMZ_OUT[a]}:$SIP_PORT;transport=tls" 440
phones_registered alice carol
tunnel_media() { echo $(($(verdict inner-a accepted tunnel) + $(verdict dmz-a accepted tunnel))); }
at_dmz() { verdict dmz-a accepted ' rtp$'; }

for row in "alice carol carol" "carol alice carol"; do
    read -r from to ends <<<"$row"
    before=$(tunnel_media) had=$(at_dmz)
    dial "$from" "$to"
    check "$from calls $to: two SAs on both relays" wait_for 10 sas a 2
    check "media both ways at the dmz-relay" wait_for 10 at_least $((had + 220)) at_dmz
    is "and none in the tunnel" "$(tunnel_media)" "$before"
    tell "$ends" hangup >>"$W/tell.out"
    check "$ends hangs up: no SA is left after a second" wait_for 1 sas a 0
    check "alice hears carol" wait_for 5 heard alice 440 1.5
    check "carol hears alice" wait_for 5 heard carol 880 1.5
done
is "nothing failed authentication" "$(verdict dmz-a auth-fail)" 0
nothing_refused
done_testing
