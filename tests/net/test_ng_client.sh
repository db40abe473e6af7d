#!/bin/bash
# Calls that rtpengine's own client sets up at the inner-relay, in bencode and in JSON: a tone goes each
# way by the addresses that the SDP of the replies show; query counts it; delete ends all SAs.
. "$(dirname "$0")/lib.sh"

SUITE=AES_CM_128_HMAC_SHA1_80
CLIENT2=198.51.100.11
PHONE2=10.9.1.21
command -v rtpengine-ng-client >/dev/null ||
    bail "rtpengine-ng-client is missing (./quickstart check installs it)"

topology
certificates "$DMZ_NAME=dmz" "$SITE_A=inner"
dmz_config
INNER_EXTRA="[signalling]
ng = udp:127.0.0.1:2223"
inner_config
launch dmz
launch inner
wait_for 10 tunnel_up inner || bail "the tunnel did not come up"

# ng FORM COMMAND OPTION...: what the client prints; FORM is bencode or json.
ng() {
    local form=$1 command=$2
    shift 2
    [ "$form" = json ] && set -- --json "$@"
    in_ns inside timeout 10 rtpengine-ng-client "$command" --proxy-address=127.0.0.1 "$@" 2>&1
}
# sdp ADDRESS KEY: its port is PORT.
sdp() {
    printf '%s\r\n' v=0 "o=- 1 1 IN IP4 $1" s=- "c=IN IP4 $1" "t=0 0" "m=audio $PORT RTP/SAVP 0" \
        "a=crypto:1 $SUITE inline:$2" a=sendrecv
}
# exchange FORM COMMAND CALL FROM TO ADDRESS KEY [OPTION...]: an offer or answer; sets NEW to the SDP of the reply.
exchange() {
    local form=$1 command=$2 call=$3 from=$4 to=$5 address=$6 key=$7 out
    shift 7
    sdp "$address" "$key" >"$W/request.sdp"
    out=$(ng "$form" "$command" --call-id="$call" --from-tag=f --direction="$from,$to" \
        --received-from=IP4 --received-from="$address" --replace-origin --replace-session-connection \
        --ICE=remove --sdp-file="$W/request.sdp" "$@") || bail "$command of $call: $out"
    NEW=$(sed -n '/^New SDP/,/^----->8/p' <<<"$out" | tr -d '\r')
}
shown() { sed -n "s/^c=IN IP4 //p; s/^m=audio \([0-9]*\) .*/\1/p" <<<"$NEW" | paste -sd ' '; }
same_key() { grep -qF "a=crypto:1 $SUITE inline:$1" <<<"$NEW"; }

# call FORM NAME SIDE FROM TO: an offer of FROM, who is on that side, and an answer of TO; sets KEYS.
call() {
    local form=$1 name=$2 side=$3 from=$4 to=$5 other=internal
    local there="$INNER_RTP $INNER_PORT" here="$DMZ_RTP $DMZ_PORT"
    [ "$side" = internal ] && { other=external && there="$DMZ_RTP $DMZ_PORT" here="$INNER_RTP $INNER_PORT"; }
    KEYS=("$(new_key $SUITE)" "$(new_key $SUITE)")
    exchange "$form" offer "$name" "$side" "$other" "$from" "${KEYS[0]}"
    is "$name: the callee is shown the pair's address on its side" "$(shown)" "$there"
    check "$name: and the caller's own key" same_key "${KEYS[0]}"
    exchange "$form" answer "$name" "$other" "$side" "$to" "${KEYS[1]}" --to-tag=t
    is "$name: the caller is shown the pair's address on its side" "$(shown)" "$here"
    check "$name: and the callee's own key" same_key "${KEYS[1]}"
}

PORT=6000
call bencode in-call external $CLIENT $PHONE
in_key=${KEYS[0]}
PORT=6100
call json out-call internal $PHONE2 $CLIENT2
out_key=${KEYS[0]}
check "the dmz-relay has the SAs of both calls" wait_for 3 sas_at dmz 4
list=$(ng json list)
check "list has both" grep -q "in-call" <<<"$list"
check "list has both" grep -q "out-call" <<<"$list"

ffmpeg_receive inside lan $PHONE 6000 $SUITE "$in_key"
ffmpeg_receive internet inet $CLIENT2 6100 $SUITE "$out_key"
ffmpeg_send in inet 440 $SECONDS_SENT $SUITE "$in_key" 11 6000 $DMZ_RTP $DMZ_PORT $CLIENT
ffmpeg_send out lan 880 $SECONDS_SENT $SUITE "$out_key" 22 6100 $INNER_RTP $INNER_PORT $PHONE2
finish_of in 20
finish_of out 20
check "the receiver inside ends by the sender's BYE" finish_of inside 5
check "the receiver outside ends by the sender's BYE" finish_of internet 5
check "440 Hz inside" hears 440 "$W/inside.wav"
check "880 Hz outside" hears 880 "$W/internet.wav"

# The client prints Perl, in any order: "packets => 100".
counted() {
    ng bencode query --call-id="$1" | grep -o 'packets *=> *[0-9]*' | awk '$NF >= 100 { n++ } END { exit n < 2 }'
}
check "query counts the packets of the call in" counted in-call
check "query counts the packets of the call out" counted out-call

# What operators see of them, and end.
ctl inner call list >"$W/calls"
check "call list has both, and that all were heard" \
    grep -Eq 'in-call +answered .* 1 +2 +0 +outside [0-9]+ s, inside never +f, t' "$W/calls"
check "call list has both" grep -Eq 'out-call +answered .* inside [0-9]+ s, outside never +f, t' "$W/calls"
ctl inner call show in-call >"$W/call"
check "call show says where the phone inside is, and sends to" \
    grep -Eq "audio +relayed +[0-9]+ +[0-9]+ +$PHONE:6000 +$PHONE:6001 +$INNER_RTP:$INNER_PORT" "$W/call"
refuse "the dmz-relay has no calls" ctl dmz call list
exchange json offer ended internal external $PHONE2 "${KEYS[0]}"
check "explain knows a call without an answer" grep -q "no answer yet" <<<"$(ctl inner explain ended)"
exchange json answer ended external internal $CLIENT2 "${KEYS[1]}" --to-tag=t
check "the dmz-relay has the SAs of a third call" wait_for 3 sas_at dmz 6
check "call end ends it" ctl inner call end ended
check "at the dmz-relay, too" wait_for 3 sas_at dmz 4
refuse "and the SIP proxy asks in vain" ng json query --call-id=ended

ng bencode delete --call-id=in-call --from-tag=f >/dev/null || not_ok "in-call is not deleted"
ng json delete --call-id=out-call --from-tag=t >/dev/null || not_ok "out-call is not deleted"
check "no SA is left at the dmz-relay" wait_for 1 sas_at dmz 0
check "and none at the inner-relay" wait_for 1 sas_at inner 0
again=$(ng bencode delete --call-id=in-call --from-tag=f)
check "a second delete is a warning" grep -q "not found" <<<"$again"
refuse "an offer without a key is refused" ng json offer --call-id=x --from-tag=f \
    --direction=external,internal --sdp=$'v=0\no=- 1 1 IN IP4 198.51.100.10\ns=-\nc=IN IP4 198.51.100.10\nt=0 0\nm=audio 6000 RTP/AVP 0\n'
done_testing
