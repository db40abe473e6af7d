#!/bin/bash
# What strangers on the Internet, and phones that go their own ways, can do to calls through Kamailio:
# requests that claim to belong to a call, reliable provisional replies, whose SDP would go around the pair.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/sip.sh"

company a
sip_pair a
sipp_lab a
sipp_fields 1 >"$W/fields.csv"

# callee and caller [SCENARIO]: a call of 4 s.
callee() { sipp uas lan-a callee "${LAN[a]}" "${INNER[a]}:$SIP_INSIDE" -p 5070 -m 1 -trace_msg; }
caller() { sipp uac inet "${1-caller}" $WEB "${DMZ_OUT[a]}:$SIP_PORT" -t t1 -m 1 -d 4000 -trace_msg -mp 20000; }
ended() { check "$1" finish_of "$2" 15 || cat "$W/sipp-$2"/*errors.log | head -n 30 | sed 's/^/# /'; }
sent() { cat "$W/sipp-$1"/*messages.log; }

# stranger METHOD CALL-ID FROM-TAG TO-TAG [HEADER]: to the callee's phone; prints the first lines of the replies.
stranger() {
    in_ns inet timeout 10 python3 "$lib/sip.py" "${SOURCE-$WEB_STRANGER}" "${DMZ_OUT[a]}" $SIP_PORT <<END
$1 sip:callee@${LAN[a]}:5070;transport=udp SIP/2.0
Via: SIP/2.0/TCP $WEB_STRANGER:4444;branch=z9hG4bK$RANDOM;rport
Max-Forwards: 70
Route: <sip:${DMZ_OUT[a]}:$SIP_PORT;transport=tcp;lr>
From: <sip:nobody@example.org>;tag=$3
To: <sip:callee@example.com>${4:+;tag=$4}
Call-ID: $2
CSeq: 7 $1
Contact: <sip:nobody@$WEB_STRANGER:4444;transport=tcp>
${5-User-Agent: stranger}
Content-Type: application/sdp

v=0
o=- 1 1 IN IP4 $WEB_STRANGER
s=-
c=IN IP4 $WEB_STRANGER
t=0 0
m=audio 20000 RTP/SAVP 0
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:$(new_key AES_CM_128_HMAC_SHA1_80)
END
}
# at_once NAME ARGUMENT...: a stranger in the background; all_have_replies waits for all of them, reply NAME has them.
STRANGERS=()
at_once() {
    stranger "${@:2}" >"$W/stranger-$1" &
    STRANGERS+=($!)
}
all_have_replies() { wait "${STRANGERS[@]}"; }
reply() { cat "$W/stranger-$1"; }

callee
before=$(stats_of inner-a .counters.ng_requests)
for method in INVITE UPDATE MESSAGE BYE; do at_once "$method" $method "none@$WEB" invented invented-too; done
all_have_replies
for method in INVITE UPDATE MESSAGE BYE; do like "a stranger's $method of no call" "$(reply "$method")" '^SIP/2.0 481'; done
like "who may call cannot ask for reliable provisional replies" \
    "$(SOURCE=$WEB stranger INVITE "reliable@$WEB" reliable '' 'Require: 100rel')" '^SIP/2.0 420'
like "a stranger's INVITE needs a password" "$(stranger INVITE "new@$WEB" new '')" '^SIP/2.0 403'
is "none was told to the phone inside" "$(sent uas | grep -c stranger)" 0
is "the pair was not asked" "$(stats_of inner-a .counters.ng_requests)" "$before"

caller
check "a call has its SAs" wait_for 5 sas a 2
call_id=$(ctl_json inner-a sa list | jq -r '.sas[0].call_id')
tag=$(sent uac | sed -n 's/^From:.*;tag=\([^; \r]*\).*/\1/p' | head -n 1)
for method in INVITE BYE; do
    at_once "$method-of-caller" $method "$call_id" "$tag" other
    at_once "$method-of-callee" $method "$call_id" other "$tag"
done
all_have_replies
for method in INVITE BYE; do
    like "a stranger's $method with its Call-ID and its caller's tag" "$(reply $method-of-caller)" '^SIP/2.0 481'
    like "and as if it came from the callee" "$(reply $method-of-callee)" '^SIP/2.0 481'
done
is "its SAs stay" "$(status_of inner-a .sas)" 2
is "the phone inside hears nothing of it" "$(sent uas | grep -c stranger)" 0
ended "it ends as usual" uac
ended "on both ends" uas
check "and leaves no SA" wait_for 1 sas a 0

rm -f "$W"/sipp-ua?/*.log
callee
caller caller-pracks
ended "a PRACK with SDP is refused; its call goes on, and ends as usual" uac
ended "on both ends" uas
is "the callee was not told of reliable provisional replies" "$(sent uas | grep -c 100rel)" 0
check "but of the rest" grep -qE '^Supported: replaces, *timer' <(sent uas)
is "nor of the PRACK" "$(sent uas | grep -c '^PRACK')" 0
check "no SA is left" wait_for 1 sas a 0
# The callee has two phones, and both answer: the caller hangs up on the second one, and stays with the first.
sipp_registers lan-a "${LAN[a]}" "${INNER[a]}:$SIP_INSIDE" 5071
# sdp ADDRESS PORT
sdp() {
    printf '%s\r\n' v=0 "o=- 1 1 IN IP4 $1" s=- "c=IN IP4 $1" "t=0 0" "m=audio $2 RTP/SAVP 0" \
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:$(new_key AES_CM_128_HMAC_SHA1_80)"
}
listens() { in_ns lan-a ss -Hlnu | grep -q ":$1 "; }
for port in 5070 5071; do
    sdp "${LAN[a]}" 3$port >"$W/$port.sdp"
    start "phone$port" lan-a python3 "$lib/sipfork.py" phone "${LAN[a]}" $port "$W/$port.sdp"
    wait_for 5 listens $port || bail "a phone does not listen"
done
sdp $WEB 20000 >"$W/fork.sdp"
mkfifo "$W/go"
INPUT=$W/go
start fork inet python3 "$lib/sipfork.py" call $WEB "${DMZ_OUT[a]}" $SIP_PORT callee@example.com "$W/fork.sdp"
exec {go}>"$W/go"
INPUT=/dev/null
check "two phones answer, and the caller may end the second one's dialog" wait_for 5 grep -q '^bye 200' "$W/fork.out"
check "there are two SAs left" wait_for 2 sas a 2
echo >&$go
check "and the first one's" finish_of fork 5
is "as the proxy says" "$(paste -sd ' ' "$W/fork.out")" "answers 2 bye 200 bye 200"
check "one phone had its BYE" finish_of phone5070 5
check "and the other one" finish_of phone5071 5
check "no SA is left" wait_for 1 sas a 0
done_testing
