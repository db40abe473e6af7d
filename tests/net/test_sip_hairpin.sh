#!/bin/bash
# Two phones on the Internet call each other: their media turn round at the dmz-relay, and none of it
# enters the tunnel. Two phones inside: their media go straight from one to the other, and with
# relay-internal = yes they turn round at the inner-relay.
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
    check "$ends hangs up: no SA is left after a second" within 1 sas a 0
    check "alice hears carol" wait_for 5 heard alice 440 1.5
    check "carol hears alice" wait_for 5 heard carol 880 1.5
done

# inside CALLER CALLEE PACKETS-COUNTED-BY...: bob and dave, inside, call each other.
at_inner() { verdict inner-a accepted ' rtp$'; }
between() { packets direct; }
inside() {
    local from=$1 to=$2 had
    shift 2
    had=$("$@")
    dial "$from" "$to"
    check "$from calls $to: media both ways" wait_for 15 at_least $((had + 220)) "$@"
    is "the SAs are at the inner-relay alone" "$(status_of inner-a .sas)+$(status_of dmz-a .sas)" "$SAS+0"
    tell "$from" hangup >>"$W/tell.out"
    check "$from hangs up: no SA is left after a second" within 1 sas a 0
    check "bob hears dave" wait_for 5 heard bob 660 1.5
    check "dave hears bob" wait_for 5 heard dave 550 1.5
}
stop alice
stop carol
desk dave a 10.1.2.1
phone bob lan-a "${LAN[a]}" "${INNER[a]}:$SIP_INSIDE;transport=udp" 550
phone dave dave 10.1.2.1 "${INNER[a]}:$SIP_INSIDE;transport=udp" 660
phones_registered bob dave
capture direct dave eth0 "udp and host 10.1.2.1 and host ${LAN[a]}"
say "straight from phone to phone"
SAS=0 inside bob dave between

say "relay-internal = yes"
sed -i '/^ng = /a relay-internal = yes' "$W/hosts/inner-a/etc/media-relay/inner-relay.ini"
kill -HUP "${PID[inner-a]}"
check "SIGHUP takes the file over" wait_for 3 says inner-a 'reloaded|taken over'
straight=$(between) before=$(tunnel_media)
SAS=2 inside dave bob at_inner
is "nothing went from phone to phone" "$(between)" "$straight"
is "and none through the tunnel" "$(tunnel_media)" "$before"
is "nothing failed authentication" "$(verdict dmz-a auth-fail)+$(verdict inner-a auth-fail)" 0+0
end_capture direct
nothing_refused
done_testing
