# SAs, senders and receivers; sourced by lib.sh.
#
# shellcheck shell=bash disable=SC2034

# ---------------------------------------------------------------- SAs

SUITES="AES_CM_128_HMAC_SHA1_80 AES_CM_128_HMAC_SHA1_32 AES_256_CM_HMAC_SHA1_80 AEAD_AES_128_GCM AEAD_AES_256_GCM"

# new_key SUITE: prints a fresh key with its salt in base64, and remembers it for the grep at the end.
new_key() {
    local octets key
    case $1 in
    AES_CM_128_*) octets=30 ;;
    AES_256_CM_*) octets=46 ;;
    AEAD_AES_128_GCM) octets=28 ;;
    AEAD_AES_256_GCM) octets=44 ;;
    esac
    key=$(head -c "$octets" /dev/urandom | base64 -w 0)
    echo "$key" >>"$W/keys"
    echo "$key"
}

# sa_add DAEMON ARGUMENT...: prints the reply, a JSON object; fails when it is refused.
sa_add() {
    local name=$1
    shift
    ctl_json "$name" sa add "$@" 2>&1
}
# The replica has the SAs: as many as named.
sas_at() { equals "$2" status_of "$1" .sas; }

# send NAME SPACE ARGUMENT...: rtpsend in the background; its JSON line is in NAME.out.
send() {
    local name=$1 space=$2
    shift 2
    start "$name" "$space" "$NET_TOOLS/rtpsend" "$@"
}
# send_now NAME SPACE ARGUMENT...: the same, to its end.
send_now() {
    send "$@"
    finish_of "$1" 30 || bail "rtpsend $1: $(cat "$W/$1.log")"
}
# receive NAME SPACE IP:PORT ARGUMENT...: rtprecv, listening once this returns; what came is kept in
# NAME.got, its JSON line will be in NAME.out.
receive() {
    local name=$1 space=$2 listen=$3
    shift 3
    rm -f "$W/$name.ready"
    start "$name" "$space" "$NET_TOOLS/rtprecv" --listen "$listen" --ready "$W/$name.ready" \
        --save "$W/$name.got" --brief "$@"
    wait_for 5 test -e "$W/$name.ready" || bail "rtprecv $name: $(cat "$W/$name.log")"
}
# field NAME JQ-FILTER: of the JSON line of a tool.
field() { jq -r "$2" "$W/$1.out"; }

# datagrams FILE: what --save kept, one datagram a line in hex, sorted.
datagrams() {
    perl -0777 -ne 'for (my $at = 2; $at <= length; $at += 2) {
        my $octets = unpack("n", substr($_, $at - 2, 2));
        last if ($at + $octets > length);
        print unpack("H*", substr($_, $at, $octets)), "\n";
        $at += $octets;
    }' "$1" | sort
}
# same_datagrams FILE FILE: neither has one more, less, or other.
same_datagrams() {
    datagrams "$1" >"$1.hex"
    datagrams "$2" >"$2.hex"
    [ -s "$1.hex" ] && diff "$1.hex" "$2.hex" | head -n 5 && cmp -s "$1.hex" "$2.hex"
}

# ---------------------------------------------------------------- real audio

bound() { in_ns "$1" ss -Hlnu | grep -qE "[:.]$2 "; }

# ffmpeg_receive NAME SPACE ADDRESS PORT SUITE KEY: decodes SRTP audio into NAME.wav until the
# sender says BYE.
ffmpeg_receive() {
    local name=$1 space=$2 address=$3 port=$4
    cat >"$W/$name.sdp" <<END
v=0
o=- 1 1 IN IP4 $address
s=-
c=IN IP4 $address
t=0 0
m=audio $port RTP/SAVP 0
a=crypto:1 $5 inline:$6
END
    # At "info" ffmpeg prints the SDP with its key.
    start "$name" "$space" ffmpeg -nostdin -hide_banner -loglevel warning \
        -protocol_whitelist file,udp,rtp,srtp,crypto -max_delay 200000 \
        -i "$W/$name.sdp" -c:a pcm_s16le -y "$W/$name.wav"
    wait_for 5 bound "$space" "$port" || bail "$name does not listen"
}

# ffmpeg_send NAME SPACE FREQUENCY SECONDS SUITE KEY SSRC LOCAL-PORT ADDRESS PORT [LOCAL-ADDRESS]: a
# tone as SRTP, 20 ms a packet, with sender reports and a BYE at the end as SRTCP. SEQ: its first
# sequence number.
ffmpeg_send() {
    local local_port=$8
    start "$1" "$2" ffmpeg -nostdin -hide_banner -loglevel warning -re -f lavfi \
        -i "sine=frequency=$3:sample_rate=8000:duration=$4:samples_per_frame=160" \
        -c:a pcm_mulaw -ssrc "$7" ${SEQ:+-seq "$SEQ"} -rtpflags send_bye -f rtp -sdp_file /dev/null \
        -srtp_out_suite "$5" -srtp_out_params "$6" \
        "srtp://$9:${10}?localrtpport=$local_port&localrtcpport=$((local_port + 1))&pkt_size=200${11:+&localaddr=${11}}"
}

# srtp_words SUITE: cipher and authentication as GStreamer calls them.
srtp_words() {
    case $1 in
    AES_CM_128_HMAC_SHA1_80) echo aes-128-icm hmac-sha1-80 ;;
    AES_CM_128_HMAC_SHA1_32) echo aes-128-icm hmac-sha1-32 ;;
    AES_256_CM_HMAC_SHA1_80) echo aes-256-icm hmac-sha1-80 ;;
    AEAD_AES_128_GCM) echo aes-128-gcm null ;;
    AEAD_AES_256_GCM) echo aes-256-gcm null ;;
    esac
}
key_hex() { base64 -d <<<"$1" | od -An -v -tx1 | tr -d ' \n'; }

# gst_send NAME SPACE FREQUENCY SECONDS SUITE KEY SSRC LOCAL-ADDRESS LOCAL-PORT ADDRESS PORT: a tone as
# SRTP, 20 ms a packet, with sender reports as SRTCP (about one a second), made by GStreamer.
gst_send() {
    local from=$8 from_port=$9 to=${10} port=${11} cipher auth
    read -r cipher auth <<<"$(srtp_words "$5")"
    start "$1" "$2" gst-launch-1.0 -q rtpsession name=session rtcp-min-interval=1000000000 \
        srtpenc name=enc key="$(key_hex "$6")" rtp-cipher="$cipher" rtp-auth="$auth" \
        rtcp-cipher="$cipher" rtcp-auth="${auth/32/80}" \
        audiotestsrc is-live=true freq="$3" volume=0.125 num-buffers=$(($4 * 50)) \
        samplesperbuffer=160 ! audio/x-raw,rate=8000,channels=1 ! mulawenc ! \
        rtppcmupay ssrc="$7" min-ptime=20000000 max-ptime=20000000 ! session.send_rtp_sink \
        session.send_rtp_src ! enc.rtp_sink_0 \
        enc.rtp_src_0 ! udpsink host="$to" port="$port" bind-address="$from" \
        bind-port="$from_port" sync=false async=false \
        session.send_rtcp_src ! enc.rtcp_sink_0 \
        enc.rtcp_src_0 ! udpsink host="$to" port=$((port + 1)) bind-address="$from" \
        bind-port=$((from_port + 1)) sync=false async=false
}

# gst_receive NAME SPACE ADDRESS PORT SUITE KEY SSRC: decodes SRTP audio into NAME.wav until "stop NAME INT".
# SRTCP is only received: srtpdec may crash when the first of both comes at the same time.
gst_receive() {
    local cipher auth keys
    read -r cipher auth <<<"$(srtp_words "$5")"
    keys="ssrc=(uint)$7,srtp-key=(buffer)$(key_hex "$6"),srtp-cipher=(string)$cipher"
    keys+=",srtp-auth=(string)$auth,srtcp-cipher=(string)$cipher,srtcp-auth=(string)${auth/32/80}"
    start "$1" "$2" gst-launch-1.0 -q -e \
        udpsrc address="$3" port="$4" caps="application/x-srtp,media=(string)audio,\
clock-rate=(int)8000,encoding-name=(string)PCMU,payload=(int)0,$keys" ! srtpdec ! rtppcmudepay ! \
        mulawdec ! audio/x-raw,format=S16LE ! wavenc ! filesink location="$W/$1.wav" \
        udpsrc address="$3" port=$(($4 + 1)) ! fakesink async=false
    wait_for 10 bound "$2" $(($4 + 1)) || bail "$1 does not listen: $(cat "$W/$1.log")"
}

# How long most tests send a tone, and hears FREQUENCY FILE: such a tone is in the file. 300 ms may be missing: a
# receiver begins late, and what it decodes first may be silence.
SECONDS_SENT=2
hears() { "$NET_TOOLS/toneck" --frequency "$1" --expect-seconds $SECONDS_SENT --min 0.85 "$2"; }

# end_streams NAME...: when all packets of these senders came: waits for the senders, which end by themselves, then
# ends their receivers got-NAME, which write their files.
end_streams() {
    local name
    # GStreamer hangs at its end now and then.
    for name; do within 1 gone "${PID[$name]}" || kill -INT "${PID[$name]}" 2>/dev/null; done
    for name; do stop "$name" INT || :; done
    for name; do kill -INT "${PID[got-$name]}" 2>/dev/null; done
    for name; do finish_of "got-$name" 10 || :; done
}
# end_stream NAME: the same at once: when all packets of its sender came: ends the sender NAME, which may want to send
# reports a little longer, and then the receiver got-NAME, which writes its file.
end_stream() {
    stop "$1" INT || :
    stop "got-$1" INT || :
}
