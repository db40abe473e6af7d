# Kamailio, baresip and SIPp in the networks of lib/figures.sh; sourced by the tests that have calls.
#
# Kamailio runs beside the inner-relay of a company with examples/kamailio/kamailio.cfg as it stands, or in
# its DMZ with examples/kamailio-dmz. A phone
# is a baresip with SDES-SRTP, mandatory, that plays a tone and records what it hears. Phones inside
# register by UDP, phones outside by TLS at the dmz-relay's port SIP_PORT.
#
# shellcheck shell=bash disable=SC2034

SIP_PORT=5061
SIP_INSIDE=5060
CODECS=/usr/lib/baresip/modules
KAMAILIO=$EXAMPLES/kamailio

for tool in kamailio baresip sipp; do
    command -v $tool >/dev/null || bail "$tool is missing (./quickstart check installs it)"
done

# ---------------------------------------------------------------- the proxy

# Where the Kamailio of a company runs: the host of its inner-relay, or SIP_HOST.
sip_host() { echo "${SIP_HOST:-inner-$1}"; }

# sip_certificate COMPANY: self-signed, for the Kamailio of a company: made once, or by a test before.
sip_certificate() {
    local name=sip.${DOMAIN[$1]}
    [ -e "$W/$name.crt" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -days 2 -subj "/CN=$name" -addext "subjectAltName=DNS:$name" -keyout "$W/$name.key" \
        -out "$W/$name.crt" 2>"$W/openssl.log" || bail "no certificate for Kamailio"
}
# sip_tls COMPANY: for its Kamailio: its certificate, and that of the other company's (and SIP_PEERS).
sip_tls() {
    local name=sip.${DOMAIN[$1]} other=b to=$W/kamailio-$1
    [ "$1" = a ] || other=a
    host_files "$(sip_host "$1")"
    sip_certificate "$1"
    sip_certificate "$other"
    install -m 644 "$W/$name.crt" "$W/$name.key" "$to/"
    # shellcheck disable=SC2086
    cat "$W/sip.${DOMAIN[$other]}.crt" ${SIP_PEERS-} >"$to/sip-peers.crt"
    mirrored "$1" <"$KAMAILIO/tls.cfg" >"$to/tls.cfg"
}

# passwords USER...: who may register from the Internet; the password is "secret of USER".
passwords() {
    local user
    for user; do printf '$sht(password=>%s) = "secret of %s";\n' "$user" "$user"; done
}

# kamailio COMPANY [DEFINITION...]: starts it on its host. A definition is NAME=VALUE, in place of one of
# kamailio.cfg; SIP_LOCAL is a file of such. It is then called sip-COMPANY. SIP_USERS: who has a password.
SIP_USERS="alice bob carol dave erin frank"
kamailio() {
    local c=$1 folder=$W/kamailio-$1 word host
    host=$(sip_host "$1")
    shift
    mkdir -p "$folder/run"
    mirrored "$c" <"$KAMAILIO/kamailio.cfg" >"$folder/kamailio.cfg"
    {
        [ -z "${SIP_LOCAL-}" ] || mirrored "$c" <"$SIP_LOCAL"
        for word; do printf '#!define %s %s\n' "${word%%=*}" "${word#*=}"; done
    } >"$folder/kamailio-local.cfg"
    # shellcheck disable=SC2086
    passwords $SIP_USERS >"$folder/passwords.cfg"
    sip_tls "$c"
    start "sip-$c" "$host" "$lib/host" "$W/hosts/$host" "$(type -P kamailio)" -DD -E \
        -f "$folder/kamailio.cfg" -P "$folder/pid" -Y "$folder/run" -m 64 -M 8
    wait_for 10 kamailio_listens "$c" || bail "Kamailio of company $c: $(tail -n 5 "$W/sip-$c.log")"
}
kamailio_listens() {
    in_ns "$(sip_host "$1")" ss -Hlnu | grep -q ":$SIP_INSIDE " &&
        in_ns "$(sip_host "$1")" ss -Hlnt | grep -q ":$SIP_PORT "
}

# ---------------------------------------------------------------- phones

# A tone of two minutes, as a phone plays it.
make_tone() {
    ffmpeg -nostdin -loglevel error -f lavfi -i "sine=frequency=$2:sample_rate=8000:duration=120" -c:a pcm_s16le \
        -f wav "$1"
}
tone_file() {
    [ -e "$W/tone-$1.wav" ] || { made_once "tone-$1" make_tone "$1" && ln -s "$MADE" "$W/tone-$1.wav"; }
}

# desk NAME COMPANY ADDRESS: a host of the corporate network that has that address alone. A phone's media
# leave from the address that its host's route takes, which is the first of several.
desk() {
    space "$1"
    cable "sw-$2" "$1" "$1" eth0
    in_ns "sw-$2" ip link set "$1" master switch || bail "no cable for $1"
    address "$1" eth0 "$3/16"
    route "$1" default "10.${COMPANY_NUMBER[$2]}.0.1"
}

# phone NAME SPACE ADDRESS PROXY FREQUENCY [VIDEO]: starts a baresip of the user NAME that plays that tone
# and answers every call. PROXY is ADDRESS:PORT;transport=udp or tls. Its media come to RTP_PORTS.
# Its domain is that of SIP_DOMAIN, its user PHONE_USER if that is set, its SIP port PHONE_SIP if that is.
declare -A PHONE_PORT=() PHONE_SPACE=() USER_OF=() RECORDED=()
RTP_PORTS=10000-10100
SIP_DOMAIN=${DOMAIN[a]}
CTRL=4444
phone() {
    local name=$1 space=$2 address=$3 proxy=$4 tone=$5 video=${6-} folder=$W/phone-$1
    local user=${PHONE_USER-$1}
    mkdir -p "$folder/heard"
    tone_file "$tone"
    CTRL=$((CTRL + 1))
    PHONE_PORT[$name]=$CTRL
    PHONE_SPACE[$name]=$space
    USER_OF[$name]=$user
    {
        cat <<END2
poll_method epoll
sip_listen $address:${PHONE_SIP-$((CTRL + 1000))}
net_interface $address
call_local_timeout 120
call_max_calls 8
audio_path /usr/share/baresip
audio_source aufile,$W/tone-$tone.wav
audio_player aubridge,$name
audio_alert aubridge,$name-alert
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
audio_buffer 20-160
rtp_ports $RTP_PORTS
rtcp_mux no
jitter_buffer_delay 5-10
rtp_stats yes
module_path $CODECS
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
module srtp.so
module_tmp uuid.so
module_tmp account.so
module_app ctrl_tcp.so
module_app menu.so
snd_path $folder/heard
ctrl_tcp_listen 127.0.0.1:$CTRL
END2
        [ -z "$video" ] || cat <<END2
module vp8.so
module fakevideo.so
video_source fakevideo,nil
video_display fakevideo,nil
video_size 320x240
video_bitrate 200000
video_fps 10
END2
    } >"$folder/config"
    cat >"$folder/accounts" <<END2
<sip:$user@$SIP_DOMAIN;transport=${proxy##*=}>;auth_user=$user;auth_pass="secret of $user";outbound="sip:$proxy";regint=60;mediaenc=srtp-mand;answermode=auto;audio_codecs=PCMU/8000/1
END2
    : >"$folder/contacts"
    start "$name" "$space" stdbuf -oL "$(type -P baresip)" -4 -s -v -f "$folder"
}

# tell NAME COMMAND [PARAMETERS]: a command for a phone by its control socket; prints what it says.
tell() {
    local message="{\"command\":\"$2\",\"params\":\"${3-}\",\"token\":\"t\"}"
    # shellcheck disable=SC2016
    in_ns "${PHONE_SPACE[$1]}" timeout 5 bash -c '
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
        printf "%d:%s," "${#2}" "$2" >&3
        while IFS= read -r -d , -t 3 part <&3; do
            printf "%s," "$part"
            case $part in *\"token\":\"t\"*) exit 0 ;; esac
        done; exit 0' tell "${PHONE_PORT[$1]}" "$message"
}
# says NAME TEXT [COUNT]: the phone's log has lines with that text, so many of them at least.
says() { [ "$(cat "$W/$1.out" "$W/$1.log" | grep -cE -- "$2")" -ge "${3-1}" ]; }

registered() { says "$1" '200 OK .*\[[0-9]+ binding'; }
phones_registered() {
    local name
    for name; do wait_for 10 registered "$name" || bail "$name does not register: $(tail -n 5 "$W/$name.out")"; done
}

# recordings NAME: the files of what a phone heard, the oldest first.
recordings() { find "$W/phone-$1/heard" -name '*-dec.wav' | sort; }

# heard NAME FREQUENCY SECONDS: a phone's last recording, made since it was last in a dial, has that tone for
# that long. A file of an earlier call is not taken. What baresip 1.0 hears after a hold it does not record: this
# is asked before the first one.
heard() {
    local file
    file=$(recordings "$1" | tail -n "+$((${RECORDED[$1]-0} + 1))" | tail -n 1)
    [ -n "$file" ] && "$NET_TOOLS/toneck" --frequency "$2" --expect-seconds "$3" --min 0.9 "$file"
}

# dial NAME USER[@DOMAIN]: starts a call. What its phones have recorded until then is counted: for heard.
dial() {
    local to=$2 name
    for name in "${!PHONE_PORT[@]}"; do
        [ "$name" != "$1" ] && [ "${USER_OF[$name]}" != "${2%@*}" ] ||
            RECORDED[$name]=$(recordings "$name" | wc -l)
    done
    [[ $to == *@* ]] || to=$to@$SIP_DOMAIN
    tell "$1" dial "sip:$to" >>"$W/tell.out" || bail "$1 takes no command"
}

# ---------------------------------------------------------------- companies with a proxy

# rules_sip COMPANY: TLS for SIP, in to the dmz-relay; and out to the other company. As documented.
rules_sip() {
    {
        rules_documented "external firewall, Kamailio inside"
        rules_documented "external firewall, calls to another company"
    } | mirrored "$1"
}

# mirrored COMPANY: examples/kamailio, which is company a's, as another company would write it.
mirrored() {
    [ "$1" = b ] || { cat && return; }
    sed -e 's/198\.51\.100\.10/SWAP/g; s/203\.0\.113\.10/198.51.100.10/g; s/SWAP/203.0.113.10/g' \
        -e 's/172\.16\.1\./172.16.2./g; s/10\.1\.0\./10.2.0./g' \
        -e 's/example\.net/SWAP/g; s/example\.com/example.net/g; s/SWAP/example.com/g' -e 's/company-b/company-a/g'
}

# sip_pair COMPANY: firewalls, and both daemons with the ini files of examples/kamailio.
sip_pair() {
    { rules_anybody "$1" && rules_sip "$1"; } | firewall "fwx-$1"
    rules_tunnel "$1" | firewall "fwi-$1"
    sip_daemons "$1" kamailio
}
# sip_daemons COMPANY EXAMPLE: both daemons with the ini files of that example: dmz-COMPANY, inner-COMPANY.
sip_daemons() {
    local c=$1 role
    mkdir -p "$W/examples/$2"
    for role in dmz-relay inner-relay; do
        mirrored "$c" <"$EXAMPLES/$2/$role.ini" >"$W/examples/$2/$role-$c.ini"
    done
    EXAMPLES=$W/examples launch_example "$2" "dmz-relay-$c"
    EXAMPLES=$W/examples launch_example "$2" "inner-relay-$c"
    tunnels_up "inner-$c" "dmz-$c"
}

# rules_documented TITLE: the rules that docs/replace-rtpengine.md has below the comment "# TITLE".
rules_documented() {
    awk -v title="    # $1" '$0 == title { on = 1; next } !/^    [^#]/ { on = 0 } on' \
        "$EXAMPLES/../docs/replace-rtpengine.md" | grep . || bail "the document has no rules for \"$1\""
}

# sas COMPANY NUMBER: so many SAs at both of its relays.
sas() { sas_at "inner-$1" "$2" && sas_at "dmz-$1" "$2"; }

# media COMPANY SIDE: packets of RTP and RTCP that the inner-relay has had of the senders of a side.
media() {
    local id sum=0 n
    for id in $(ctl_json "inner-$1" sa list | jq --arg side "$2" '.sas[] | select(.side == $side) | .id'); do
        n=$(ctl_json "inner-$1" sa show "$id" | jq '.sa.packets') && sum=$((sum + n))
    done
    echo "$sum"
}
# flows COMPANY NUMBER: so many packets more come from either side.
flows() {
    local a b
    a=$(media "$1" internal) b=$(media "$1" external)
    wait_for 10 at_least $((a + $2)) media "$1" internal && wait_for 10 at_least $((b + $2)) media "$1" external
}
# silent COMPANY: no RTP for half a second; RTCP comes every few seconds.
silent() {
    local before
    before=$(rtp_in "$1")
    read -rt 0.6 -u "$NEVER" _ || :
    [ $(($(rtp_in "$1") - before)) -le 2 ]
}
# sources COMPANY SIDE: the IP addresses that the senders of a side are heard from.
sources() {
    ctl_json "inner-$1" sa list | jq -r --arg side "$2" '.sas[] | select(.side == $side) | .bound // .source' | sed "s/:[0-9]*$//" | sort -u
}
rtp_in() { echo $(($(verdict "dmz-$1" accepted ' rtp$') + $(verdict "inner-$1" accepted ' rtp$'))); }

# held NAME NUMBER: in company a's only call hold stops the media and leaves the SAs; resume brings so many
# packets each way, under the same SAs.
held() {
    local before
    before=$(sa_ids)
    tell "$1" hold >>"$W/tell.out"
    check "$1 holds: no media" wait_for 5 silent a
    is "$1 holds: the SAs stay" "$(sa_ids)" "$before"
    tell "$1" resume >>"$W/tell.out"
    check "$1 resumes: media both ways" flows a "$2"
    is "$1 resumes: under the same SAs" "$(sa_ids)" "$before"
}
sa_ids() { ctl_json inner-a sa list | jq -c '[.sas[].id] | sort'; }

# ---------------------------------------------------------------- SIPp

# sipp_fields NUMBER [PORT]: keys and the domain for so many calls, as the scenarios in lib/sipp want them.
sipp_fields() {
    echo SEQUENTIAL
    openssl rand -base64 $((60 * $1)) | tr -d '\n' | fold -w 80 | sed "s/^\(.\{40\}\)/\1;/; s/\$/;$SIP_DOMAIN;${2-0};/"
    echo
}
# sipp NAME SPACE SCENARIO ADDRESS TARGET ARGUMENT...: in the background, with the fields in $W/fields.csv.
# Calls last for a second (-d), are for the callee (-s), and the whole for a minute and a half (-timeout).
sipp() {
    local name=$1 space=$2 scenario=$3 address=$4 target=$5
    shift 5
    mkdir -p "$W/sipp-$name"
    start "$name" "$space" env -C "$W/sipp-$name" TERM=dumb "$(type -P sipp)" "$target" -sf "$lib/sipp/$scenario.xml" \
        -inf "$W/fields.csv" -i "$address" -s callee -d 1000 -nostdin -trace_err -timeout 90 "$@"
}
# sipp_registers SPACE ADDRESS PROXY PORT [USER]: the callee (or who it is) is at that port.
sipp_registers() {
    sipp_fields 1 "$4" >"$W/fields.csv"
    sipp register "$1" register "$2" "$3" -s "${5-callee}" -p 5099 -m 1
    finish_of register 10 || bail "SIPp does not register: $(cat "$W"/sipp-register/*errors.log)"
}

# sipp_lab COMPANY [DEFINITION...]: Kamailio with TCP in place of TLS, which SIPp does not have, and with the
# host of SIPp on the Internet as the other company, which needs no password; the callee inside is at port 5070.
sipp_lab() {
    kamailio "$1" LISTEN_OUTSIDE=tcp:127.0.0.1:5061 "PEER_ADDRESS=\"$WEB\"" "${@:2}"
    sipp_registers "lan-$1" "${LAN[$1]}" "${INNER[$1]}:$SIP_INSIDE" 5070
}
