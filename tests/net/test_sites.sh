#!/bin/bash
# Two sites, each with an inner-relay and a certificate of its own, on one dmz-relay: calls of each,
# SAs that the other cannot reach, and a second connection of one site.
. "$(dirname "$0")/lib.sh"

N=50
SUITE=AES_CM_128_HMAC_SHA1_80
PHONE2=10.9.129.20
SITES="$SITE_A, $SITE_B"

topology
second_site
certificates "$DMZ_NAME=dmz" "$SITE_A=inner" "$SITE_B=inner" stranger.example=inner
DMZ_EXTRA="[limits]
site-quota = 3"
dmz_config
inner_config
inner_config inner2 inside2 $SITE_B 10.9.129.1 ""
launch dmz
launch inner
launch inner2
for name in inner inner2; do
    wait_for 10 tunnel_up $name || bail "the tunnel of $name did not come up"
done
is "the dmz-relay knows both sites by their certificates" \
    "$(status_of dmz '[.tunnels[] | select(.state == "up") | .name] | sort | join(" ")')" "$SITE_A $SITE_B"

# The same SSRC at both: each site has its own labels.
key_a=$(new_key $SUITE) key_b=$(new_key $SUITE) out_b=$(new_key $SUITE)
sa_add inner --side external --source $CLIENT:5004 --suite $SUITE --key "$key_a" --ssrc 1000 \
    --to $PHONE:6000 --call-id call-a >/dev/null || bail "sa add"
sa_add inner2 --side external --source 198.51.100.11:5004 --suite $SUITE --key "$key_b" \
    --ssrc 1000 --to $PHONE2:6000 --call-id call-b >/dev/null || bail "sa add"
sa_add inner2 --side internal --source $PHONE2:5004 --suite $SUITE --key "$out_b" \
    --ssrc 1000 --to $CLIENT:6000 --call-id call-b >/dev/null || bail "sa add"
check "all SAs are at the dmz-relay" wait_for 3 sas_at dmz 3
is "each with its site" \
    "$(ctl_json dmz sa list | jq -r '[.sas[] | "\(.call_id)@\(.site)"] | unique | join(" ")')" \
    "call-a@$SITE_A call-b@$SITE_B"
is "a site lists its own only" "$(ctl_json inner sa list | jq -r '[.sas[].call_id] | join(" ")')" call-a
is "and so does the other" "$(ctl_json inner2 sa list | jq -r '[.sas[].call_id] | unique | join(" ")')" call-b
refuse "a site cannot send to a network that is not its own side" sa_add inner --side external \
    --source $CLIENT:5008 --suite $SUITE --key "$key_a" --ssrc 5 --to 198.51.100.11:6000

receive a lan $PHONE:6000 --key "$key_a" --count $N --wait 20
receive b lan2 $PHONE2:6000 --key "$key_b" --count $N --wait 20
receive out inet $CLIENT:6000 --key "$out_b" --count $N --wait 20
send sa inet --from $CLIENT:5004 --to $DMZ_RTP:$DMZ_PORT --key "$key_a" --ssrc 1000 --count $N --save "$W/a.sent"
send sb inet --from 198.51.100.11:5004 --to $DMZ_RTP:$DMZ_PORT --key "$key_b" --ssrc 1000 --count $N --save "$W/b.sent"
send sout lan2 --from $PHONE2:5004 --to 10.9.129.1:$INNER_PORT --key "$out_b" --ssrc 1000 --count $N --save "$W/out.sent"
for name in a b out; do
    finish_of s$name 10
    check "$name: its packets arrive where they should" finish_of $name 10
    check "$name: and no others" same_datagrams "$W/$name.sent" "$W/$name.got"
done
is "site a got no packet of site b" "$(verdicts inner tunnel)" "accepted=$N"
is "site b got no packet of site a" "$(verdicts inner2 tunnel)" "accepted=$N"

# The quota is of each site by itself.
for i in 1 2; do
    sa_add inner --side external --source $CLIENT:$((7000 + i)) --suite $SUITE --key "$key_a" \
        --ssrc $i --to $PHONE:6000 >/dev/null || bail "sa add $i"
done
refuse "a fourth SA of a site with a quota of 3" sa_add inner --side external \
    --source $CLIENT:7009 --suite $SUITE --key "$key_a" --ssrc 9 --to $PHONE:6000
check "the other site still has room" wait_for 1 sas_at inner2 2
sa_add inner2 --side external --source $CLIENT:7009 --suite $SUITE --key "$key_b" --ssrc 9 \
    --to $PHONE2:6000 >/dev/null
check "and uses it" wait_for 3 sas_at dmz 6

# A site's SAs stay when another site's tunnel ends, and when its own does (stale-hold).
stop inner2 KILL || :
check "the dmz-relay sees that site b is gone" wait_for 5 equals 1 status_of dmz \
    '[.tunnels[] | select(.state == "up")] | length'
receive a lan $PHONE:6000 --key "$key_a" --count $N --wait 20
send_now sa inet --from $CLIENT:5004 --to $DMZ_RTP:$DMZ_PORT --key "$key_a" --ssrc 1000 --seq 1000 \
    --count $N --rate 200
check "site a goes on while site b is away" finish_of a 10
before=$(verdict dmz tunnel-down)
send_now sb inet --from 198.51.100.11:5004 --to $DMZ_RTP:$DMZ_PORT --key "$key_b" --ssrc 1000 \
    --seq 1000 --count $N --rate 200
check "packets of site b are tunnel-down meanwhile" \
    wait_for 3 equals $((before + N)) verdict dmz tunnel-down

# A second connection of one site: another daemon with the same certificate. One of both stays,
# and each is told why.
inner_config twin inside $SITE_A 10.9.1.1 ""
sed -i 's/^rtp-port = .*/rtp-port = 42000/' "$W/twin.ini"
launch twin
one_up() { equals 1 status_of dmz "[.tunnels[] | select(.name == \"$SITE_A\" and .state == \"up\")] | length"; }
check "one connection of the site is up at the dmz-relay" wait_for 5 one_up
said() { grep -qiE 'newer connection|second connection' "$W"/inner.log "$W"/twin.log "$W"/dmz.log; }
check "and the log says so" wait_for 5 said
stop twin || :
check "the first comes back when the second has left" wait_for 15 tunnel_up inner

# A certificate of the CA is not enough.
sed "s/$SITE_A/stranger.example/" "$W/inner.ini" | sed "s/inner\.\(sock\|state\)/stranger.\1/; s/^rtp-port = .*/rtp-port = 43000/" >"$W/stranger.ini"
PROGRAM[stranger]=$NET_SBIN/inner-relay SPACE_OF[stranger]=inside
launch stranger
refused_name() { grep -q 'stranger.example' "$W/dmz.log"; }
check "a site that is not on the list is refused by name" wait_for 5 refused_name
refuse "and has no tunnel" tunnel_up stranger
like "which it says" "$(status_of stranger '.tunnels[0].last_error')" '.'
done_testing
