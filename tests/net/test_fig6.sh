#!/bin/bash
# FIG. 6: a corporate client behind the relay of another company, with examples/fig6. That relay is a
# script here, which sends what no honest relay does as well. What comes from it is RTP': the SA is
# found by the outer SSRC. No SA: dropped. Another SSRC inside: dropped, also when an SA has that one.
# The same: forwarded. RTP' from anybody else: dropped. RTP and RTCP, both directions, and real media.
. "$(dirname "$0")/lib.sh"

N=20
SUITE=AES_CM_128_HMAC_SHA1_80
PHONE=${LAN[a]}
PEER=${DMZ_OUT[b]}

company a b
# Anybody, so that it is the relay that drops what is no peer's.
rules_anybody a | firewall fwx-a
rules_tunnel a | firewall fwi-a
# And the other company's script may send from other ports than those of a relay.
firewall fwx-b <<END
        iifname "dmz" oifname "internet" ip saddr $PEER ip daddr ${DMZ_OUT[a]} udp dport { $MEDIA, $((MEDIA + 1)) } counter name "out" accept
        iifname "internet" oifname "dmz" ip saddr ${DMZ_OUT[a]} ip daddr $PEER udp dport { $MEDIA, $((MEDIA + 1)) } counter name "in" accept
END
show_firewalls
capture internet fwx-a internet
capture tunnel fwi-a dmz
launch_example 6 dmz-relay
launch_example 6 inner-relay
tunnels_up inner dmz
is "the dmz-relay shows its peer" "$(status_of dmz '.peers[] | "\(.name) \(.address) \(.rtp_port)"')" \
    "other $PEER $MEDIA"

key=$(new_key $SUITE) other_key=$(new_key $SUITE)
ours=${DMZ_OUT[a]}:$MEDIA
peer=(dmz-b --from "$PEER:$MEDIA" --to "$ours")
# from SPACE RTPSEND-ARGUMENT...: N RTP packets and 2 of RTCP, none under an index that was there before.
ROUND=0
from() {
    local space=$1
    shift
    ROUND=$((ROUND + 1))
    send_now sender "$space" --rate 0 --count $N --rtcp-every 10 --seq $((ROUND * 100)) \
        --rtcp-index $((ROUND * 2)) "$@"
}
both() { echo "dmz/rtp/$1=$N dmz/rtcp/$1=2"; }
add() { sa_add inner --suite $SUITE "$@" || bail "sa add"; }
sas() { wait_for 3 sas_at dmz "$1" || bail "the dmz-relay has $(status_of dmz .sas) SAs, not $1"; }

# forwarded TEXT SSRC RTPSEND-ARGUMENT...: they arrive at the phone, octet for octet and without the
# outer SSRC.
forwarded() {
    local text=$1 ssrc=$2
    shift 2
    receive phone lan-a "$PHONE:7000" --ports 2 --count $((N + 2)) --wait 20
    moves "$text" "$(both accepted) inner/tunnel/accepted=$((N + 2))" -- \
        from "${peer[@]}" --prime --ssrc "$ssrc" --save "$W/peer.sent" "$@"
    check "$text: they arrive" finish_of phone 10
    check "$text: octet for octet" same_datagrams "$W/peer.sent" "$W/phone.got"
}

say "the SA by the outer SSRC"
moves "no SA" "$(both no-sa)" -- from "${peer[@]}" --prime --ssrc 1000 --key "$key"
first=$(add --side external --peer other --key "$key" --ssrc 1000 --to "$PHONE:7000" | jq .id)
add --side external --peer other --key "$other_key" --ssrc 2000 --to "$PHONE:7000" >/dev/null
sas 2
forwarded "the SSRC of an SA" 1000 --key "$key"
forwarded "the SSRC of the other SA" 2000 --key "$other_key"
moves "an outer SSRC of no SA, inside that of one" "$(both no-sa)" -- \
    from "${peer[@]}" --outer 3000 --ssrc 1000 --key "$key"
moves "inside an SSRC of no SA, authentic with the SA's key" "$(both ssrc-mismatch)" -- \
    from "${peer[@]}" --outer 1000 --ssrc 3000 --key "$key"
moves "inside the SSRC of the other SA, authentic with the first one's key" "$(both ssrc-mismatch)" -- \
    from "${peer[@]}" --outer 1000 --ssrc 2000 --key "$key"
moves "inside what the other SA's sender sends" "$(both auth-fail)" -- \
    from "${peer[@]}" --outer 1000 --ssrc 2000 --key "$other_key" --save "$W/wrong-outer.sent"
receive phone lan-a "$PHONE:7000" --ports 2 --count $((N + 2)) --wait 20
moves "the very same under its own" "$(both accepted) inner/tunnel/accepted=$((N + 2))" -- \
    send_now sender "${peer[@]}" --prime --resend "$W/wrong-outer.sent" --rate 0
check "they arrive" finish_of phone 10
check "octet for octet" same_datagrams "$W/wrong-outer.sent" "$W/phone.got"
moves "a wrong tag" "$(both auth-fail)" -- from "${peer[@]}" --prime --ssrc 1000 --key "$key" --forge
moves "once more what was accepted" "$(both replay)" -- \
    send_now sender "${peer[@]}" --prime --resend "$W/wrong-outer.sent" --rate 0

say "outer SSRCs that look like the first octets of RTP, version 2, of RTCP and of others"
# Each is an SA of its own, with the same key.
ssrcs="0x80000000 0x80c80006 0x9fffffff 0xbfffffff 0x00010008 0x16fefd00 0xffffffff"
for ssrc in $ssrcs; do
    add --side external --peer other --key "$key" --ssrc "$ssrc" --to "$PHONE:7000" >/dev/null
done
sas 9
for ssrc in $ssrcs; do forwarded "outer SSRC $ssrc" "$ssrc" --key "$key"; done

say "who is no peer"
web=(inet --from "$WEB:$MEDIA" --to "$ours")
# Read as RTP or RTCP, 0x80000000 is of version 2 and 1000 of none.
moves "RTP' from elsewhere that looks like RTP" "$(both no-sa)" -- \
    from "${web[@]}" --prime --ssrc 0x80000000 --key "$key"
moves "RTP' from elsewhere that does not" "$(both malformed)" -- \
    from "${web[@]}" --prime --ssrc 1000 --key "$key"
moves "RTP' from another port of the peer's host" "$(both malformed)" -- \
    from dmz-b --from "$PEER:6000" --to "$ours" --prime --ssrc 1000 --key "$key"
moves "RTP from elsewhere, authentic" "$(both no-sa)" -- from "${web[@]}" --ssrc 1000 --key "$key"
moves "RTP from the peer is RTP' nevertheless" "$(both malformed)" -- \
    from "${peer[@]}" --ssrc 1000 --key "$key"
forwarded "and the peer goes on" 1000 --key "$key"

say "a dmz-relay that does not list the peer"
ini=$W/hosts/dmz-a/etc/media-relay/dmz-relay.ini
cp "$ini" "$W/listed.ini"
sed -i '/^\[peer other\]/,/^$/d' "$ini"
check "the section goes with a reload" ctl dmz reload
is "nothing is shown any longer" "$(status_of dmz '.peers | length')" 0
refused() { ctl_json inner sa show "$1" | jq -r .sa.refused; }
check "the inner-relay is told which SAs that refuses" \
    wait_for 3 equals "the source is no [peer] of this dmz-relay" refused "$first"
moves "RTP' from it is read as RTP" "$(both malformed)" -- \
    from "${peer[@]}" --prime --ssrc 1000 --key "$key"
moves "also where that looks like RTP" "$(both no-sa)" -- \
    from "${peer[@]}" --prime --ssrc 0x80000000 --key "$key"
moves "RTP from it is not taken for its SA's" "$(both no-sa)" -- \
    from "${peer[@]}" --ssrc 1000 --key "$key"
id=$(add --side external --peer other --key "$key" --ssrc 4000 --to "$PHONE:7000" | jq .id)
said_so() { [ "$(refused "$id")" != null ]; }
wait_for 3 said_so || bail "no SA-NAK came"
is "an SA of it is refused there" "$(refused "$id")" "the source is no [peer] of this dmz-relay"
cp "$W/listed.ini" "$ini"
check "it is back with a reload" ctl dmz reload
check "nothing is refused any longer" wait_for 3 equals null refused "$first"
forwarded "its SAs are as they were" 1000 --key "$key"

say "to the peer: the SSRC of the packet in front of it"
out=$(add --side internal --source "$PHONE:6000" --key "$key" --ssrc 0x9abcdef0 --peer other | jq .id)
sas 10
is "it is to go as RTP'" "$(ctl_json inner sa show "$out" | jq -r '.sa | .encap_in + " " + .encap_out')" \
    "rtp rtp-prime"
capture peer dmz-b eth0 "udp and src host ${DMZ_OUT[a]}"
receive peer dmz-b "$PEER:$MEDIA" --ports 2 --prime --key "$key" --count $((N + 2)) --wait 20
moves "RTP from the phone" "inner/rtp/accepted=$N inner/rtcp/accepted=2 dmz/tunnel/accepted=$((N + 2))" -- \
    from lan-a --from "$PHONE:6000" --to "${INNER[a]}:$MEDIA" --ssrc 0x9abcdef0 --key "$key" \
    --save "$W/phone.sent"
check "RTP' to the peer: all verify, each with its SSRC in front" finish_of peer 10
is "from the same two ports" "$(field peer '.sources | sort | join(" ")')" "$ours ${ours%:*}:$((MEDIA + 1))"
check "octet for octet behind it" same_datagrams "$W/phone.sent" "$W/peer.got"
end_capture peer
# FIG. 5: the SSRC in network order, then the packet as it is.
datagrams "$W/phone.sent" | sed 's/^/9abcdef0/' | sort >"$W/wanted.hex"
payloads peer | sort >"$W/wire.hex"
check "on the wire: 9abcdef0, then the packet" cmp "$W/wanted.hex" "$W/wire.hex"

say "real media both ways: GStreamer behind the peer, ffmpeg here"
in_key=$(new_key $SUITE) out_key=$(new_key $SUITE)
add --side external --peer other --key "$in_key" --ssrc 11 --to "$PHONE:8000" >/dev/null
add --side internal --source "$PHONE:8020" --key "$out_key" --ssrc 12 --peer other >/dev/null
sas 12
start prime dmz-b "$(dirname "$NET_CTL")/rtp-prime" --listen 127.0.0.1:9000 --relay "$ours" \
    --from "$PEER:$MEDIA" --client 127.0.0.1:9010 --keepalive 0
wait_for 5 bound dmz-b 9001 || bail "rtp-prime does not listen"
before=$(verdict dmz accepted)
ffmpeg_receive got-in lan-a "$PHONE" 8000 $SUITE "$in_key"
gst_receive got-out dmz-b 127.0.0.1 9010 $SUITE "$out_key" 12
gst_send in dmz-b 440 $SECONDS_SENT $SUITE "$in_key" 11 127.0.0.1 9020 127.0.0.1 9000
ffmpeg_send out lan-a 660 $SECONDS_SENT $SUITE "$out_key" 12 8020 "${INNER[a]}" "$MEDIA"
all_here() { at_least $((before + 2 * SECONDS_SENT * 50)) verdict dmz accepted; }
check "every packet came" wait_for 20 all_here
end_streams in out
for row in "in 440" "out 660"; do
    read -r name tone <<<"$row"
    check "$name: $tone Hz" hears "$tone" "$W/got-$name.wav"
done
check "rtp-prime ends" stop prime TERM

for name in internet tunnel; do end_capture $name; done
one_tunnel tunnel a
two_ports internet a
nothing_refused
done_testing
