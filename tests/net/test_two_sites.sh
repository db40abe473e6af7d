#!/bin/bash
# Two corporate networks on one dmz-relay, with examples/two-sites: a call between them goes from
# tunnel to tunnel through the dmz-relay and never leaves its host. Then one of the sites is
# hostile, and says all that it can say of the other's SAs.
. "$(dirname "$0")/lib.sh"

N=50
SUITE=AES_CM_128_HMAC_SHA1_80
PHONE_A=${LAN[a]}
PHONE_B=${LAN[b]}

# The second network, behind a firewall of its own at the same DMZ host.
second_network() {
    local s i clients=()
    for s in fwi sw inner lan; do space $s-b; done
    cable dmz-a eth2 fwi-b dmz
    cable fwi-b inside sw-b fwi
    cable sw-b inner inner-b eth0
    cable sw-b lan lan-b eth0
    in_ns sw-b ip link add switch type bridge || bail "switch of site b"
    for s in fwi inner lan; do in_ns sw-b ip link set $s master switch; done
    in_ns sw-b ip link set switch up
    for i in 1 2 3; do clients+=("10.2.1.$i/16"); done
    address dmz-a eth2 172.16.2.10/24
    address fwi-b dmz 172.16.2.1/24
    address fwi-b inside 10.2.0.1/16
    address inner-b eth0 10.2.0.10/16
    address lan-b eth0 "${clients[@]}"
    route dmz-a 10.2.0.0/16 172.16.2.1
    route fwi-b default 172.16.2.10
    route inner-b default 10.2.0.1
    route lan-b default 10.2.0.1
    router fwi-b
    DMZ_IN[b]=${DMZ_IN[a]}
    CA_OF[b]=a
}

company a
second_network
rules_anybody a | firewall fwx-a
rules_tunnel a | firewall fwi-a
rules_tunnel b | firewall fwi-b
for wall in fwx-a fwi-a fwi-b; do
    say "$wall:"
    in_ns $wall nft -s list table inet firewall | sed 's/^/#   /'
done
capture internet fwx-a dmz
capture tunnel-a fwi-a dmz
capture tunnel-b fwi-b dmz
launch_example two-sites dmz-relay
launch_example two-sites inner-relay-a
launch_example two-sites inner-relay-b
tunnels_up inner-a inner-b
wait_for 10 equals 2 status_of dmz '[.tunnels[] | select(.state == "up")] | length' ||
    bail "the dmz-relay does not have both sites"

# ---------------------------------------------------------------- a call from site to site

# stretch NAME FROM-SITE TO-SITE SOURCE TO SSRC SUITE: the two SAs of one direction; their ids are in
# SENDS[NAME] and TAKES[NAME], the key in KEY[NAME].
declare -A SUITE_OF=() KEY=() SENDS=() TAKES=()
stretch() {
    SUITE_OF[$1]=$7
    KEY[$1]=$(new_key "$7")
    SENDS[$1]=$(sa_add "inner-$2" --side internal --source "$4" --suite "$7" --key "${KEY[$1]}" \
        --ssrc "$6" --peer self | jq .id) && [ -n "${SENDS[$1]}" ] || bail "sa add at site $2"
    TAKES[$1]=$(sa_add "inner-$3" --side external --peer self --suite "$7" --key "${KEY[$1]}" \
        --ssrc "$6" --to "$5" | jq .id) && [ -n "${TAKES[$1]}" ] || bail "sa add at site $3"
}
stretch there a b $PHONE_A:6000 $PHONE_B:7000 0x80000001 $SUITE
stretch back b a $PHONE_B:6000 $PHONE_A:7000 0x80000002 AEAD_AES_128_GCM
stretch ffmpeg a b $PHONE_A:8000 $PHONE_B:9000 3 $SUITE
stretch gst b a $PHONE_B:8000 $PHONE_A:9000 4 $SUITE
check "all SAs are at the dmz-relay" wait_for 3 sas_at dmz 8

# leg NAME FROM-SITE TO-SITE SSRC RTPSEND-ARGUMENT...: N RTP packets and 2 of RTCP in one direction.
leg() {
    local name=$1 from=$2 ssrc=$4
    shift 4
    send_now "$name-sent" "lan-$from" --from "${LAN[$from]}:6000" --to "${INNER[$from]}:$MEDIA" \
        --suite "${SUITE_OF[$name]}" --key "${KEY[$name]}" --ssrc "$ssrc" --rate 0 --count $N --rtcp-every $((N / 2)) \
        --save "$W/$name.sent" "$@"
}
# passed FROM-SITE TO-SITE: what counts N RTP packets and 2 of RTCP.
passed() {
    echo "inner-$1/rtp/accepted=$N inner-$1/rtcp/accepted=2 dmz/tunnel/accepted=$((N + 2))" \
        "dmz/own-address/accepted=$((N + 2)) inner-$2/tunnel/accepted=$((N + 2))"
}
for row in "there a b 0x80000001" "back b a 0x80000002"; do
    read -r name from to ssrc <<<"$row"
    receive "$name" "lan-$to" "${LAN[$to]}:7000" --ports 2 --suite "${SUITE_OF[$name]}" \
        --key "${KEY[$name]}" --count $((N + 2)) --wait 20
    moves "$name: out of one tunnel, into the other" "$(passed "$from" "$to")" -- leg "$name" "$from" "$to" "$ssrc"
    check "$name: all packets arrive" finish_of "$name" 10
    check "$name: octet for octet" same_datagrams "$W/$name.sent" "$W/$name.got"
done
send_again() {
    send_now again lan-a --from "$PHONE_A:6000" --to "${INNER[a]}:$MEDIA" --rate 0 --resend "$W/there.sent"
}
moves "its packets once more: not even out of the first network" \
    "inner-a/rtp/replay=$N inner-a/rtcp/replay=2" -- send_again

say "real media: ffmpeg to GStreamer, and GStreamer to ffmpeg, at once"
gst_receive got-ffmpeg lan-b "$PHONE_B" 9000 $SUITE "${KEY[ffmpeg]}" 3
ffmpeg_receive got-gst lan-a "$PHONE_A" 9000 $SUITE "${KEY[gst]}"
arrived() { echo $(($(verdict inner-a accepted tunnel) + $(verdict inner-b accepted tunnel))); }
before=$(arrived)
ffmpeg_send ffmpeg lan-a 440 $SECONDS_SENT $SUITE "${KEY[ffmpeg]}" 3 8000 "${INNER[a]}" $MEDIA
gst_send gst lan-b 550 $SECONDS_SENT $SUITE "${KEY[gst]}" 4 "$PHONE_B" 8000 "${INNER[b]}" $MEDIA
check "every packet came" wait_for 20 at_least $((before + 2 * SECONDS_SENT * 50)) arrived
end_streams ffmpeg gst
check "from site a: 440 Hz" hears 440 "$W/got-ffmpeg.wav"
check "from site b: 550 Hz" hears 550 "$W/got-gst.wav"

end_capture internet
is "nothing of all this left the host of the dmz-relay but in its tunnels" "$(packets internet "$QUIET")" 0

# ---------------------------------------------------------------- a hostile site

# Site a has calls with the Internet and within itself; they go on all the time.
stretch hairpin a a $PHONE_A:6200 $PHONE_A:7200 0x80000005 $SUITE
SUITE_OF[web]=$SUITE KEY[web]=$(new_key $SUITE) KEY[out]=$(new_key $SUITE)
sa_add inner-a --side external --source $WEB:6100 --suite $SUITE --key "${KEY[web]}" --ssrc 0x80000006 \
    --to $PHONE_A:7100 >/dev/null || bail "sa add"
sa_add inner-a --side internal --source $PHONE_A:6100 --suite $SUITE --key "${KEY[out]}" \
    --ssrc 0x80000007 --to $WEB:7100 >/dev/null || bail "sa add"
check "all SAs are at the dmz-relay" wait_for 3 sas_at dmz 12
check "site b has written its state" wait_for 10 test -s "$W/hosts/inner-b/run/media-relay/inner-relay.state"
stop inner-b KILL || :

# victims: what must not change of the SAs of site a, at either end.
victims() {
    ctl_json inner-a sa list | jq '.sas[] | del(.packets, .octets, .last_packet, .dropped, .age)'
    ctl_json dmz sa list | jq '.sas[] | select(.site == "hq.example.com")
        | del(.packets, .octets, .last_packet, .dropped, .age)'
}
# Those of calls in which site b has no part.
labels=$(ctl_json inner-a sa list | jq -r '[.sas[] | select(.id > 4) | .label] | join(",")')
receive hairpin-got lan-a $PHONE_A:7200 --ports 2 --key "${KEY[hairpin]}" --wait 30 --timeout 30
receive web-got lan-a $PHONE_A:7100 --ports 2 --key "${KEY[web]}" --wait 30 --timeout 30
receive out-got inet $WEB:7100 --ports 2 --key "${KEY[out]}" --wait 30 --timeout 30
endless=(--count 0 --rate 50 --rtcp-every 25)
send hairpin lan-a --from $PHONE_A:6200 --to "${INNER[a]}:$MEDIA" --key "${KEY[hairpin]}" \
    --ssrc 0x80000005 "${endless[@]}" --save "$W/hairpin.sent"
send web inet --from $WEB:6100 --to "${DMZ_OUT[a]}:$MEDIA" --key "${KEY[web]}" --ssrc 0x80000006 \
    "${endless[@]}" --save "$W/web.sent"
send out lan-a --from $PHONE_A:6100 --to "${INNER[a]}:$MEDIA" --key "${KEY[out]}" --ssrc 0x80000007 \
    "${endless[@]}" --save "$W/out.sent"
check "the calls of site a have begun" wait_for 5 at_least 50 verdict dmz accepted '^listener'
victims >"$W/victims.before"
counters >"$W/moved.before"
capture strange inet eth0 udp and dst host $WEB and not dst port 7100 and not dst port 7101

# rogue STEP SSRC JQ-FILTER: one step of the hostile site; what it came to has to be so.
rogue() {
    local certs=$W/hosts/inner-b/etc/media-relay/certs
    start_user rogue inner-b "$NET_TOOLS/roguesite" "$1" --connect "${DMZ_IN[a]}:$TUNNEL" \
        --name dmz.example.com --certificate "$certs/branch.example.com.crt" \
        --key "$certs/branch.example.com.key" --ca "$certs/ca.crt" --source $WEB:6100 --ssrc "$2" \
        --labels "$labels" --own "${DMZ_OUT[a]}:$MEDIA" --to $WEB_OTHER:7000 --inside $PHONE_A:7100
    finish_of rogue 20 || bail "roguesite $1: $(cat "$W/rogue.log")"
    is "rogue $1: $3" "$(field rogue "$3")" true || say "$(cat "$W/rogue.out")"
    victims >"$W/victims.after"
    check "rogue $1: the SAs of site a are as before" diff "$W/victims.before" "$W/victims.after"
}
# at_dmz VERDICT PLACE: what the rogue moved, in one place.
at_dmz() { verdict dmz "$1" "$2"; }
count=$(tr ',' '\n' <<<"$labels" | wc -l)
rogue send 0x80000006 '.up and .naks == 0 and .received == 0 and .closed == ""'
is "packets under labels of site a: no-sa" "$(at_dmz no-sa 'tunnel branch')" $((100 * count))
rogue put 0x80000006 '.up and .naks == 0 and .received == 0'
is "SAs under ids and labels of site a are its own" \
    "$(ctl_json dmz sa list | jq '[.sas[] | select(.site == "branch.example.com" and .source == "'$WEB:6100'")] | length > 0')" true
rogue share 0x80000006 '.up and .received == 0'
check "no more than four of them share source and SSRC" test "$(ctl_json dmz sa list |
    jq '[.sas[] | select(.site == "branch.example.com" and .source == "'$WEB:6100'" and (.ssrcs | index('$((0x80000006))')))] | length')" -le 4
rogue forbidden 0x80000006 '.up and .naks == 8 and .received == 0'
say "$(field rogue '.reasons | tojson')"
rogue delete 0x80000006 '.up and .naks == 0'
rogue self 0x80000005 '.up and .naks == 0'
is "forged packets to an SA of site a, by the own address: auth-fail" \
    "$(at_dmz auth-fail own)" $((100 * count))
rogue sweep 0x80000006 '.up and .naks == 0'
rogue newest 0x80000006 '.up and .naks == 0'

# crowd STEP PORT SSRC [sa-add-argument...]: thousands of senders of the hostile site are expected where
# a phone of site a is, which nobody has heard yet.
crowd() {
    local step=$1 port=$2 ssrc=$3 key
    shift 3
    key=$(new_key $SUITE)
    sa_add inner-a --side external --source 192.168.1.7:$port --hint $WEB --suite $SUITE --key "$key" \
        --to $PHONE_A:$port "$@" >/dev/null || bail "sa add"
    wait_for 3 sas_at dmz "$(status_of inner-a .sas)" || bail "the SA did not reach the dmz-relay"
    victims >"$W/victims.before"
    rogue $step "$ssrc" '.up and .naks == 0'
    wait_for 3 equals $((5000 + $(status_of inner-a .sas))) status_of dmz .sas || bail "the SAs did not arrive"
    receive $step lan-a $PHONE_A:$port --key "$key" --wait 5 --timeout 1
    send_now $step-sent inet --from $WEB:$port --to "${DMZ_OUT[a]}:$MEDIA" --key "$key" \
        --ssrc "$ssrc" --count 100 --rate 50
    finish_of $step 10 || :
    say "$step: heard $(field $step .packets) of 100"
    check "rogue $step: a new sender is heard within 0.4 s" test "$(field $step .packets)" -ge 80
    victims >"$W/victims.before"
    rogue sweep 0x80000006 '.up and .naks == 0'
}
crowd crowd 6400 77
crowd namesakes 6410 78 --ssrc 78
for step in report nak ack unknown; do
    rogue $step 0x80000006 '.up and (.closed | test("protocol error"))'
done

for name in hairpin web out; do
    stop $name || bail "sender $name"
done
# all_here NAME: as many came as were sent.
all_here() { [ "$(stat -c %s "$W/$1-got.got")" -ge "$(stat -c %s "$W/$1.sent")" ]; }
for name in hairpin web out; do
    check "$name: its last packet came" wait_for 5 all_here $name
    stop $name-got || :
    check "$name: not one packet lost, changed, or too many" same_datagrams "$W/$name.sent" "$W/$name-got.got"
done
is "inner-a accepted all, and counted nothing else" "$(moved | tr ' ' '\n' | grep '^inner-a' | grep -cv '/accepted=')" 0
end_capture strange
is "and nothing else went to anybody outside" "$(packets strange)" 0

launch_example two-sites inner-relay-b
tunnels_up inner-b
check "the true site is back, and its SAs" wait_for 10 sas_at dmz 14
receive there lan-b $PHONE_B:7000 --ports 2 --key "${KEY[there]}" --count $((N + 2)) --wait 20
moves "and is called again" "$(passed a b)" -- leg there a b 0x80000001 --seq 500 --rtcp-index 100
check "all packets arrive" finish_of there 10

for name in tunnel-a tunnel-b; do end_capture $name; done
one_tunnel tunnel-a a
is "internal firewall of b: nothing but the tunnel's port" \
    "$(packets tunnel-b "$QUIET and not (tcp port $TUNNEL and host ${INNER[b]} and host ${DMZ_IN[b]})")" 0
for wall in fwx-a fwi-a fwi-b; do is "$wall refused nothing" "$(fw_count $wall refused)" 0; done
done_testing
