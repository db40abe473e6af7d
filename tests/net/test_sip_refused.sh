#!/bin/bash
# Calls that Kamailio refuses: with 488 what has no key that the pair can use, and with 503 what it does not
# take: as many calls as may be are there, the tunnel is down (when-down = refuse), or nobody answers.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/sip.sh"

company a
# The example's inner-relay with room for one call.
mkdir -p "$W/small/kamailio"
cp "$EXAMPLES/kamailio/dmz-relay.ini" "$W/small/kamailio/"
sed '/^ng = /a when-down = refuse\nmax-calls = 1' "$EXAMPLES/kamailio/inner-relay.ini" >"$W/small/kamailio/inner-relay.ini"
{ rules_anybody a && rules_sip a; } | firewall fwx-a
rules_tunnel a | firewall fwi-a
EXAMPLES=$W/small sip_daemons a kamailio
sipp_lab a
sipp_fields 1 >"$W/fields.csv"

ended() { check "$1" finish_of "$2" 15 || cat "$W/sipp-$2"/*errors.log | head -n 30 | sed 's/^/# /'; }
# outside SCENARIO [OPTION...]: a call from the Internet. inside SCENARIO: one from inside to the other company.
outside() {
    sipp uac inet "$1" $WEB "${DMZ_OUT[a]}:$SIP_PORT" -t t1 -m 1 -mp 20000 "${@:2}"
}
inside() {
    SIP_DOMAIN=${DOMAIN[b]} sipp_fields 1 >"$W/fields.csv"
    sipp uac lan-a "$1" 10.1.1.2 "${INNER[a]}:$SIP_INSIDE" -p 5080 -m 1 -mp 20000
}
limits() { stats_of inner-a .counters.ng_load_limit; }

while read -r profile line what; do
    outside refused-488 -key profile "$profile" -key line "${line//_/ }"
    ended "$what is answered with 488" uac
done <<END
RTP/AVP a=sendrecv an offer of plain RTP
UDP/TLS/RTP/SAVPF a=fingerprint:sha-256_AA:BB an offer of DTLS
RTP/SAVP a=crypto:1_F8-128-HMAC-SHA1-80_inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz an offer of another suite
END
is "the pair was not asked" "$(stats_of inner-a .counters.ng_errors)" 0

# ng COMMAND OPTION...: a call that is there already.
ng() {
    in_ns inner-a timeout 5 rtpengine-ng-client "$1" --proxy-address=127.0.0.1 --call-id=other --from-tag=f "${@:2}"
}
printf '%s\r\n' v=0 "o=- 1 1 IN IP4 $WEB" s=- "c=IN IP4 $WEB" "t=0 0" "m=audio 6000 RTP/SAVP 0" \
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:$(new_key AES_CM_128_HMAC_SHA1_80)" >"$W/other.sdp"
like "another call has the only place" "$(ng offer --direction=external,internal --sdp-file="$W/other.sdp" 2>&1)" "New SDP"
before=$(limits)
outside refused-503
ended "with as many calls as may be there another one is answered with 503" uac
check "the pair said load limit" test "$(limits)" -gt "$before"
like "the other call ends" "$(ng delete 2>&1)" "Result dictionary"
sipp uas lan-a callee "${LAN[a]}" "${INNER[a]}:$SIP_INSIDE" -p 5070 -m 1
outside caller
ended "then there is room" uac
ended "for both parties" uas

in_ns fwi-a nft add rule inet firewall cut drop
wait_for 5 tunnel_not_up inner-a || bail "the tunnel is still up"
before=$(limits)
inside refused-503
ended "with the tunnel down a call is answered with 503" uac
check "the pair said load limit" test "$(limits)" -gt "$before"
in_ns fwi-a nft flush chain inet firewall cut

stop inner-a
inside refused-503
ended "without an inner-relay, too" uac
done_testing
