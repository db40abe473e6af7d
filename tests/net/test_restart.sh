#!/bin/bash
# The dmz-relay killed in the middle of a call whose ROC is above 0, and whose caller sits behind NAT: it
# comes back with nothing, and gets the SA with where the caller is heard, its SSRC and its ROC. Media
# goes on both ways within 2 s, also while the caller says nothing.
. "$(dirname "$0")/lib.sh"

SUITE=AES_CM_128_HMAC_SHA1_80
SECONDS_SENT=60
IN_SSRC=$((0x11020304))
OUT_SSRC=$((0x50607080))
SIGNALLED=192.168.7.7:9000 # what the caller's SDP says
NAT_PORT=61234
LIMIT_MS=2000

pair_up
# Datagrams from the pair to the caller, as its router sees them, and to the phone.
for way in "inet caller $NAT_PORT" "lan phone 6000"; do
    read -r host name port <<<"$way"
    in_ns "$host" nft -f - <<END || bail "counters"
table inet arrived {
    counter $name { }
    chain input {
        type filter hook input priority 0; policy accept;
        udp dport $port counter name "$name"
    }
}
END
done
arrived() { in_ns "$1" nft -j list counter inet arrived "$2" | jq '[.nftables[] | .counter? // empty | .packets] | add'; }

in_key=$(new_key $SUITE) out_key=$(new_key $SUITE)
in_id=$(sa_add inner --side external --source $SIGNALLED --hint $CLIENT --source-policy hinted \
    --suite $SUITE --key "$in_key" --to $PHONE:6000 --call-id call | tee "$W/sa.out" | jq .id) ||
    bail "sa add: $(cat "$W/sa.out")"
sa_add inner --side internal --source $PHONE:5004 --source-policy strict --suite $SUITE \
    --key "$out_key" --ssrc $OUT_SSRC --call-id call --reverse "$in_id" >"$W/sa.out" ||
    bail "sa add: $(cat "$W/sa.out")"
wait_for 3 sas_at dmz 2 || bail "the SAs did not reach the dmz-relay"

# ---------------------------------------------------------------- before the caller is heard

explained() { ctl_json inner explain call | jq -r .cause; }
ffmpeg_send out lan 880 $SECONDS_SENT $SUITE "$out_key" $OUT_SSRC 5004 $INNER_RTP $INNER_PORT
check "explain: where to send to is not known yet" wait_for 5 equals no-destination explained
like "in the first line" "$(ctl inner explain call | head -n 1)" \
    "^Where to send what comes from $PHONE:5004 is not known: nothing that verifies has come"

# ---------------------------------------------------------------- a call with a ROC

ffmpeg_receive phone lan $PHONE 6000 $SUITE "$in_key"
SEQ=65450 ffmpeg_send in inet 440 $SECONDS_SENT $SUITE "$in_key" $IN_SSRC $NAT_PORT $DMZ_RTP $DMZ_PORT
end() { ctl_json "$1" sa show "$in_id" | jq -r "$2"; }
check "its sequence numbers wrap: ROC 1 at the dmz-relay" wait_for 8 equals 1 end dmz '.sa.streams[0].roc'
check "which reports ROC, SSRC and source" wait_for 3 equals "1 $IN_SSRC $CLIENT:$NAT_PORT" \
    end inner '"\(.sa.far.streams[0].roc) \(.sa.far.streams[0].ssrc) \(.sa.far.source)"'
check "the inner-relay sends back to there" at_least 1 arrived inet caller

# goes_on TEXT SINCE-MS HOST COUNTER...: packets arrive there again, at most 2 s after that time.
goes_on() {
    local text=$1 since=$2 took
    shift 2
    while [ $# -gt 0 ]; do
        wait_for 10 at_least $(($(arrived "$1" "$2") + 5)) arrived "$1" "$2" ||
            {
                not_ok "$text: no media at the $2 within 10 s"
                ctl inner explain call | sed 's/^/#   /'
                return
            }
        shift 2
    done
    took=$(($(now_ms) - since))
    if [ $took -le $LIMIT_MS ]; then ok "$text: after $took ms"; else
        not_ok "$text: only after $took ms"
    fi
}
restart() {
    stop dmz KILL || :
    since=$(now_ms)
    launch dmz
}
for round in 1 2; do
    restart
    goes_on "killed and restarted ($round), both ways" "$since" inet caller lan phone
    is "the new dmz-relay was told where the caller is" "$(end dmz .sa.source)" "$CLIENT:$NAT_PORT"
    is "and goes on with its SSRC and ROC" \
        "$(end dmz '"\(.sa.streams[0].ssrc) \(.sa.streams[0].roc)"')" "$IN_SSRC 1"
    is "no packet fails" "$(verdict dmz auth-fail) $(verdict inner auth-fail)" "0 0"
done

# ---------------------------------------------------------------- while the caller says nothing

stop in KILL || :
restart
goes_on "killed while the caller is silent, towards the caller" "$since" inet caller
is "who has sent nothing" "$(end dmz .sa.packets)" 0
check "explain: the caller is silent" wait_for 6 equals stopped explained
stop out INT || :
stop phone INT || :
check "440 Hz at the phone" "$NET_TOOLS/toneck" --frequency 440 --min 0.3 "$W/phone.wav"
done_testing
