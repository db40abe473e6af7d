#!/bin/bash
# [forward NAME]: TCP from the Internet reaches one server inside through the tunnel, and TCP from
# inside one server outside, while the internal firewall lets one outward connection through and no
# other. 100 MB beside media make no packet late; limits, a cut, and a slow reader.
. "$(dirname "$0")/lib.sh"

SUITE=AES_CM_128_HMAC_SHA1_80
SIP=5061
PHONE2=10.9.1.21
TCP=$(cd "$(dirname "$0")/lib" && pwd)/tcp.py
MB=$((1024 * 1024))

# tcp NAME SPACE MODE ARGUMENT...: in the background.
tcp() {
    start "$1" "$2" python3 "$TCP" "${@:3}"
}
serve() {
    tcp "$1" "$2" serve "${@:3}"
    wait_for 10 grep -q listening "$W/$1.out" || bail "$1 does not listen"
}
# call TEXT SPACE FROM TO PORT OCTETS: an echo of so many octets.
call() {
    tcp call "$2" call "${@:3}"
    finish_of call 60
    is "$1" "$(cat "$W/call.out")" "echoed $6"
}
now() { status_of "$1" ".forwards[] | select(.name == \"$2\") | .$3"; }
count() { stats_of "$1" ".forwards[] | select(.name == \"$2\") | .counters.$3"; }

DMZ_EXTRA="[forward sip]
listen = $DMZ_RTP:$SIP
max-half-open = 8
half-open-timeout = 2s
[forward six]
listen = [$DMZ_RTP6]:$SIP
[forward bare]
listen = $DMZ_RTP:5062
max-streams = 10
max-half-open = 10
idle-timeout = 3s
[forward lost]
listen = $DMZ_RTP:5063
[forward nowhere]
listen = $DMZ_RTP:5064
[forward out]
to = $CLIENT:7100"
INNER_EXTRA="[forward sip]
to = $PHONE:5060
proxy-protocol = v1
[forward six]
to = $PHONE:5070
proxy-protocol = v2
dmz = main
[forward bare]
to = localhost:5080
max-streams = 12
[forward lost]
to = $PHONE:9
[forward out]
listen = $INNER_RTP:5062
max-per-client = 3"
topology
# The only rules for it: TCP to the dmz-relay, and, for the way out, from it to one server.
in_ns fwx nft -f - <<END || bail "rules"
insert rule inet external forward ct state established,related meta l4proto tcp accept
insert rule inet external forward iifname "inet0" ip daddr $DMZ_RTP tcp dport 5061-5064 accept
insert rule inet external forward iifname "inet0" ip6 daddr $DMZ_RTP6 tcp dport $SIP accept
insert rule inet external forward oifname "inet0" ip daddr $CLIENT tcp dport 7100 accept
END
show_rules
certificates "$DMZ_NAME=dmz" "$SITE_A=inner"
dmz_config
inner_config
capture dmz fwi dmz0 "tcp[tcpflags] & tcp-syn != 0"
launch dmz
tcp early inet call $CLIENT $DMZ_RTP $SIP 10
finish_of early 10
like "without a tunnel a connection is closed at once" "$(cat "$W/early.out")" "^broken: "
is "and counted" "$(count dmz sip refused)" 1
launch inner
wait_for 10 tunnel_up inner || bail "the tunnel did not come up"
wait_for 10 tunnel_up dmz || bail "the tunnel did not come up at the dmz-relay"

serve proxied lan $PHONE 5060 v1
serve proxied6 lan $PHONE 5070 v2
serve bare inside 127.0.0.1 5080
serve outside inet $CLIENT 7100

# ---------------------------------------------------------------- in, out, and who it is
call "from the Internet to the inside" inet $CLIENT $DMZ_RTP $SIP 100000
like "the server learns who it was, by PROXY v1" "$(tail -n 1 "$W/proxied.out")" \
    "^$CLIENT [0-9]+ $DMZ_RTP $SIP$"
call "by IPv6, to a server with IPv4" inet $CLIENT6 $DMZ_RTP6 $SIP 100000
like "the server learns who it was, by PROXY v2" "$(tail -n 1 "$W/proxied6.out")" \
    "^$CLIENT6 [0-9]+ $DMZ_RTP6 $SIP$"
call "to a server on the inner-relay's host, by its name" inet $CLIENT $DMZ_RTP 5062 10
call "nothing but an end" inet $CLIENT $DMZ_RTP 5062 0
call "from the inside to the Internet" lan $PHONE $INNER_RTP 5062 1000000
is "its octets were counted" "$(count inner out octets_out) $(count dmz out octets_in)" "1000000 1000000"
is "status names it as the ini file does" "$(now inner bare address)" localhost:5080
tcp lost inet call $CLIENT $DMZ_RTP 5063 10
finish_of lost 10
like "a server that is not there: reset" "$(cat "$W/lost.out")" "^broken: "
is "counted inside as failed" "$(count inner lost failed)" 1
tcp nowhere inet call $CLIENT $DMZ_RTP 5064 10
finish_of nowhere 10
like "a [forward] that the inside does not have: reset" "$(cat "$W/nowhere.out")" \
    "^broken: "
is "counted inside as unknown" "$(stats_of inner .counters.streams_unknown)" 1
none() { [ "$(now dmz "$1" streams) $(now inner "$1" streams)" = "0 0" ]; }
for name in sip bare out; do check "$name: no stream is left" wait_for 3 none $name; done

# ---------------------------------------------------------------- 100 MB beside media
key=$(new_key $SUITE) out_key=$(new_key $SUITE)
sa_add inner --side external --source-policy strict --source $CLIENT:5004 --suite $SUITE --key "$key" --ssrc 1000 \
    --to $PHONE:6000 --call-id call >/dev/null || bail "sa add"
sa_add inner --side internal --source-policy strict --source $PHONE:5004 --suite $SUITE --key "$out_key" --ssrc 2000 \
    --to $CLIENT:6000 --call-id call --reverse 1 >/dev/null || bail "sa add"
wait_for 3 sas_at dmz 2 || bail "the SAs did not reach the dmz-relay"
receive phone lan $PHONE:6000 --ports 2 --key "$key" --wait 300 --timeout 300
receive client inet $CLIENT:6000 --ports 2 --key "$out_key" --wait 300 --timeout 300
send in inet --from $CLIENT:5004 --to $DMZ_RTP:$DMZ_PORT --key "$key" --ssrc 1000 --rate 500 --count 0
send out lan --from $PHONE:5004 --to $INNER_RTP:$INNER_PORT --key "$out_key" --ssrc 2000 --rate 500 --count 0
began=$(now_ms)
call "100 MB and back, beside 500 packets a second each way" inet $CLIENT $DMZ_RTP 5062 $((100 * MB))
say "200 MB through the tunnel took $(($(now_ms) - began)) ms"
stop in TERM
stop out TERM
sent_all() { [ "$(verdict dmz accepted 'listener main rtp$')" = "$(verdict inner accepted tunnel)" ]; }
check "every packet that went into the tunnel came out" wait_for 3 sent_all
for daemon in dmz inner; do
    is "$daemon: every packet was accepted, none was late" \
        "$(verdicts $daemon | tr ' ' '\n' | grep -vc '^accepted=')" 0
    is "$daemon: no media waited too long for the tunnel" "$(status_of $daemon .tunnels[0].late)" 0
    check "$daemon: media ran" at_least 500 verdict $daemon accepted 'listener main rtp$'
done
stop phone TERM
stop client TERM
is "the receivers missed nothing" "$(field phone .lost) $(field client .lost)" "0 0"
say "turns over 1 ms: dmz $(stats_of dmz .counters.loop_turns_over_1ms), inner $(stats_of inner .counters.loop_turns_over_1ms)"

# ---------------------------------------------------------------- who does not read
memory() { awk '/^VmRSS/ { print $2 }' "/proc/${PID[$1]}/status"; }
before=$(($(memory dmz) + $(memory inner)))
for i in 1 2 3 4; do tcp "stuff$i" inet stuff $CLIENT $DMZ_RTP 5062; done
stuffed() { for i in 1 2 3 4; do [ -s "$W/stuff$i.out" ] || return 1; done; }
check "who reads nothing of his echo is stopped" wait_for 15 stuffed
after=$(($(memory dmz) + $(memory inner)))
check "the relays kept no more than their windows ($((after - before)) KiB)" test $((after - before)) -lt 2048
call "others are not held up" inet $CLIENT $DMZ_RTP $SIP $MB
is "one that is full is idle: reset" "$(wait_for 8 none bare && echo none)" none
for i in 1 2 3 4; do finish_of "stuff$i" 5; done
is "counted as such" "$(count dmz bare timeouts)$(count inner bare timeouts)" 40

# ---------------------------------------------------------------- limits
tcp mute inet mute $CLIENT $DMZ_RTP $SIP 12
closed() { [ "$(tail -n 1 "$W/mute.out")" = "$1" ]; }
check "of 12 connections without a word the oldest 4 give way" wait_for 5 closed 4
is "8 are held" "$(now dmz sip half_open)" 8
is "and 4 are counted" "$(count dmz sip displaced)" 4
call "who says something comes through" inet $CLIENT $DMZ_RTP $SIP 1000
check "they are closed when their time is over" wait_for 6 closed 12
stop mute TERM
tcp mute inet mute $CLIENT $DMZ_RTP 5062 15
check "of 15 connections 5 give way: more than max-streams" wait_for 5 closed 5
call "who says something comes through there, too" inet $CLIENT $DMZ_RTP 5062 1000
call "the other forwards have their own limits" inet $CLIENT $DMZ_RTP $SIP 1000
stop mute TERM
check "they are all gone" wait_for 15 none bare
tcp mute lan mute $PHONE $INNER_RTP 5062 5
check "of 5 connections of one client 2 are more than max-per-client" wait_for 5 closed 2
call "another client has its own ones" lan $PHONE2 $INNER_RTP 5062 1000
stop mute TERM

# ---------------------------------------------------------------- the tunnel is cut
tcp mute inet mute $CLIENT $DMZ_RTP 5062 5
five() { [ "$(now inner bare streams)" = 5 ]; }
wait_for 5 five || bail "five streams"
cut_tunnel
check "a cut resets the streams of the client" wait_for 5 closed 5
check "and no stream is left on either side" wait_for 5 none bare
is "counted as such" "$(count dmz bare tunnel_down) $(count inner bare tunnel_down)" "5 5"
stop mute TERM
heal_tunnel
wait_for 10 tunnel_up inner
wait_for 5 tunnel_up dmz
call "after it new ones come through" inet $CLIENT $DMZ_RTP $SIP 1000

end_capture dmz
is "internal firewall: nothing was opened inward" "$(packets dmz 'src net 192.0.2.0/24 or src net 203.0.113.0/24 and tcp[tcpflags] & tcp-ack == 0')" 0
is "internal firewall: only the tunnel was opened outward" \
    "$(packets dmz "not port $DMZ_TCP")" 0
is "internal firewall refused nothing but the cut" "$(fw_packets fwi refused)" 0
done_testing
