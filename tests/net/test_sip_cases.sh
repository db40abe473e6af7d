#!/bin/bash
# Cases that phones do not make at will, with SIPp as a caller outside and a callee inside: a late offer,
# an UPDATE, a T.38 fax; and where a call cannot have media: no a=crypto in the answer, a re-INVITE that
# is refused. Then new keys by re-INVITE, packet by packet, and both parties' re-INVITEs at once (glare).
# Calls that are refused are in test_sip_refused.sh.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/sip.sh"

CALLS=3

company a
sip_pair a
# The other company has no proxy here: requests to it go back through its connection.
sipp_lab a 'PEER_NEXT_HOP=$du'
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

# ---------------------------------------------------------------- new keys, and glare
SUITE=AES_CM_128_HMAC_SHA1_80
N=20
declare -A SPACE=([caller]=inet [callee]=lan-a) AT=([caller]=$WEB:30000 [callee]=${LAN[a]}:30000)
declare -A RELAY=([caller]=${DMZ_OUT[a]}:$MEDIA [callee]=${INNER[a]}:$MEDIA) OTHER=([caller]=callee [callee]=caller)
declare -A TELLS=() SEQ=() K=() HEARD=()

# party NAME ARGUMENT...: sipparty.py, in its place; tells NAME COMMAND... gives it a command, has NAME TEXT
# [COUNT] is whether it has printed that line.
party() {
    mkfifo "$W/$1.in" && exec {TELLS[$1]}<>"$W/$1.in" || bail "no pipe for $1"
    INPUT=$W/$1.in start "$1" "${SPACE[$1]}" python3 "$lib/sipparty.py" "${@:2}"
    wait_for 5 has "$1" ready || bail "$1 does not start: $(cat "$W/$1.log")"
}
tells() { echo "${@:2}" >&"${TELLS[$1]}"; }
has() { [ "$(grep -cx "$2" "$W/$1.out")" -ge "${3-1}" ]; }
comes() { wait_for 5 has "$@" || bail "$1 has no $2: $(cat "$W"/call*.out "$W"/call*.log)"; }
# sdp NAME NUMBER: prints the path of its SDP with its key of that number, K[NAME-NUMBER].
sdp() {
    local file=$W/$1-$2.sdp
    printf '%s\r\n' v=0 "o=- 1 $2 IN IP4 ${AT[$1]%:*}" s=- "c=IN IP4 ${AT[$1]%:*}" "t=0 0" \
        "m=audio ${AT[$1]#*:} RTP/SAVP 0" "a=crypto:1 $SUITE inline:${K[$1-$2]}" >"$file"
    echo "$file"
}
# leg NAME NUMBER [unheard]: N packets of that party under that key; how many the other one gets is in
# HEARD[NAME].
leg() {
    local other=${OTHER[$1]}
    [ -n "${3-}" ] || receive at-other "${SPACE[$other]}" "${AT[$other]}" --key "${K[$1-$2]}" --count $N
    send_now leg "${SPACE[$1]}" --from "${AT[$1]}" --to "${RELAY[$1]}" --key "${K[$1-$2]}" --ssrc 7 --rate 0 \
        --seq $((SEQ[$1] += N)) --count $N
    [ -z "${3-}" ] || return 0
    finish_of at-other 15 || :
    HEARD[$1]=$(field at-other .packets)
}
legs() { leg caller "$@" && leg callee "$@"; }
ACCEPTED="dmz-a/rtp/accepted=$N inner-a/tunnel/accepted=$N inner-a/rtp/accepted=$N dmz-a/tunnel/accepted=$N"
# talk TEXT NUMBER: both parties' packets under these keys are accepted, and come to the other one.
talk() {
    moves "$1" "$ACCEPTED" -- legs "$2"
    is "and each has the other's packets" "${HEARD[caller]} ${HEARD[callee]}" "$N $N"
}
generations() { ctl_json inner-a sa list | jq -r '.sas[].id' | while read -r id; do ctl_json inner-a sa show "$id" | jq .sa.generation; done | xargs; }

for name in caller callee; do for i in 1 2 3; do K[$name-$i]=$(new_key $SUITE); done; done
party callee udp "${LAN[a]}" 5070
party caller tcp $WEB 4444 "${DMZ_OUT[a]}" $SIP_PORT
tells caller invite "$(sdp caller 1)" "callee@$SIP_DOMAIN"
comes callee INVITE
tells callee answer "$(sdp callee 1)"
comes callee ACK
talk "they talk" 1

tells caller invite "$(sdp caller 2)"
comes callee INVITE 2
talk "new keys are offered: they talk under the old ones" 1
tells callee answer "$(sdp callee 2)"
comes callee ACK 2
moves "they are answered, the caller changes over later" \
    "dmz-a/rtp/accepted=$N inner-a/tunnel/accepted=$N" -- leg caller 1
talk "they talk under the new keys" 2
is "the SAs are the same, with other keys" "$(generations)" "2 2"

tells caller invite "$(sdp caller 3)"
comes callee INVITE 3
tells callee invite "$(sdp callee 3)"
comes caller INVITE
tells caller refuse 491 Request Pending
comes callee "491 INVITE"
tells callee refuse 491 Request Pending
comes caller "491 INVITE"
talk "both offer new keys and refuse the other's (491): they talk on" 2
moves "the refused keys are not taken" "dmz-a/rtp/auth-fail=$N inner-a/rtp/auth-fail=$N" -- legs 3 unheard
is "the SAs are as they were" "$(generations)" "2 2"
tells callee invite "$(sdp callee 3)"
comes caller INVITE 2
tells caller answer "$(sdp caller 3)"
comes caller ACK 2
talk "the callee tries again: they talk under the new keys" 3
tells callee bye
comes caller BYE
check "the callee hangs up: no SA is left after a second" within 1 sas a 0
done_testing
