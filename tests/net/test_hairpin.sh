#!/bin/bash
# Two clients on the Internet call each other, one of them behind NAT, with examples/fig4: the
# dmz-relay verifies what they send and sends it out again, to where each is heard. Nothing of the
# media is in the tunnel, and the internal firewall sees one TCP connection.
. "$(dirname "$0")/lib.sh"

SUITE=AES_CM_128_HMAC_SHA1_80
MOBILE=192.168.1.2

company a
home random
rules_anybody a | firewall fwx-a
rules_tunnel a | firewall fwi-a
show_firewalls
# Nobody listens where the clients receive: what comes is captured, and nobody says so.
for s in inet home; do
    in_ns $s nft -f - <<END || bail "rules of $s"
table ip end {
    chain output {
        type filter hook output priority 0; policy accept;
        icmp type destination-unreachable drop
    }
}
END
done
capture home home eth0 udp and src host "${DMZ_OUT[a]}"
capture web inet eth0 udp and dst host $WEB
capture internet fwx-a internet
capture tunnel fwi-a dmz
launch_example 4 dmz-relay
launch_example 4 inner-relay
tunnels_up inner dmz

phone_key=$(new_key $SUITE) web_key=$(new_key $SUITE)
sa_field() { ctl_json "$1" sa show "$2" | jq -r ".sa.$3"; }

# add NAME KEY ARGUMENT...: an SA from outside to outside; its id is the result.
add() {
    local name=$1 key=$2
    shift 2
    sa_add inner --side external --to-side external --suite $SUITE --key "$key" --call-id call "$@" |
        jq .id
}

refuse "a phone inside is no receiver on the external side" \
    ctl inner sa add --side external --to-side external --suite $SUITE --key "$web_key" \
    --source $WEB:6000 --to "${LAN[a]}:6000"
is "and nothing was added" "$(status_of inner .sas)" 0
# Both SDPs have private addresses; SIP came from the NAT router, and from the other client.
phone=$(add phone "$phone_key" --source $MOBILE:8000 --hint $NAT_ADDRESS --to $WEB:9999)
web=$(add web "$web_key" --source 10.77.0.1:6000 --hint $WEB --reverse "$phone")
[[ -n $phone && -n $web ]] || bail "SAs of the call"
wait_for 3 sas_at dmz 2 || bail "the SAs did not reach the dmz-relay"

from_phone=(--from $MOBILE:8000 --to "${DMZ_OUT[a]}:$MEDIA" --ssrc 11)
from_web=(--from $WEB:6000 --to "${DMZ_OUT[a]}:$MEDIA" --ssrc 12)

# ---------------------------------------------------------------- learned, both ways

moves "before the phone has sent, nothing can be sent to it" \
    "dmz/rtp/accepted=5 dmz/rtcp/accepted=1 dmz/hairpin/no-destination=6" -- \
    send_now early inet "${from_web[@]}" --key "$web_key" --seq 1 --count 5 --rtcp-every 5
is "and nothing was" "$(packets home)" 0
moves "the phone's packets go to where the other client is heard, and not where SDP said" \
    "dmz/rtp/accepted=5 dmz/rtcp/accepted=1 dmz/hairpin/accepted=6" -- \
    send_now first home "${from_phone[@]}" --key "$phone_key" --seq 1 --count 5 --rtcp-every 5
check "six packets of the phone came" wait_for 3 equals 6 packets web "src host ${DMZ_OUT[a]}"
is "to the ports that the client sends from" \
    "$(packets web "dst port 6000")/$(packets web "dst port 6001")" 5/1
like "the phone is bound where the NAT router has it" "$(sa_field dmz "$phone" bound)" "^$NAT_ADDRESS:[0-9]+$"
is "the other client where it sends from" "$(sa_field dmz "$web" bound)" $WEB:6000

# ---------------------------------------------------------------- the call

# talk: 100 packets and 10 reports each way, at once.
talk() {
    send phone home "${from_phone[@]}" --key "$phone_key" --seq 6 --count 100 --rtcp-every 10 \
        --rtcp-index 2 --save "$W/phone.sent"
    send web inet "${from_web[@]}" --key "$web_key" --seq 6 --count 100 --rtcp-every 10 \
        --rtcp-index 2 --save "$W/web.sent"
    finish_of phone 20 && finish_of web 20
}
# tunnel_octets: of TCP payload, in both directions.
tunnel_octets() {
    tcpdump -n -t -r "$W/tunnel.pcap" "tcp port $TUNNEL" 2>/dev/null |
        sed -n 's/.*length \([0-9]*\).*/\1/p' | awk '{ n += $1 } END { print n + 0 }'
}
home_before=$(packets home) web_before=$(packets web)
before=$(tunnel_octets)
moves "RTP and RTCP both ways, all of it by the dmz-relay alone" \
    "dmz/rtp/accepted=200 dmz/rtcp/accepted=20 dmz/hairpin/accepted=220" -- talk
in_tunnel=$(($(tunnel_octets) - before))
check "every packet came to the phone" wait_for 3 equals $((home_before + 110)) packets home
check "every packet came to the other client" wait_for 3 equals $((web_before + 110)) packets web
payloads web | tail -n 110 | sort >"$W/web.heard"
datagrams "$W/phone.sent" >"$W/web.wanted"
check "each as the phone sent it" cmp "$W/web.wanted" "$W/web.heard"
payloads home | tail -n 110 | sort >"$W/home.heard"
datagrams "$W/web.sent" >"$W/home.wanted"
check "each as the other client sent it" cmp "$W/home.wanted" "$W/home.heard"
media=$(($(stat -c %s "$W/phone.sent") + $(stat -c %s "$W/web.sent")))
say "octets of media: $media; of the tunnel meanwhile, heartbeat and reports: $in_tunnel"
check "the tunnel has room for none of it" test $((4 * in_tunnel)) -lt $media
is "the inner-relay has seen no packet of the phone" "$(sa_field inner "$phone" packets)" 0
heard_of() { ctl_json inner sa show "$1" | jq -r .sa.far.packets; }
check "but it knows of each" wait_for 5 equals 116 heard_of "$phone"
explained() { ctl inner explain call >"$W/explained" && grep -q 'not through the tunnel' "$W/explained"; }
check "explain says where the packets go" explained
refuse "and nothing of a loss" grep -E 'lost|do not come|inner-relay' "$W/explained"

# ---------------------------------------------------------------- what is not theirs

moves "forged packets in the name of a client" "dmz/rtp/auth-fail=20" -- \
    send_now forged inet "${from_web[@]}" --key "$web_key" --seq 300 --count 20 --forge
moves "those of a stranger" "dmz/rtp/no-sa=20" -- \
    send_now stranger inet --from $WEB_STRANGER:6000 --to "${DMZ_OUT[a]}:$MEDIA" --ssrc 99 \
    --key "$(new_key $SUITE)" --count 20
moves "what was sent before" "dmz/rtp/replay=5" -- \
    send_now again inet "${from_web[@]}" --key "$web_key" --seq 1 --count 5
is "none of them came to the phone" "$(packets home)" $((home_before + 110))

# ---------------------------------------------------------------- without a tunnel, and the end

stop inner KILL || :
wait_for 5 tunnel_not_up dmz || bail "the dmz-relay does not see that the tunnel is down"
moves "the call goes on when the inner-relay was killed" "dmz/rtp/accepted=20 dmz/hairpin/accepted=20" -- \
    send_now alone home "${from_phone[@]}" --key "$phone_key" --seq 200 --count 20
launch_example 4 inner-relay
tunnels_up inner dmz
wait_for 5 sas_at inner 2 || bail "the SAs are not in the state file"
moves "and with it again" "dmz/rtp/accepted=20 dmz/hairpin/accepted=20" -- \
    send_now with inet "${from_web[@]}" --key "$web_key" --seq 200 --count 20
check "the call ends" ctl inner sa delete "$phone" "$web"
check "at both relays" wait_for 3 sas_at dmz 0
moves "its packets are nobody's then" "dmz/rtp/no-sa=5" -- \
    send_now late home "${from_phone[@]}" --key "$phone_key" --seq 400 --count 5

end_capture internet
end_capture tunnel
two_ports internet a
is "internal firewall: two TCP connections, one for each life of the inner-relay" \
    "$(packets tunnel "$SYN")" "$(connections_of 2)"
is "opened from the inside" "$(packets tunnel "$SYN and src host ${INNER[a]}")" "$(connections_of 2)"
is "and nothing else" \
    "$(packets tunnel "$QUIET and not (tcp port $TUNNEL and host ${INNER[a]} and host ${DMZ_IN[a]})")" 0
done_testing
