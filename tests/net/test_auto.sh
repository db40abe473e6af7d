#!/bin/bash
# [dmz NAME] carrier = auto: media begins in TLS, and moves to the connection of media when that has proved itself,
# with raw segments first. A connection of media that goes dead without a word, through boxes that hold back what comes
# out of order, or number TCP anew, without CAP_NET_RAW, with several threads: no call is lost on any.
NET_CARRIER=auto
NET_RAW=yes
. "$(dirname "$0")/lib.sh"

SUITE=AES_CM_128_HMAC_SHA1_80
PHONE=${LAN[a]}
CABLE=dmz-a:eth1

SLOW[$CABLE]="--merge delay=20"
company a
rules_anybody a | firewall fwx-a
rules_tunnel a | firewall fwi-a
strict fwi-a
key=$(new_key $SUITE)

carrier() { status_of "$1" '.tunnels[0].carrier'; }
reason() { status_of "$1" '.tunnels[0].carrier_reason'; }
choice() { status_of "$1" ".tunnels[0].choice.$2"; }
on_carrier() { wait_for 15 equals "$1" carrier inner && wait_for 15 equals "$1" carrier dmz; }

start_both() {
    launch_example 4 dmz-relay
    launch_example 4 inner-relay
    tunnels_up inner dmz
    sa_add inner --side external --source $WEB:6000 --source-policy strict --suite $SUITE --key "$key" \
        --ssrc 1000 --to "$PHONE:7000" >/dev/null || bail "sa add"
    sa_add inner --side internal --source "$PHONE:8000" --source-policy strict --suite $SUITE --key "$key" \
        --ssrc 2000 --to $WEB:9000 >/dev/null || bail "sa add"
    wait_for 10 sas_at dmz 2 || bail "the SAs did not reach the dmz-relay"
}
stop_both() {
    stop inner TERM || :
    stop dmz TERM || :
}

# talk COUNT [COMMAND...]: a call of so many packets each way, 50 a second; the command is run while it goes on, a second
# after it began. What came: got.got and back.got.
FIRST=0
talk() {
    local count=$1
    shift
    rm -f "$W"/{got,back}.{got,log}
    receive got lan-a "$PHONE:7000" --key "$key" --count "$count" --wait 2
    receive back inet $WEB:9000 --key "$key" --count "$count" --wait 2
    send in inet --from $WEB:6000 --to "${DMZ_OUT[a]}:$MEDIA" --key "$key" --rate 50 --count "$count" --ssrc 1000 \
        --seq "$FIRST" --save "$W/in.sent"
    send out lan-a --from "$PHONE:8000" --to "${INNER[a]}:$MEDIA" --key "$key" --rate 50 --count "$count" --ssrc 2000 \
        --seq "$FIRST" --save "$W/out.sent"
    FIRST=$((FIRST + count))
    [ $# = 0 ] || wait_for 10 at_least 50 came || bail "the call does not begin"
    [ $# = 0 ] || "$@" || bail "$*"
    finish_of in 20 && finish_of out 20
    finish_of got 20 || :
    finish_of back 20 || :
}
came() { datagrams "$W/back.got" | wc -l; }
whole() { same_datagrams "$W/in.sent" "$W/got.got" && same_datagrams "$W/out.sent" "$W/back.got"; }

# missing NAME SENT: the longest row of packets that did not come, then how many came twice.
missing() {
    datagrams "$W/$1.got" | sort >"$W/$1.came"
    datagrams "$W/$2.sent" | awk '{ print substr($0, 5, 4), $0 }' | sort | cut -d " " -f 2 >"$W/$2.all"
    awk 'NR == FNR { came[$0]++; next }
        came[$0] { row = 0; twice += came[$0] - 1; next }
        { if (++row > longest) longest = row }
        END { print longest + 0, twice + 0 }' "$W/$1.came" "$W/$2.all"
}
# A packet each 20 ms: no more than this many in a row are lost in 200 ms.
small_gap() { [ "${1% *}" -le 9 ] && [ "${1#* }" = 0 ]; }

# Nothing more of the connection of media comes through.
cut_media() {
    local control
    control=$(status_of dmz '.tunnels[0].peer')
    in_ns fwi-a nft -f - <<END
table inet cut {
    chain forward {
        type filter hook forward priority -10
        tcp sport $TUNNEL tcp dport != ${control##*:} drop
        tcp dport $TUNNEL tcp sport != ${control##*:} drop
    }
}
END
}
mend() { in_ns fwi-a nft delete table inet cut; }

NET_CAPS=("${RAW_CAPS[@]}")
start_both
is "it begins with stream" "$(carrier inner) $(carrier dmz)" "stream stream"
talk 60
check "no packet of the first call is lost" whole
check "media has moved" on_carrier raw
check "after it was proved" grep -q "it is proved" <<<"$(reason inner) $(reason dmz)"
check "packets went both ways meanwhile, and were taken once" test "$(choice inner copies)" -gt 2 -a \
    "$(choice dmz copies)" -gt 2
is "relayctl says so" "$(ctl inner status | grep -c "carrier raw: it is proved")" 1
is "no packet came to SRTP twice" "$(verdict inner replay) $(verdict dmz replay)" "0 0"

talk 100 cut_media
gaps="$(missing got in), $(missing back out)"
check "the connection of media goes dead: a gap of 200 ms at most, each packet once (missing in a row, twice: $gaps)" \
    small_gap "$(missing got in)"
check "the other way, too" small_gap "$(missing back out)"
check "it is on stream" on_carrier stream
mend
connections() { status_of inner '.tunnels[0].media_connections'; }
check "there is another one" wait_for 15 equals 1 connections
talk 60
check "media has moved to it, without raw segments" on_carrier unordered
stop_both

link $CABLE isn=4294900000 in-order=1 loss=1 >"$W/reply"
start_both
talk 100
check "a box that numbers TCP anew, and another that holds back what is out of order: no packet is lost" whole
say "inner: $(carrier inner): $(reason inner); dmz: $(carrier dmz): $(reason dmz)"
link $CABLE in-order=0 loss=0 >"$W/reply"
is "connection tracking calls nothing invalid" "$(invalid fwi-a)" 0
stop_both

# Each thread chooses for itself; 2 and 3 threads make three pairs of connections.
calls() {
    local n
    for n in 1 2 3 4 5 6; do
        sa_add inner --side external --source $WEB:$((6000 + 2 * n)) --source-policy strict --suite $SUITE --key "$key" \
            --ssrc $((1000 + n)) --to "$PHONE:$((7000 + 2 * n))" >/dev/null || bail "sa add"
    done
    wait_for 10 sas_at dmz 8 || bail "the SAs did not reach the dmz-relay"
    for n in 1 2 3 4 5 6; do
        receive "got-$n" lan-a "$PHONE:$((7000 + 2 * n))" --key "$key" --count 100 --wait 2
    done
    for n in 1 2 3 4 5 6; do
        send "in-$n" inet --from $WEB:$((6000 + 2 * n)) --to "${DMZ_OUT[a]}:$MEDIA" --key "$key" --rate 50 \
            --count 100 --ssrc $((1000 + n)) --save "$W/in-$n.sent"
    done
}
calls_are_whole() {
    local n
    for n in 1 2 3 4 5 6; do
        finish_of "in-$n" 20 && finish_of "got-$n" 20 && same_datagrams "$W/in-$n.sent" "$W/got-$n.got" || return
    done
}
NET_WORKERS=2/3
start_both
check "2 and 3 threads: three pairs of connections" wait_for 10 equals 6 connections
calls
talk 100
check "no packet of seven calls is lost" whole
check "nor of the others" calls_are_whole
say "inner: $(carrier inner): $(reason inner); dmz: $(carrier dmz): $(reason dmz)"
check "media has moved, of the dmz-relay's in several threads" test "$(choice inner moves)" -ge 1 -a "$(choice dmz moves)" -ge 2
is "no packet came to SRTP twice" "$(verdict inner replay) $(verdict dmz replay)" "0 0"
stop_both

NET_WORKERS=1
NET_CAPS=("${NO_CAPS[@]}")
start_both
talk 25
check "without the privilege: no packet is lost" whole
is "it stays with stream" "$(carrier inner) $(carrier dmz)" "stream stream"
check "and says why" grep -q "neither side reads segments as they come" <<<"$(reason inner)"
is "without a second connection" "$(in_ns dmz-a ss -Htn state established "sport = :$TUNNEL" | wc -l)" 1
done_testing
