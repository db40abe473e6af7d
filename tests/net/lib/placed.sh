# Words for calls that "relayctl call place" makes between two sites, a and b, of one dmz-relay on a public host;
# examples/intranets. Sourced behind intranets.sh.
#
# shellcheck shell=bash disable=SC2034

RELAY=${DMZ_OUT[a]}
CA_OF[b]=a
SUITE=AES_CM_128_HMAC_SHA1_80
declare -A SITE=([a]=hq.example.com [b]=branch.example.com)
other() { [ "$1" = a ] && echo b || echo a; }

# sdp COMPANY PORT KEY [SSRC [VIDEO-PORT KEY SSRC]]: of a phone there.
sdp() {
    printf '%s\r\n' v=0 "o=- 1 1 IN IP4 ${LAN[$1]}" s=- "c=IN IP4 ${LAN[$1]}" "t=0 0" \
        "m=audio $2 RTP/SAVP 0" "a=crypto:1 $SUITE inline:$3"
    [ $# = 3 ] || printf '%s\r\n' "a=ssrc:$4 cname:x"
    [ $# -lt 5 ] || printf '%s\r\n' "m=video $5 RTP/SAVP 96" "a=rtpmap:96 VP8/90000" \
        "a=crypto:1 $SUITE inline:$6" "a=ssrc:$7 cname:x"
}
both_sites_are_up() { [ "$(status_of dmz '[.tunnels[] | select(.state == "up")] | length')" = 2 ]; }
# sites_up [WORD...]: starts the dmz-relay and both inner-relays of the example. "WORD... COMPANY FILE" changes the
# ini file of an inner-relay before it starts.
sites_up() {
    local c
    launch_example intranets dmz-relay
    for c in a b; do
        put_example intranets inner-relay-$c inner-$c
        [ $# = 0 ] || "$@" $c "$W/hosts/inner-$c/etc/media-relay/inner-relay.ini"
        launch_host inner-$c inner-$c inner-relay
    done
    tunnels_up inner-a inner-b
    wait_for 10 both_sites_are_up || bail "the dmz-relay does not have both sites"
}
# Of the call CALL, at a site.
state() { ctl_json inner-"$1" call list | jq -r --arg id "$CALL" '.calls[] | select(.call_id == $id) | .state'; }
state_is() { [ "$(state "$1")" = "$2" ]; }
show() { ctl_json inner-"$1" call show "$CALL" | jq -r ".calls[0].$2"; }
path_is() { [ "$(show "$1" path)" = "$2" ]; }

# call_up: from site a to site b, answered, with keys of its own. FIRST is the number of the next packet. Both phones
# have the port PHONES, and theirs are the SSRC LABEL and the one after it: what another call at once has to change.
PHONES=9000 LABEL=101
call_up() {
    FIRST=1
    key_a=$(new_key $SUITE) key_b=$(new_key $SUITE)
    sdp a $PHONES "$key_a" $LABEL >"$W/place.sdp"
    sdp b $PHONES "$key_b" $((LABEL + 1)) >"$W/answer.sdp"
    CALL=$(ctl inner-a call place "${SITE[b]}" --sdp "$W/place.sdp") || bail "the call cannot be placed"
    wait_for 10 state_is b ringing || bail "the call does not ring"
    ctl inner-b call answer "$CALL" --sdp "$W/answer.sdp" >/dev/null || bail "the call cannot be answered"
    wait_for 10 state_is a answered || bail "the call was not answered"
}
# media NAME FROM COUNT FIRST [ARGUMENT...]: packets from the phone of a site to that of the other.
media() {
    local name=$1 from=$2 count=$3 first=$4 to ssrc=$LABEL key=$key_a
    to=$(other "$from")
    [ "$from" = a ] || ssrc=$((LABEL + 1)) key=$key_b
    shift 4
    receive "got-$name" "lan-$to" "${LAN[$to]}:$PHONES" --key "$key" --count "$count" --wait 20 --timeout 3
    send "$name" "lan-$from" --from "${LAN[$from]}:$PHONES" --to "${INNER[$from]}:$MEDIA" --key "$key" --ssrc $ssrc \
        --count "$count" --seq "$first" --save "$W/$name.sent" "$@"
}
# came NAME: all of it, and nothing else.
came() {
    finish_of "$1" 30 && finish_of "got-$1" 30
    same_datagrams "$W/$1.sent" "$W/got-$1.got"
}
# relayed: how many packets have gone through the dmz-relay.
relayed() { verdict dmz accepted tunnel; }
