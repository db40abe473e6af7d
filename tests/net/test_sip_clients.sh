#!/bin/bash
# Another client on one end: alice's baresip on the Internet calls; inside SIPp answers, and GStreamer sends
# and hears the media, set up from nothing but the SDP that came to SIPp. First with an SSRC of its own
# choice; then, with the flag assign-ssrc, with the one that the SDP says: the relays verify none of its
# packets, and another SSRC does not get through.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/sip.sh"

OWN=$((0x5eed1234)) # the SSRC that GStreamer chooses by itself
CLIENT=${LAN[a]}
PORT=6000
HEARS=9000
TALK=120

company a
sip_pair a
# A client sends and receives at one port, which two programs cannot: its receiver has its own.
in_ns lan-a nft -f - <<END || bail "ports of lan-a"
table netdev client {
    chain in {
        type filter hook ingress device "eth0" priority -500;
        udp dport $PORT-$((PORT + 1)) udp dport set udp dport map { $PORT : $HEARS, $((PORT + 1)) : $((HEARS + 1)) }
    }
}
END

# told NAME: the SDP that SIPp NAME got last.
told() {
    tr -d '\r' <"$(find "$W/sipp-$1" -name '*_messages.log')" | awk '
        /^(UDP|TCP) message (sent|received)/ { got = / received/ }
        got && /^v=0/ { sdp = "" ; inside = 1 }
        /^---/ { inside = 0 }
        got && inside { sdp = sdp $0 "\n" }
        END { printf "%s", sdp }'
}
# of_sdp SED-EXPRESSION: what stands in the SDP in $SDP.
of_sdp() { sed -nE "$1" <<<"$SDP"; }
read_sdp() {
    SDP=$(told "$1")
    TO=$(of_sdp 's/^c=IN IP4 //p' | tail -n 1)
    TO_PORT=$(of_sdp 's/^m=audio ([0-9]+) .*/\1/p')
    read -r SUITE KEY <<<"$(of_sdp 's/^a=crypto:[0-9]+ ([A-Z0-9_]+) inline:([^| ]+).*/\1 \2/p' | head -n 1)"
    PEER_SSRC=$(of_sdp 's/^a=ssrc:([0-9]+) .*/\1/p' | head -n 1)
    ASSIGNED=$(of_sdp 's/^a=media-relay-ssrc:([0-9]+)$/\1/p')
}

# set_up [DEFINITION]: Kamailio, alice, and a place for SIPp's callee.
set_up() {
    kamailio a "$@"
    phone alice inet $WEB "${DMZ_OUT[a]}:$SIP_PORT;transport=tls" 880
    sipp_registers lan-a $CLIENT "${INNER[a]}:$SIP_INSIDE" 5070
    phones_registered alice
    sipp_fields 1 >"$W/fields.csv"
    own_key=$(sed -n 2p "$W/fields.csv" | cut -d';' -f2)
    echo "$own_key" >>"$W/keys"
}
# called: alice calls, SIPp answers; GStreamer has CLIENT:PORT, of which SIPp only speaks.
called() {
    rm -rf "$W/sipp-uas"
    sipp uas lan-a callee $CLIENT "${INNER[a]}:$SIP_INSIDE" -p 5070 -m 1 -mi 127.0.0.1 -mp $PORT -trace_msg
    dial alice callee
    check "alice calls: two SAs on both relays" wait_for 10 sas a 2
    read_sdp uas
    is "the SDP has the inner-relay's address" "$TO:$TO_PORT" "${INNER[a]}:$MEDIA"
    gst_receive got lan-a "$CLIENT" $HEARS "$SUITE" "$KEY" "$PEER_SSRC"
}
ended() {
    tell alice hangup >>"$W/tell.out"
    check "hang-up: no SA is left after a second" within 1 sas a 0
    stop tone INT || :
    stop got INT || :
    check "SIPp saw the call end" finish_of uas 10
    check "alice hears GStreamer" wait_for 5 heard alice "$1" 2
    check "GStreamer hears alice" "$NET_TOOLS/toneck" --frequency 880 --expect-seconds 2 --min 0.9 "$W/got.wav"
}

say "an SSRC that the relay learns"
set_up
called
is "the SDP assigns no SSRC" "$ASSIGNED" ""
gst_send tone lan-a 440 60 "$SUITE" "$own_key" $OWN "$CLIENT" $PORT "$TO" "$TO_PORT"
check "media both ways" flows a $TALK
ended 440
stop alice
stop sip-a

say "an SSRC that the relay assigns"
capture ng inner-a lo "udp port 2223"
set_up 'MORE_FLAGS=" assign-ssrc"'
called
check "the SDP assigns an SSRC" test "${ASSIGNED:-0}" -ge 1
end_capture ng
check "the reply to Kamailio has it, too" grep -aqF "assigned-ssrcli${ASSIGNED}ee" "$W/ng.pcap"
# verified DAEMON PLACES: how many packets it verified but those that it took there, which senders outside sent.
verified() {
    ctl_json "$1" stats | jq --arg p "$2" '.counters.srtp_verifications -
        ([.places[] | select(.place | test($p)) | .verdicts.accepted + .queued] | add)'
}
before="$(verified inner-a tunnel) $(verified dmz-a rt)"
gst_send tone lan-a 550 60 "$SUITE" "$own_key" "$ASSIGNED" "$CLIENT" $PORT "$TO" "$TO_PORT"
check "media both ways" flows a $TALK
is "neither relay verified a packet of it" "$(verified inner-a tunnel) $(verified dmz-a rt)" "$before"
stop tone INT || :
had=$(verdict inner-a accepted ' rtp$') dropped=$(verdict inner-a ssrc-mismatch)
send_now other lan-a --from "$CLIENT:$PORT" --to "$TO:$TO_PORT" --key "$own_key" \
    --ssrc $OWN --rate 0 --count 20
check "another SSRC under the same key is dropped: ssrc-mismatch" \
    wait_for 5 equals $((dropped + 20)) verdict inner-a ssrc-mismatch
is "and none of it got through" "$(verdict inner-a accepted ' rtp$')" "$had"
ended 550

sipp uac lan-a caller $CLIENT "${INNER[a]}:$SIP_INSIDE" -s alice -p 5080 -m 1 -trace_msg -mi 127.0.0.1 -mp $PORT
check "a call from inside: two SAs on both relays" wait_for 10 sas a 2
check "it ends" finish_of uac 10
read_sdp uac
check "the answer assigns an SSRC" test "${ASSIGNED:-0}" -ge 1

is "nothing failed authentication" "$(verdict dmz-a auth-fail)+$(verdict inner-a auth-fail)" 0+0
nothing_refused
done_testing
