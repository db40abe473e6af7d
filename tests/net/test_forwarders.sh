#!/bin/bash
# Two corporate networks behind NAT routers, one public dmz-relay, and two packet forwarders on hosts of their own: the
# media of a call goes by the forwarder with the shortest round trip, and falls back to the other one, and to the
# dmz-relay, within 200 ms when a forwarder is silent or dies. It knows no key of the call. At last a call by it with
# carrier = raw on every leg.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/intranets.sh"
. "$(dirname "$0")/lib/placed.sh"

CA_OF[f]=a CA_OF[g]=a
declare -A FORWARDER=([f]=192.31.197.10 [g]=192.31.198.10)
# One way: 20 ms to the dmz-relay, 4 and 10 ms to the forwarders.
SLOW[net:to-dmz-a]="delay=20"
SLOW[net:to-dmz-f]="delay=4"
SLOW[net:to-dmz-g]="delay=10"

public_host dmz-a "$RELAY"
for c in f g; do public_host dmz-$c "${FORWARDER[$c]}"; done
for c in a b; do
    intranet $c
    lets_out $c ip saddr "${INNER[$c]}" ip daddr "{ $RELAY, ${FORWARDER[f]}, ${FORWARDER[g]} }" tcp dport $TUNNEL
done
for c in a f g; do
    host_firewall dmz-$c <<RULES
    chain let-in {
        ip saddr { ${NAT_OUT[a]}, ${NAT_OUT[b]} } tcp dport $TUNNEL ct state new accept
    }
    chain let-out { }
RULES
done
launch_example intranets dmz-relay-f
put_example intranets dmz-relay-f dmz-g
certificate a g.example.com dmz dmz-g
sed -i "s/f\.example\.com/g.example.com/; s/${FORWARDER[f]}/${FORWARDER[g]}/" "$W/hosts/dmz-g/etc/media-relay/dmz-relay.ini"
launch_host dmz-g dmz-g dmz-relay
two_forwarders() {
    for f in f g; do
        cat <<END
[forwarder $f]
address = ${FORWARDER[$f]}:$TUNNEL
name = $f.example.com
carrier = ${NET_CARRIER:-unordered}
END
    done >>"$2"
}
sites_up two_forwarders

# ---------------------------------------------------------------- words

site_of() { status_of inner-"$1" ".sites[0].$2"; }
# goes_by NAME: the media of both sites does.
goes_by() {
    local c
    for c in a b; do [ "$(site_of $c media)" = "$1" ] || return 1; done
}
rises() { [ "$("${@:2}")" -gt "$1" ]; }
# longest_gap SINCE: in ms, between two packets that came to the phone of site b, since that time of the clock.
longest_gap() {
    tcpdump -n -tt -r "$W/phone.pcap" 2>/dev/null | awk -v since="$1" '
        $1 >= since { if (last && $1 - last > gap) gap = $1 - last; last = $1 }
        END { printf "%d\n", gap * 1000 }'
}
now() { echo "${EPOCHREALTIME/,/.}"; }

# ---------------------------------------------------------------- a call

key_a=$(new_key $SUITE) key_b=$(new_key $SUITE)
sdp a 9000 "$key_a" 101 >"$W/place.sdp"
sdp b 9000 "$key_b" 102 >"$W/answer.sdp"
CALL=$(ctl inner-a call place "${SITE[b]}" --sdp "$W/place.sdp") || bail "no call can be placed"
timeout 10 "$NET_CTL" -s "$RUN/inner-b.sock" call wait >/dev/null || bail "the call does not ring"
check "a call is answered" ctl inner-b call answer "$CALL" --sdp "$W/answer.sdp"
check "four SAs at the dmz-relay" wait_for 10 sas_at dmz 4
for f in f g; do is "no SA at forwarder $f" "$(status_of dmz-$f .sas)" 0; done

capture phone lan-b eth0 "udp dst port 9000"
receive got lan-b "${LAN[b]}:9000" --ports 2 --key "$key_a" --wait 30 --timeout 3
send talk lan-a --from "${LAN[a]}:9000" --to "${INNER[a]}:$MEDIA" --key "$key_a" --ssrc 101 --count 0
check "media goes through the dmz-relay from its first packet" wait_for 10 at_least 1 verdict dmz accepted 'own address'
check "then by the forwarder with the shortest round trip" wait_for 20 goes_by f
for c in a b; do
    like "site $c: its round trip to the other one is that of this way" "$(site_of $c media_rtt_ms)" '^(1[6-9]|[2-9].|[1-9]..)'
done
check "which passes it on" wait_for 5 rises "$(verdict dmz-f accepted tunnel)" verdict dmz-f accepted tunnel
# by_dmz: of the packets that came to site b meanwhile, how many went through the dmz-relay, in percent.
by_dmz() {
    local dmz came
    dmz=$(verdict dmz accepted 'own address') came=$(packets phone)
    wait_for 10 rises $((came + 60)) packets phone
    echo $((($(verdict dmz accepted 'own address') - dmz) * 100 / ($(packets phone) - came)))
}
mostly_beside() { [ "$(by_dmz)" -lt 25 ]; }
check "and not the dmz-relay, but for one packet in a second" wait_for 20 mostly_beside

# What the forwarder knows of it: nothing that decrypts, nor anything to verify with.
if grep -q __asan <"$NET_SBIN/dmz-relay"; then
    ok "# SKIP AddressSanitizer's memory cannot be searched"
else
    printf '%s\n' "a $SUITE $key_a" "b $SUITE $key_b" | "$NET_TOOLS/keyneedles" >"$W/needles"
    "$NET_TOOLS/memsearch" "${PID[dmz-f]}" <"$W/needles" >"$W/found" 2>&1
    is "it has no key of the call" "$(tail -n 1 "$W/found" | cut -d ' ' -f 1)" 0
    "$NET_TOOLS/memsearch" "${PID[inner-a]}" <"$W/needles" >"$W/found" 2>&1
    check "an inner-relay has: the search finds" test "$(tail -n 1 "$W/found" | cut -d ' ' -f 1)" -gt 0
fi

# Before anything fails: what a host that was killed sends, or resends, may come to a connection that is no more.
for c in a b; do
    is "nat-$c: nothing was opened inwards, no packet was invalid" "$(fw_count nat-$c inward)+$(invalid nat-$c)" 0+0
done

# ---------------------------------------------------------------- silence, and an end

# fails TEXT TO COMMAND...: media goes by TO after the command, and no longer than 200 ms by nothing; a machine that
# keeps a process from running for so long gets two more tries, for which "heal" makes it whole again.
fails() {
    local text=$1 to=$2 try since gap
    shift 2
    for try in 1 2 3; do
        since=$(now)
        "$@"
        check "$text: media goes by $to" wait_for 20 goes_by "$to" || return
        link net:to-dmz-f outage=0 >/dev/null
        wait_for 2 rises "$(packets phone)" packets phone
        gap=$(longest_gap "$since")
        say "$text: no packet for $gap ms"
        [ "$gap" -gt 200 ] && [ $try -lt 3 ] || break
        heal
    done
    check "$text: no longer than 200 ms without a packet" test "$gap" -le 200
}
heal() {
    wait_for 20 goes_by f || bail "media does not come back to the shortest way"
}
silence() { link net:to-dmz-f outage=1 >/dev/null; }
fails "forwarder f is silent" g silence
since=$(now)
for c in f g; do stop dmz-$c KILL || :; done
check "both forwarders are killed: media goes by the dmz-relay" wait_for 20 goes_by main
wait_for 2 rises "$(packets phone)" packets phone
gap=$(longest_gap "$since")
say "no packet for $gap ms"

stop talk TERM
finish_of got 15 || say "rtprecv: $(cat "$W/got.log")"
is "no packet came twice, and none that was spoiled" "$(field got '"\(.duplicates) \(.auth_failures) \(.replays)"')" "0 0 0"
lost=$(($(field talk .rtp) - $(field got .rtp)))
say "lost $lost of $(field talk .rtp)"
# A process that does not run makes a gap, too, but loses nothing; 200 ms are 10 packets.
check "both killed: no longer than 200 ms without a packet, or no more lost than that" \
    test "$gap" -le 200 -o "$lost" -le 20
check "site a hangs up" ctl inner-a call end "$CALL"
for c in a b; do
    check "site $c has no SA left" wait_for 10 sas_at inner-$c 0
done

# ---------------------------------------------------------------- raw on every leg

for name in inner-a inner-b dmz; do stop $name || bail "$name: $(tail -n 3 "$W/$name.log")"; done
# shellcheck disable=SC2034
NET_RAW=yes NET_CARRIER=raw NET_CAPS=("${RAW_CAPS[@]}")
for host in dmz-a dmz-f dmz-g inner-a inner-b; do
    program=${host%-*}-relay
    file=$W/hosts/$host/etc/media-relay/$program.ini
    # It leaves [dmz NAME] the only section that has a carrier.
    set_carrier "$file" $program
    sed -i "/^\[forwarder /a carrier = raw" "$file"
    launch_host ${host/#dmz-a/dmz} $host $program
done
tunnels_up inner-a inner-b dmz-f dmz-g
# carriers DAEMON: of all of its tunnels: their number and what they go by.
carriers() { status_of "$1" '[.tunnels[].carrier] | "\(length) \(unique | join(" "))"'; }
# raw_on_all_legs: each site has three, the hosts of the others two.
raw_on_all_legs() {
    local name
    for name in inner-a inner-b; do equals "3 raw" carriers $name || return 1; done
    for name in dmz dmz-f dmz-g; do equals "2 raw" carriers $name || return 1; done
}
check "carrier = raw: so is each leg, by the dmz-relay and by both forwarders, at both ends" wait_for 20 raw_on_all_legs
call_up
check "a call's media goes by the forwarder with the shortest round trip" wait_for 20 goes_by f
# genuine DAEMON NAME: segments that it took from the wire as they came, of the tunnel of that name.
genuine() { status_of "$1" ".tunnels[] | select(.name == \"$2\") | .raw.genuine"; }
for c in a b; do
    o=$(other $c)
    before=$(verdict dmz-f accepted tunnel) at_f=$(genuine dmz-f "${SITE[$c]}") at_o=$(genuine inner-$o f)
    media raw-$c $c 200 $FIRST --rate 200
    check "from site $c to site $o, octet for octet" came raw-$c
    check "the forwarder has passed it on" at_least $((before + 150)) verdict dmz-f accepted tunnel
    check "and read it early on both legs" test "$(genuine dmz-f "${SITE[$c]}")" -ge $((at_f + 50)) -a \
        "$(genuine inner-$o f)" -ge $((at_o + 50))
done
check "and is the way still" goes_by f
check "each leg is raw as before" raw_on_all_legs
check "site a hangs up" ctl inner-a call end "$CALL"
for c in a b; do check "site $c has no SA left" wait_for 10 sas_at inner-$c 0; done
done_testing
