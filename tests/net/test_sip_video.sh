#!/bin/bash
# Two calls at once between the same two sides, one of them with audio and video: an SA for each line and
# direction, six senders through the same two ports. Each phone is a host of its own, one of them behind
# NAT; it hears and sees its own party, and hears nothing of the other call. A hold stops one call only.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/sip.sh"

AUDIO=100 VIDEO=20 # packets each way: two seconds of either

company a
home random
desk dave a 10.1.2.1
sip_pair a
kamailio a
outside="${DMZ_OUT[a]}:$SIP_PORT;transport=tls" inside="${INNER[a]}:$SIP_INSIDE;transport=udp"
phone alice inet $WEB "$outside" 880 video
phone bob lan-a "${LAN[a]}" "$inside" 440 video
phone carol home 192.168.1.1 "$outside" 1100
phone dave dave 10.1.2.1 "$inside" 660
phones_registered alice bob carol dave

# packets_of ID: of RTP and RTCP that the inner-relay has taken.
packets_of() { ctl_json inner-a sa show "$1" | jq .sa.packets; }
# mark ID...: what each of them has had until now; each_more NUMBER: so many packets came of each since then.
declare -A MARK=()
mark() {
    local id
    MARK=()
    for id; do MARK[$id]=$(packets_of "$id"); done
}
each_more() {
    local id
    for id in "${!MARK[@]}"; do at_least $((MARK[$id] + $1)) packets_of "$id" || return 1; done
}
# resting ID...: none of them sends for half a second; RTCP comes every few seconds.
resting() {
    local id
    mark "$@"
    read -rt 0.6 -u "$NEVER" _ || :
    for id; do [ $(($(packets_of "$id") - MARK[$id])) -le 1 ] || return 1; done
}
# sees NAME: it decodes video of the size that the other one sends.
sees() { says "$1" 'video: receiving with resolution 320 x 240'; }
# had NAME LINE NUMBER: the phone itself says after the call that so many packets of that line came and none
# was lost.
had() {
    tr '\r' '\n' <"$W/$1.out" | awk -v line="$2" -v least="$3" '
        $2 == "Transmit:" { now = $1 }
        now == line && $1 == "packets:" { came = $3 }
        now == line && $1 == "lost:" { lost = $3 }
        END { print line, came, lost; exit !(came >= least && lost == 0) }'
}

dial alice bob
check "a call with video: four SAs on both relays" wait_for 10 sas a 4
mapfile -t lines < <(sa_ids | jq '.[]')
dial dave carol
check "a second call: two SAs more" wait_for 10 sas a 6
mapfile -t all < <(sa_ids | jq '.[]')
mark "${lines[@]}"
check "video and audio in the first call, both ways" wait_for 10 each_more $VIDEO
for name in alice bob; do check "$name sees the other" wait_for 10 sees $name; done
tones="alice 440 660
bob 880 1100
carol 660 440
dave 1100 880"
while read -r name tone foreign; do
    check "$name hears $tone Hz" wait_for 10 heard "$name" "$tone" 1.2
done <<<"$tones"
tell bob hold >>"$W/tell.out"
check "bob holds: neither video nor audio" wait_for 5 resting "${lines[@]}"
check "and the other call goes on" flows a 50
tell bob resume >>"$W/tell.out"
mark "${all[@]}"
check "bob resumes: all lines of both calls" wait_for 10 each_more $VIDEO
is "under the same SAs" "$(sa_ids | jq '.[]')" "$(printf '%s\n' "${all[@]}")"
check "audio in both calls, both ways" flows a $((2 * AUDIO))
tell alice hangup >>"$W/tell.out"
check "alice hangs up: the other call's SAs stay" wait_for 1 sas a 2
check "and its media flow" flows a 50
tell carol hangup >>"$W/tell.out"
check "carol hangs up: no SA is left after a second" within 1 sas a 0

while read -r name tone foreign; do
    check "$name: all audio came" wait_for 5 had "$name" audio $AUDIO
    refuse "$name heard nothing of $foreign Hz" heard "$name" "$foreign" 0.1
done <<<"$tones"
for name in alice bob; do check "$name: all video came" wait_for 5 had $name video $VIDEO; done
is "nothing failed authentication" "$(verdict dmz-a auth-fail)+$(verdict inner-a auth-fail)" 0+0
nothing_refused
done_testing
