#!/bin/bash
# Cases that phones do not make at will, with SIPp as a caller outside and a callee inside: a late offer,
# an UPDATE, a T.38 fax; and where a call cannot have media: no a=crypto in the answer, a re-INVITE that
# is refused.
# Calls that are refused are in test_sip_refused.sh.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/sip.sh"

CALLS=3

company a
sip_pair a
sipp_lab a
sipp_fields $CALLS >"$W/fields.csv"

# between CALLER-SCENARIO [CALLEE-SCENARIO]: both have to succeed.
between() {
    rm -f "$W"/sipp-ua?/*.log
    [ -z "${2-}" ] || sipp uas lan-a "$2" "${LAN[a]}" "${INNER[a]}:$SIP_INSIDE" -p 5070 -m $CALLS -trace_msg
    sipp uac inet "$1" $WEB "${DMZ_OUT[a]}:$SIP_PORT" -t t1 -r 10 -m $CALLS -trace_msg -mp 20000
}
# The SAs of the callee lead to another port than the offer had.
moved_ports() {
    [ "$(ctl_json inner-a sa list | jq '[.sas[] | select(.side == "internal" and (.destination | endswith(":20002")))] | length')" = $CALLS ]
}
ended() { check "$1" finish_of "$2" 15 || cat "$W/sipp-$2"/*errors.log | head -n 30 | sed 's/^/# /'; }

between caller-late callee
check "a late offer: SAs" wait_for 5 sas a $((2 * CALLS))
ended "which ends as usual" uac
ended "on both ends" uas
check "and leaves no SA" wait_for 1 sas a 0

between caller-updates callee-updated
check "an UPDATE moves the caller to another port" wait_for 5 moved_ports
ended "the call ends as usual" uac
ended "on both ends" uas
check "and leaves no SA" wait_for 1 sas a 0

between caller-without-answer callee-without-key
ended "an answer without a=crypto: the caller gets every stream rejected, then BYE" uac
ended "and the callee a BYE" uas
check "and there is no SA" wait_for 1 sas a 0

between caller-reinvites callee-refuses-reinvite
check "calls of SIPp have their SAs" wait_for 5 sas a $((2 * CALLS))
before=$(ctl_json inner-a sa list | jq -c '[.sas[] | {id, source}] | sort')
# Kamailio has sent the refusal on to the caller, which acknowledged it.
finished_reinvites() { [ "$(grep -c 'CSeq: 2 ACK' "$W/sipp-uas"/*messages.log)" -ge $CALLS ]; }
check "a re-INVITE is refused with 488" wait_for 5 finished_reinvites
is "and the calls keep the SAs that they had" "$(ctl_json inner-a sa list | jq -c '[.sas[] | {id, source}] | sort')" "$before"
ended "they end as usual" uac
ended "on both ends" uas
check "and leave no SA" wait_for 1 sas a 0

# A fax needs no key and no SA. The callee must not see the ACK of the refusal, which is the proxy's own.
in_place() { [ "$(ctl_json inner-a call list | jq '.calls | length')" = $CALLS ] && sas a "$1"; }
between caller-faxes callee-faxes
check "calls with audio have their SAs" wait_for 5 in_place $((2 * CALLS))
check "a T.38 fax in place of the audio: the calls stay, without SAs" wait_for 5 in_place 0
check "audio again, the fax line rejected" wait_for 5 in_place $((2 * CALLS))
check "both are offered, the audio is rejected: the calls stay, without SAs" wait_for 5 in_place 0
ended "an offer of plain RTP is refused, and the calls end as usual" uac
ended "on both ends" uas
is "nothing of the refused offer came to the callee" "$(grep -c 'CSeq: 5 ' "$W/sipp-uas"/*messages.log)" 0
check "and there is no SA" wait_for 1 sas a 0
done_testing
