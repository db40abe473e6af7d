#!/bin/bash
# Two corporate networks behind NAT routers that let nothing in, each with an inner-relay and a Kamailio, and the
# dmz-relay on a public host; examples/intranets. A phone of each calls the other: SIP and media go from tunnel to
# tunnel; what the dmz-relay learns of it; then media goes past the dmz-relay, and when that way dies by the packet
# forwarder with the shorter round trip, by the other one, and by the dmz-relay again.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/sip.sh"
. "$(dirname "$0")/lib/intranets.sh"

RELAY=${DMZ_OUT[a]}
CA_OF[b]=a

CA_OF[f]=a CA_OF[g]=a
declare -A FORWARDER=([f]=192.31.197.10 [g]=192.31.198.10)
SLOW[net:to-dmz-g]="delay=10"

public_host dmz-a "$RELAY"
for f in f g; do public_host dmz-$f "${FORWARDER[$f]}"; done
for c in a b; do
    intranet $c random
    lets_out $c ip saddr "${INNER[$c]}" ip daddr "{ $RELAY, ${FORWARDER[f]}, ${FORWARDER[g]} }" tcp dport $TUNNEL
done
for f in f g; do
    host_firewall dmz-$f <<RULES
    chain let-in {
        ip saddr { ${NAT_OUT[a]}, ${NAT_OUT[b]} } tcp dport $TUNNEL ct state new accept
    }
    chain let-out { }
RULES
done
host_firewall dmz-a <<RULES
    counter strangers { }
    chain let-in {
        ip saddr { ${NAT_OUT[a]}, ${NAT_OUT[b]} } tcp dport $TUNNEL ct state new accept
    }
    chain let-out {
        udp sport { $MEDIA, $((MEDIA + 1)) } counter name "strangers" accept
    }
RULES
show_rules_of nat-a nat-b dmz-a
capture wire net any
launch_example intranets dmz-relay
for c in a b; do
    launch_example intranets inner-relay-$c
done
tunnels_up inner-a inner-b

# local_of COMPANY: its kamailio-local.cfg, so that it is as it stands once kamailio has written it.
local_of() { mirrored "$1" <"$EXAMPLES/intranets/kamailio-local-$1.cfg" >"$W/local-$1.cfg"; }
for c in a b; do
    local_of $c
    SIP_LOCAL=$W/local-$c.cfg kamailio $c
    diff "$EXAMPLES/intranets/kamailio-local-$c.cfg" "$W/kamailio-$c/kamailio-local.cfg" || bail "not the example"
done
capture sip-a lan-a eth0 udp port $SIP_INSIDE
capture carried dmz-a lo tcp
phone bob lan-a "${LAN[a]}" "${INNER[a]}:$SIP_INSIDE;transport=udp" 440
SIP_DOMAIN=${DOMAIN[b]}
phone erin lan-b "${LAN[b]}" "${INNER[b]}:$SIP_INSIDE;transport=udp" 880
phones_registered bob erin

# known LETTER: its inner-relay knows that its one call is with the other site.
declare -A SITE=([a]=hq.example.com [b]=branch.example.com)
other() { [ "$1" = a ] && echo b || echo a; }
known() {
    [ "$(ctl_json inner-"$1" call list | jq -r '.calls[0].site')" = "${SITE[$(other "$1")]}" ] &&
        [ "$(status_of inner-"$1" '.sites[0].sas')" = 2 ]
}
# What the dmz-relay learns of the call: what its control socket shows is in learned.json; its memory, and what
# it has carried from tunnel to tunnel, have nothing of what is said in SIP, which is in the capture sip-a.
# docs/security.md has this in words.
LEARNED="created destination destination_learned destination_mux destination_rtcp dropped encap_in encap_out \
generation id key label last_packet media media_timeout octets packets rate reverse side site source source_bound \
source_mux source_policy source_rtcp ssrc state streams suite to_side verdicts"
measure() {
    local suite=AES_CM_128_HMAC_SHA1_80 needle id
    for id in $(ctl_json dmz sa list | jq -r '[.sas[].id] | unique[]'); do ctl_json dmz sa show "$id"; done |
        jq -s '[.[].sa | with_entries(select(.value != null and .value != "" and .value != [] and .value != {}))]' >"$W/learned.json"
    is "the dmz-relay is told this of each SA, no more" "$(jq -r '[.[] | keys[]] | unique | join(" ")' "$W/learned.json")" \
        "$LEARNED"
    is "of addresses its own, and no other" "$(jq -r '[.[] | .source, .source_rtcp, .destination, .destination_rtcp
        | values] | unique | join(" ")' "$W/learned.json")" "$RELAY:$MEDIA $RELAY:$((MEDIA + 1))"
    say "one of them: $(jq -c '.[0]' "$W/learned.json")"
    grep -aoE "$suite inline:[A-Za-z0-9+/=]+" "$W/sip-a.pcap" | sort -u | sed 's/inline://; s/^/key /' >"$W/keys"
    check "SIP inside has the keys of both phones" test "$(wc -l <"$W/keys")" -ge 2
    grep -aoE '^(Call-ID: [^ ]{8}|m=audio [0-9]+ RTP/SAVP|o=- [0-9]+ [0-9]+ |CSeq: [0-9]+ INVITE|From: <sip:[^>]+>;tag=[0-9a-f]{8})' \
        "$W/sip-a.pcap" | sed 's/^Call-ID: //; s/^From: <.*tag=//' | sort -u >"$W/said"
    printf '%s\n' "sip:bob@${DOMAIN[a]}" "sip:erin@${DOMAIN[b]}" "${LAN[a]}:" "${LAN[b]}:" "IP4 ${LAN[a]}" "IP4 ${LAN[b]}" \
        >>"$W/said"
    check "and more that is nobody else's business" test "$(wc -l <"$W/said")" -ge 10
    "$NET_TOOLS/keyneedles" <"$W/keys" | grep -vE '^[^ ]*\.rtc?p-auth\.' >"$W/needles" || bail "no needles"
    text_needles <"$W/said" >>"$W/needles"
    is "the dmz-relay's memory has none of it" "$(found dmz)" 0 || sed -n '1,5s/^/#   /p' "$W/found"
    check "the inner-relay's has: the search finds" test "$(found inner-a)" -gt 0
    while IFS= read -r needle; do
        ! grep -aqF -e "$needle" "$W/carried.pcap" || say "carried: $needle"
    done <"$W/said" >"$W/carried"
    is "nor has what it carried from one [forward] to the other" "$(cat "$W/carried")" ""
    check "which it did" test "$(packets carried)" -gt 10
}
no_sas() { for d in dmz inner-a inner-b; do sas_at $d 0 || return 1; done; }

# calls FROM TO[@DOMAIN]
calls() {
    local c
    dial "$1" "$2"
    for c in a b; do
        check "$1 calls $2: two SAs at site $c" wait_for 20 sas_at inner-$c 2
        check "media both ways at site $c" flows $c 50
    done
    check "four SAs at the dmz-relay" wait_for 10 sas_at dmz 4
    for c in a b; do check "site $c knows which site it is with" wait_for 20 known $c; done
}
calls bob "erin@${DOMAIN[b]}"
for c in a b; do only_outward $c "$RELAY" $TUNNEL; done
is "the firewall of the dmz-relay's host refused nothing" "$(fw_count dmz-a refused)+$(invalid dmz-a)" 0+0
is "no media left it" "$(fw_count dmz-a strangers)" 0
end_capture wire
is "nothing but two tunnels was on the Internet" "$(packets wire "$QUIET and not (tcp port $TUNNEL and host $RELAY)")" 0
# The dmz-relay stands still while its memory is searched; where that takes more than 1.5 s, the tunnels are opened anew.
grep -q __asan <"$NET_SBIN/dmz-relay" || measure
tell erin hangup >>"$W/tell.out"
check "erin hangs up: no SA is left" wait_for 20 no_sas
check "bob hears erin" wait_for 10 heard bob 880 1
check "erin hears bob" wait_for 10 heard erin 440 1
for name in dmz inner-a inner-b; do is "$name: nothing failed authentication" "$(verdict $name auth-fail)" 0; done

# ---------------------------------------------------------------- past the dmz-relay

# Both inner-relays may send in the name of the dmz-relay now, and the NAT routers let that out (see test_meet.sh); and
# there are two packet forwarders. Kamailio and the phones know nothing of it.
launch_example intranets dmz-relay-f
put_example intranets dmz-relay-f dmz-g
certificate a g.example.com dmz dmz-g
sed -i "s/f\.example\.com/g.example.com/; s/${FORWARDER[f]}/${FORWARDER[g]}/" "$W/hosts/dmz-g/etc/media-relay/dmz-relay.ini"
launch_host dmz-g dmz-g dmz-relay
NET_CAPS=("${RAW_CAPS[@]}")
for name in inner-a inner-b dmz; do stop $name TERM || bail "$name did not stop"; done
for file in "$W"/hosts/{dmz-a,inner-a,inner-b}/etc/media-relay/*-relay.ini; do sed -i '/^\[tunnel\]$/a raw-socket = yes' "$file"; done
for c in a b; do
    sed -i "/^ring-timeout/a allow-spoofing = yes\ndirect-to = ${NAT_OUT[$(other $c)]}" \
        "$W/hosts/inner-$c/etc/media-relay/inner-relay.ini"
    for f in f g; do
        printf '%s\n' "[forwarder $f]" "address = ${FORWARDER[$f]}:$TUNNEL" "name = $f.example.com"
    done >>"$W/hosts/inner-$c/etc/media-relay/inner-relay.ini"
    in_ns nat-$c nft -f - <<END || bail "spoofing rules of nat-$c"
table inet spoofing {
    chain raw {
        type filter hook prerouting priority raw
        iifname "inside" ip saddr $RELAY tcp sport $TUNNEL notrack
    }
}
insert rule inet firewall forward iifname inside oifname internet ct state untracked ip saddr $RELAY accept
END
done
launch_host dmz dmz-a dmz-relay
for c in a b; do launch_host inner-$c inner-$c inner-relay; done
tunnels_up inner-a inner-b
path_is() { [ "$(ctl_json inner-"$1" call list | jq -r '.calls[0].path')" = "$2" ]; }
sent() { status_of inner-a '.sites[0].direct.sent'; }
calls erin "bob@${DOMAIN[a]}"
if [ "${NET_WORKERS-1}" = 1 ]; then
    for c in a b; do check "site $c: media of a call by SIP goes past the dmz-relay" wait_for 20 path_is $c direct; done
    before=$(sent)
    check "100 packets more" wait_for 10 at_least $((before + 100)) sent
else
    ok "# SKIP allow-spoofing takes one thread"
fi
# goes_by NAME: the media of both sites does, or would, were there no direct path.
goes_by() {
    local c
    for c in a b; do [ "$(status_of inner-$c '.sites[0].media')" = "$1" ] || return 1; done
}
passes_on() { verdict dmz-"$1" accepted tunnel; }
relayed() { verdict dmz accepted 'own address'; }
# carries TEXT NAME COUNTER...: media goes by NAME, and 50 packets more are counted there.
carries() {
    local text=$1 name=$2 before
    shift 2
    check "$text: media goes by $name" wait_for 20 goes_by "$name" || return
    before=$("$@")
    check "$text: 50 packets more" wait_for 10 at_least $((before + 50)) "$@"
}
check "the packet forwarder with the shorter round trip is ready" wait_for 20 goes_by f
for c in a b; do in_ns nat-$c nft flush chain inet spoofing raw || bail "spoofing of nat-$c"; done
if [ "${NET_WORKERS-1}" = 1 ]; then
    for c in a b; do check "site $c: no segment passes: media goes by the forwarder" wait_for 10 path_is $c "forwarder f"; done
fi
carries "after that" f passes_on f
kill -STOP "${PID[dmz-f]}"
carries "forwarder f stands still" g passes_on g
stop dmz-g KILL || :
carries "forwarder g is killed" main relayed
stop dmz-f KILL || :
tell erin hangup >>"$W/tell.out"
check "erin hangs up: no SA is left" wait_for 20 no_sas
check "bob hears erin" wait_for 10 heard bob 880 1
check "erin hears bob" wait_for 10 heard erin 440 1

for port in $SIP_PORT $((SIP_PORT + 1)); do
    in_ns inet timeout 0.2 bash -c ": </dev/tcp/$RELAY/$port" 2>/dev/null
done
check "a stranger who wants to speak SIP is refused" wait_for 10 at_least 2 fw_count dmz-a refused
done_testing
