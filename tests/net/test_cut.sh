#!/bin/bash
# The tunnel cut in the middle of calls, and either daemon killed: media goes on within 2 s, without
# anyone adding an SA again. The inner-relay's state file carries labels, ROC and replay windows.
. "$(dirname "$0")/lib.sh"

SUITE=AES_CM_128_HMAC_SHA1_80
LIMIT_MS=2000

pair_up

# What arrives at the receivers' hosts, counted there.
for host in inet lan; do
    in_ns $host nft -f - <<END || bail "counters"
table inet arrived {
    counter media { }
    chain input {
        type filter hook input priority 0; policy accept;
        udp dport { 6000, 6001 } counter name "media"
    }
}
END
done
arrived() { in_ns "$1" nft -j list counter inet arrived media | jq '[.nftables[] | .counter? // empty | .packets] | add'; }

key=$(new_key $SUITE) out_key=$(new_key $SUITE) wrap_key=$(new_key $SUITE)
sa_add inner --side external --source-policy strict --source $CLIENT:5004 --suite $SUITE --key "$key" --ssrc 1000 \
    --to $PHONE:6000 --call-id call >/dev/null || bail "sa add"
sa_add inner --side internal --source-policy strict --source $PHONE:5004 --suite $SUITE --key "$out_key" --ssrc 2000 \
    --to $CLIENT:6000 --call-id call --reverse 1 >/dev/null || bail "sa add"
wrap=$(sa_add inner --side internal --source $PHONE:5010 --suite $SUITE --key "$wrap_key" --ssrc 3000 \
    --to $CLIENT:6010 --call-id wrap | jq .id)
wrap_in=$(sa_add inner --side external --source $CLIENT:5010 --suite $SUITE --key "$wrap_key" \
    --ssrc 4000 --to $PHONE:6010 --call-id wrap | jq .id)
wait_for 3 sas_at dmz 4 || bail "the SAs did not reach the dmz-relay"
table() { ctl_json "$1" sa list | jq -c '[.sas[] | [.id, .side, .source, .destination, .ssrc, .label, .suite, .call_id]] | sort'; }
inner_before=$(table inner) dmz_before=$(table dmz)

# A stream each way for the whole test.
receive phone lan $PHONE:6000 --ports 2 --key "$key" --wait 300 --timeout 300
receive client inet $CLIENT:6000 --ports 2 --key "$out_key" --wait 300 --timeout 300
send in inet --from $CLIENT:5004 --to $DMZ_RTP:$DMZ_PORT --key "$key" --ssrc 1000 --count 0
send out lan --from $PHONE:5004 --to $INNER_RTP:$INNER_PORT --key "$out_key" --ssrc 2000 --count 0

both_run() { [ "$(arrived lan)" -ge $((lan_base + 5)) ] && [ "$(arrived inet)" -ge $((inet_base + 5)) ]; }
# media_back TEXT SINCE-MS: packets arrive at both ends again, at most 2 s after that time.
media_back() {
    local took
    lan_base=$(arrived lan) inet_base=$(arrived inet)
    wait_for 15 both_run || { not_ok "$1: no media within 15 s" && return; }
    took=$(($(now_ms) - $2))
    if [ $took -le $LIMIT_MS ]; then ok "$1: media both ways after $took ms"; else
        not_ok "$1: media both ways only after $took ms"
    fi
}
media_back "at the beginning" "$(now_ms)"

# ---------------------------------------------------------------- the tunnel cut for 3 s
passed_ms() { [ $(($(now_ms) - $1)) -ge "$2" ]; }
for round in 1 2; do
    connects=$(status_of inner '.tunnels[0].connects')
    since=$(now_ms)
    cut_tunnel
    check "cut $round: the inner-relay notices within 2 s" within 2 tunnel_not_up inner
    check "cut $round: and the dmz-relay" within 2 tunnel_not_up dmz
    lan_base=$(arrived lan)
    wait_for 5 passed_ms "$since" 3000
    is "cut $round: nothing arrived meanwhile" "$(arrived lan)" "$lan_base"
    heal_tunnel
    media_back "cut $round: healed" "$(now_ms)"
    is "cut $round: one new connection" "$(status_of inner '.tunnels[0].connects')" $((connects + 1))
done
check "packets had the verdict tunnel-down" test "$(verdict dmz tunnel-down)" -gt 0
is "the SAs are the same" "$(table inner)$(table dmz)" "$inner_before$dmz_before"
check "nothing old is sent late" test "$(verdict dmz replay)$(verdict inner replay)" = 00

# ---------------------------------------------------------------- dmz-relay killed
# Streams whose sequence numbers have wrapped: after a restart only their ROC of 1 verifies.
roc() { ctl_json "$1" sa show "$2" | jq '.sa.streams[0].roc'; }
accepted() { ctl_json inner sa show "$1" | jq '.sa.packets'; }
in_args=(inet --from $CLIENT:5010 --to $DMZ_RTP:$DMZ_PORT --rate 500)
out_args=(lan --from $PHONE:5010 --to $INNER_RTP:$INNER_PORT --rate 500)
receive wrapped lan $PHONE:6010 --count 100 --wait 20
send_now wrap1 "${in_args[@]}" --key "$wrap_key" --ssrc 4000 --seq 65486 --count 100 --save "$W/wrap-in.sent"
finish_of wrapped 10 || bail "the stream with the wrap did not arrive"
is "a sequence number wraps: ROC 1 at both" "$(roc inner "$wrap_in") $(roc dmz "$wrap_in")" "1 1"
for round in 1 2; do
    stop dmz KILL || :
    since=$(now_ms)
    launch dmz
    media_back "dmz-relay killed and restarted ($round)" "$since"
done
check "the tunnel and its SAs are in step again" wait_for 2 synced
is "the SAs at the dmz-relay are the same" "$(table dmz)" "$dmz_before"

is "a ROC of 1 was given to the new dmz-relay" "$(roc dmz "$wrap_in")" 1
before=$(accepted "$wrap_in")
replays=$(verdict dmz replay listener)
send_now again "${in_args[@]}" --resend "$W/wrap-in.sent"
check "packets from before the restart are replays" \
    wait_for 3 equals $((replays + 100)) verdict dmz replay listener
is "not one reaches the inside" "$(accepted "$wrap_in")" "$before"
receive wrapped lan $PHONE:6010 --count 50 --wait 20
send_now wrap2 "${in_args[@]}" --key "$wrap_key" --ssrc 4000 --seq 200 --roc 1 --count 50
check "and the stream goes on under its ROC" finish_of wrapped 10

# ---------------------------------------------------------------- inner-relay killed
receive wrapped inet $CLIENT:6010 --count 100 --wait 20
send_now wrap1 "${out_args[@]}" --key "$wrap_key" --ssrc 3000 --seq 65486 --count 100 --save "$W/wrap.sent"
finish_of wrapped 10 || bail "the stream with the wrap did not arrive"
is "outbound, a sequence number wraps: ROC 1" "$(roc inner "$wrap")" 1

is "the state file is for its owner only" "$(stat -c '%a %U' "$RUN/inner.state")" "600 $NET_USER"
newer() { [ "$(stat -c %y "$RUN/inner.state")" != "$old" ]; }
# interval = 1s: what it holds after two of them is younger than this.
old=$(stat -c %y "$RUN/inner.state")
wait_for 5 newer
for round in 1 2; do
    old=$(stat -c %y "$RUN/inner.state")
    check "the state file is written again while media runs ($round)" wait_for 5 newer
    stop inner KILL || :
    since=$(now_ms)
    launch inner
    media_back "inner-relay killed and restarted ($round)" "$since"
done
is "its SAs are the same, labels too" "$(table inner)" "$inner_before"
is "those at the dmz-relay as well" "$(table dmz)" "$dmz_before"
is "the ROCs were kept" "$(roc inner "$wrap") $(roc inner "$wrap_in")" "1 1"
before=$(accepted "$wrap")
replays=$(verdict inner replay listener)
send_now again "${out_args[@]}" --resend "$W/wrap.sent"
check "outbound, packets from before the restart are replays" \
    wait_for 3 equals $((replays + 100)) verdict inner replay listener
is "not one is accepted" "$(accepted "$wrap")" "$before"
receive wrapped inet $CLIENT:6010 --count 50 --wait 20
send_now wrap2 "${out_args[@]}" --key "$wrap_key" --ssrc 3000 --seq 200 --roc 1 --count 50
check "and the stream goes on under its ROC" finish_of wrapped 10

# ---------------------------------------------------------------- the state file's end
stop inner KILL || :
cp -p "$RUN/inner.state" "$W/old.state"
sed -i 's/^interval = .*/interval = 1s\nmax-age = 1s/' "$W/inner.ini"
aged() { [ $(($(date +%s) - $(stat -c %Y "$RUN/inner.state"))) -ge 2 ]; }
wait_for 10 aged
launch inner
is "a state file that is too old is not used" "$(status_of inner .sas)" 0
check "and the log says so" grep -q 'inner.state.*older than' "$W/inner.log"
check "the dmz-relay lets the SAs go" wait_for 10 sas_at dmz 0
stop inner TERM
refuse "a clean stop removes the state file" test -e "$RUN/inner.state"
head -c 100 "$W/old.state" >"$RUN/inner.state"
chown "$NET_USER" "$RUN/inner.state" && chmod 600 "$RUN/inner.state"
sed -i 's/^max-age = 1s/max-age = 10min/' "$W/inner.ini"
launch inner
is "a damaged state file is not used" "$(status_of inner .sas)" 0
stop inner TERM
cp "$W/old.state" "$RUN/inner.state"
chown "$NET_USER" "$RUN/inner.state" && chmod 644 "$RUN/inner.state"
launch inner
is "one that others can read is not used" "$(status_of inner .sas)" 0
stop inner TERM
cp -p "$W/old.state" "$RUN/inner.state"
launch inner
is "but the good one is, when it is young enough" "$(status_of inner .sas)" 4

stop in TERM
stop out TERM
stop phone TERM
stop client TERM
is "no packet came twice" "$(field phone .duplicates) $(field client .duplicates)" "0 0"
is "no packet came that was not the sender's" "$(field phone .auth_failures) $(field client .auth_failures)" "0 0"
done_testing
