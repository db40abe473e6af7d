#!/bin/bash
# Two phones call each other through Kamailio and the pair, with examples/kamailio as it stands: one on the
# Internet, one inside, SDES-SRTP mandatory. Either starts a call; each hears the other's tone; hold and
# resume from both; who hangs up ends the SAs on both relays. No firewall has a rule for SIP but the
# external one, for the one port at the dmz-relay.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/sip.sh"

TALK=100 # packets each way: two seconds

company a
capture tunnel fwi-a dmz
capture internet fwx-a internet
sip_pair a
show_firewalls
kamailio a
phone bob lan-a "${LAN[a]}" "${INNER[a]}:$SIP_INSIDE;transport=udp" 440
phone alice inet $WEB "${DMZ_OUT[a]}:$SIP_PORT;transport=tls" 880
phones_registered alice bob

# hang_up NAME: the SAs are gone on both relays within a second.
hang_up() {
    tell "$1" hangup >>"$W/tell.out"
    check "$1 hangs up: no SA is left after a second" within 1 sas a 0
}

# conversation CALLER CALLEE WHO-ENDS [WHO-HOLDS...]
conversation() {
    local from=$1 to=$2 ends=$3 name
    shift 3
    say "$from calls $to"
    dial "$from" "$to"
    check "$from calls $to: two SAs on both relays" wait_for 10 sas a 2
    check "$from calls $to: media both ways" flows a $TALK
    check "alice hears bob" wait_for 5 heard alice 440 1.5
    check "bob hears alice" wait_for 5 heard bob 880 1.5
    for name; do held "$name" $TALK; done
    hang_up "$ends"
}
conversation alice bob alice alice bob
conversation bob alice alice bob
conversation alice bob bob

# $rtpstat of Kamailio's log, from what query says: all packets of a call, at its end.
counted() { grep -E 'end of [^ ]+: RTP: [0-9]{5,} bytes, [0-9]{3,} packets, ' "$W/sip-a.log"; }
is "Kamailio's log has the packets of each call" "$(counted | wc -l)" 3
is "nothing failed authentication" "$(verdict dmz-a auth-fail)+$(verdict inner-a auth-fail)" 0+0
end_capture tunnel
end_capture internet
one_tunnel tunnel a
is "external firewall: the two UDP ports and TCP $SIP_PORT, nothing else" "$(packets internet "$QUIET and not \
    (host ${DMZ_OUT[a]} and host $WEB and (udp portrange $MEDIA-$((MEDIA + 1)) or tcp port $SIP_PORT))")" 0
nothing_refused
done_testing
