#!/bin/bash
# Who may not open the tunnel, and whom the inner-relay does not talk to: each refused before any SA
# is sent, each with a log line of its own. And what a peer with a good certificate may not send.
. "$(dirname "$0")/lib.sh"

SUITE=AES_CM_128_HMAC_SHA1_80
SITES="$SITE_A, $SITE_B"
HANDSHAKES=8

topology
certificates "$DMZ_NAME=dmz" "$SITE_A=inner" "$SITE_B=inner" other.example=inner revoked.example=inner \
    wrong.example=dmz \
    gone.example=dmz
SITES="$SITES, revoked.example, wrong.example, expired.example, early.example, no-eku.example, cn.example"
certs revoke revoked.example && certs revoke gone.example || bail "media-relay-certs revoke"
chown "$NET_USER" "$CERTS/ca.crl"

# ---------------------------------------------------------------- certificates that no tool of ours makes
X=$W/x
mkdir -p "$X"
# authority NAME: another CA.
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
        -subj "/CN=$1" -keyout "$X/$1.key" -out "$X/$1.crt" -addext "basicConstraints=critical,CA:TRUE" \
        -addext "keyUsage=critical,keyCertSign,cRLSign" >>"$W/x.log" 2>&1 || bail "CA $1"
}
# forged NAME CA-FILES SUBJECT "EXTENSION; EXTENSION" [NOT-BEFORE NOT-AFTER]
forged() {
    local name=$1 ca=$2 subject=$3 extensions=$4 from=${5:-20200101000000Z} to=${6:-20900101000000Z}
    local d=$X/ca-$name
    mkdir -p "$d" && : >"$d/index.txt" && echo "0x$(openssl rand -hex 8)" | cut -c 3- >"$d/serial"
    {
        printf '%s\n' "[ca]" "default_ca = own" "[own]" "database = $d/index.txt" "serial = $d/serial" \
            "new_certs_dir = $d" "default_md = sha256" "policy = any" "unique_subject = no" \
            "x509_extensions = leaf" "[any]" "commonName = optional" "[leaf]" \
            "basicConstraints = critical,CA:FALSE"
        tr ';' '\n' <<<"$extensions"
    } >"$d/cnf"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "$subject" \
        -keyout "$X/$name.key" -out "$d/csr" >>"$W/x.log" 2>&1 &&
        openssl ca -batch -notext -config "$d/cnf" -cert "$ca.crt" -keyfile "$ca.key" -in "$d/csr" \
            -out "$X/$name.crt" -startdate "$from" -enddate "$to" >>"$W/x.log" 2>&1 ||
        bail "certificate $name: $(tail -n 5 "$W/x.log")"
}
authority elsewhere
client_eku="extendedKeyUsage = clientAuth"
server_eku="extendedKeyUsage = serverAuth"
san="subjectAltName = DNS"
past="20200101000000Z 20210101000000Z"
future="20800101000000Z 20900101000000Z"
forged alien "$X/elsewhere" "/CN=x" "$san:$SITE_A;$client_eku"
# shellcheck disable=SC2086
{
    forged expired "$CERTS/ca" "/CN=x" "$san:expired.example;$client_eku" $past
    forged early "$CERTS/ca" "/CN=x" "$san:early.example;$client_eku" $future
    forged s-expired "$CERTS/ca" "/CN=x" "$san:$DMZ_NAME;$server_eku" $past
    forged s-early "$CERTS/ca" "/CN=x" "$san:$DMZ_NAME;$server_eku" $future
}
forged no-eku "$CERTS/ca" "/CN=x" "$san:no-eku.example"
forged cn "$CERTS/ca" "/CN=cn.example" "$client_eku"
forged wildcard "$CERTS/ca" "/CN=x" "$san:*.example;$client_eku"
forged s-alien "$X/elsewhere" "/CN=x" "$san:$DMZ_NAME;$server_eku"
forged s-no-eku "$CERTS/ca" "/CN=x" "$san:$DMZ_NAME"
forged s-cn "$CERTS/ca" "/CN=$DMZ_NAME" "$server_eku"
forged s-wildcard "$CERTS/ca" "/CN=x" "$san:*.example;$server_eku"

# ---------------------------------------------------------------- clients against the dmz-relay
DMZ_TUNNEL_EXTRA="crl = $CERTS/ca.crl
max-handshakes = $HANDSHAKES"
dmz_config
launch dmz

# client CERTIFICATE|none OPTION...: openssl s_client; it is the relay that has to end the connection.
# What it says is in client.log, what it got in client.out.
client() {
    local cert=$1 pair=()
    shift
    [ "$cert" = none ] || pair=(-cert "$cert.crt" -key "$cert.key")
    rm -f "$W/client.log"
    start client inside openssl s_client -connect $DMZ_TUNNEL:$DMZ_TCP "${pair[@]}" \
        -CAfile "$CERTS/ca.crt" -quiet "$@"
}
# log_since LINE NAME: its log behind that line.
log_since() { tail -n +$(($1 + 1)) "$W/$2.log"; }
logs_since() { log_since "$1" "$2" | grep -qE -- "$3"; }
# refused_client TEXT CERTIFICATE REGEX OPTION...: the connection ends and a line of the log says why.
refused_client() {
    local text=$1 cert=$2 want=$3 lines status=0
    shift 3
    lines=$(wc -l <"$W/dmz.log")
    client "$cert" "$@"
    finish_of client 5 || status=$?
    if [ $status = 124 ]; then
        not_ok "$text: the connection stays open"
        stop client KILL
    elif wait_for 3 logs_since "$lines" dmz "$want"; then
        ok "$text: $(log_since "$lines" dmz | grep -E -- "$want" | tail -n 1 | sed 's/^.*\(refused\|is down\): //')"
    else
        not_ok "$text"
        say "wanted '$want', got: $(log_since "$lines" dmz | head -n 3)"
    fi
}
# The same, and not one octet of a frame came.
silent_client() {
    refused_client "$@"
    is "$1: it got nothing" "$(wc -c <"$W/client.out")" 0
}

silent_client "no certificate" none 'refused: .*no certificate' -tls1_3
silent_client "a certificate of another CA" "$X/alien" 'refused: .*not from a CA'
silent_client "a name that is not on the list" "$CERTS/other.example" 'refused: .*other\.example'
silent_client "expired" "$X/expired" 'refused: .*expired'
silent_client "not yet valid" "$X/early" 'refused: .*not valid yet'
silent_client "without extended key usage" "$X/no-eku" 'refused: .*lacks the extended key usage clientAuth'
silent_client "with the other role's key usage" "$CERTS/wrong.example" 'refused: .*lacks the extended key usage clientAuth'
silent_client "revoked" "$CERTS/revoked.example" 'refused: .*revoked'
silent_client "a listed name in CN only" "$X/cn" 'refused: .*no DNS name'
silent_client "a wildcard" "$X/wildcard" 'refused: .*(wildcard|not expected|\*)'
silent_client "TLS 1.2" "$CERTS/$SITE_A" 'refused: .*TLS 1.2 offered, 1.3 needed' -tls1_2
lines=$(wc -l <"$W/dmz.log")
in_ns inside bash -c "exec 3<>/dev/tcp/$DMZ_TUNNEL/$DMZ_TCP; printf 'GET / HTTP/1.1\r\n\r\n' >&3; cat <&3" >"$W/http" 2>/dev/null
check "what is no TLS, and no request of an inner-relay, is refused" wait_for 3 logs_since "$lines" dmz 'refused: .*no inner-relay'
lines=$(wc -l <"$W/dmz.log")
in_ns inside bash -c "exec 3<>/dev/tcp/$DMZ_TUNNEL/$DMZ_TCP"
check "a connection that ends at once is refused" wait_for 3 logs_since "$lines" dmz 'refused: '

# ---------------------------------------------------------------- frames of a peer with a good certificate
# Hex to octets.
bytes() { printf "$(tr -d ' ' <<<"$*" | sed 's/../\\x&/g')"; }
# frame TYPE BODY, in hex
frame() { printf '%04x%s%s' $((1 + ${#2} / 2)) "$1" "$2"; }
u64() { printf '%016x' "$1"; }
hello() { # INSTANCE
    frame 01 "800100020001800200020001""00040008$(u64 1)""80050008$(u64 77)""80060008$(u64 "$1")""80070008$(u64 0)"
}
noise() { openssl rand -hex "$1"; }
instance=1
# bad_frames TEXT REGEX HEX...: sent as the first thing, the connection is closed for this reason.
bad_frames() {
    local text=$1 want=$2
    shift 2
    bytes "$@" >"$W/frames"
    INPUT=$W/frames
    refused_client "$text" "$CERTS/$SITE_A" "$want"
    INPUT=/dev/null
}
# The same behind a good HELLO.
bad_after_hello() {
    local text=$1 want=$2
    shift 2
    instance=$((instance + 1))
    bad_frames "$text" "$want" "$(hello $instance)" "$@"
}
bad_frames "16 kB of noise" 'protocol error' "$(noise 16384)"
bad_frames "a frame of length 0" 'protocol error: .*length' 0000
bad_frames "a frame of 65,535 octets" 'protocol error: .*length' "ffff01$(noise 64)"
bad_frames "a frame before HELLO" 'protocol error: .*before HELLO' "$(frame 03 "800b0008$(u64 1)")"
bad_frames "media before HELLO" 'protocol error: .*before HELLO' "$(frame 80 "000003e8$(noise 60)")"
bad_frames "an SA before HELLO" 'protocol error: .*before HELLO' "$(frame 08 "$(noise 60)")"
bad_frames "HELLO without a body" 'protocol error: .*HELLO' "$(frame 01 "")"
bad_frames "HELLO that is cut off" 'protocol error: .*HELLO' "$(frame 01 80010002)"
bad_frames "HELLO with a critical field of tomorrow" 'protocol error: .*HELLO' \
    "$(frame 01 "800100020001800200020001fff00001aa")"
bad_frames "HELLO of another version" 'no protocol version in common' "$(frame 01 "800100020009800200020009")"
bad_frames "no HELLO at all" 'no HELLO within 3 s' ""

bad_after_hello "HELLO twice" 'is down: protocol error' "$(hello 1000)"
bad_after_hello "an unknown type" 'is down: protocol error' "$(frame 7f "")"
bad_after_hello "another media type" 'is down: protocol error' "$(frame 81 "$(noise 60)")"
bad_after_hello "a message that only the dmz-relay sends" 'is down: protocol error' "$(frame 02 "")"
bad_after_hello "an SA of noise" 'is down: protocol error' "$(frame 08 "$(noise 200)")"
bad_after_hello "an SA that is cut off" 'is down: protocol error' "$(frame 08 "80010008")"
bad_after_hello "a deletion of noise" 'is down: protocol error' "$(frame 09 "$(noise 40)")"
bad_after_hello "SYNC-BEGIN of noise" 'is down: protocol error' "$(frame 06 "$(noise 40)")"
bad_after_hello "PING of noise" 'is down: protocol error' "$(frame 03 "$(noise 40)")"
bad_after_hello "media without a packet" 'is down: protocol error' "$(frame 80 "0003")"
bad_after_hello "a length of 0 in the middle" 'is down: protocol error' "$(frame 80 "000003e8$(noise 60)")0000"
bad_after_hello "noise" 'is down: protocol error' "ffff$(noise 8000)"
is "no SA came of all this" "$(status_of dmz .sas)" 0
instance=$((instance + 1))
before=$(verdict dmz no-sa tunnel)
bytes "$(hello $instance)" "$(frame 80 "000003e880000001000000000000000a$(noise 160)")" >"$W/frames"
INPUT=$W/frames
client "$CERTS/$SITE_A"
INPUT=/dev/null
check "media for a label that is not there is no error, but counted" \
    wait_for 3 equals $((before + 1)) verdict dmz no-sa tunnel
stop client KILL || :
check "the dmz-relay lives" answers dmz

# ---------------------------------------------------------------- half-open handshakes
inner_config inner inside $SITE_B
launch inner
wait_for 10 tunnel_up inner || bail "the tunnel of $SITE_B did not come up"
established() { in_ns dmz ss -Htn state established "sport = :$DMZ_TCP" | wc -l; }
lines=$(wc -l <"$W/dmz.log")
# shellcheck disable=SC2016
start idle inside bash -c 'for i in $(seq "$1"); do exec {fd}<>"/dev/tcp/$2/$3" && fds="$fds $fd"; done
    for fd in $fds; do cat <&"$fd"; done' idle $((2 * HANDSHAKES)) $DMZ_TUNNEL $DMZ_TCP
begin=$(now_ms)
check "handshakes over max-handshakes are turned away" \
    wait_for 2 logs_since "$lines" dmz "turned away: $HANDSHAKES handshakes"
check "so many stay, besides the tunnel" wait_for 2 equals $((HANDSHAKES + $(connections_of 1))) established
check "the tunnel stays up meanwhile" tunnel_up inner
check "half-open ones end" wait_for 5 equals "$(connections_of 1)" established
took=$(($(now_ms) - begin))
check "after 3 s: $took ms" test $took -ge 2500 -a $took -le 4000
check "their clients see the end" finish_of idle 3
refused_client "and then handshakes are possible again" "$CERTS/other.example" 'refused: .*other\.example'
stop inner TERM

# ---------------------------------------------------------------- servers against the inner-relay
check "dmz: at every place received = verdicts + queued" adds_up dmz
stop dmz TERM
is "dmz: stopped cleanly by SIGTERM" $? 0
unset "PROGRAM[dmz]"
INNER_TUNNEL_EXTRA="crl = $CERTS/ca.crl"
inner_config
cp "$W/inner.ini" "$W/inner.pinned"
launch inner
sa_add inner --side external --source $CLIENT:5004 --suite $SUITE --key "$(new_key $SUITE)" \
    --ssrc 1000 --to $PHONE:6000 >/dev/null || bail "sa add"
state=$RUN/inner.state
wait_for 5 test -s "$state"

mkfifo "$W/feed"
exec {FEED}<>"$W/feed"
listening() { in_ns dmz ss -Hltn "sport = :$DMZ_TCP" | grep -q .; }
# server CERTIFICATE OPTION...: openssl s_server in the place of the dmz-relay; what it got is in
# server.out. What is written to $FEED is sent.
server() {
    local cert=$1
    shift
    rm -f "$W/server.log"
    INPUT=$W/feed
    start server dmz openssl s_server -accept $DMZ_TUNNEL:$DMZ_TCP -cert "$cert.crt" -key "$cert.key" \
        -CAfile "$CERTS/ca.crt" -Verify 2 -num_tickets 0 -quiet "$@"
    INPUT=/dev/null
    wait_for 5 listening || bail "openssl s_server: $(cat "$W/server.log")"
}
# refused_server TEXT CERTIFICATE REGEX [OPTION...]: the inner-relay turns away and says why.
refused_server() {
    local text=$1 cert=$2 want=$3 lines
    shift 3
    # Killed and restarted behind the server, so that nobody else asks it, and at once: with the SA,
    # from its state file.
    stop inner KILL || :
    server "$cert" "$@"
    lines=$(wc -l <"$W/inner.log")
    launch inner
    if wait_for 5 logs_since "$lines" inner "$want"; then
        ok "$text: $(log_since "$lines" inner | grep -E -- "$want" | head -n 1 | sed 's/^.*\[warning\] //; s/; next attempt.*//')"
    else
        not_ok "$text"
        say "wanted '$want', got: $(log_since "$lines" inner | tail -n 5)"
    fi
    like "$text: relayctl says so" "$(status_of inner '.tunnels[0].last_error')" "$want"
    stop server KILL || :
}
silent_server() {
    refused_server "$@"
    is "$1: it got nothing" "$(wc -c <"$W/server.out")" 0
}
silent_server "server of another CA" "$X/s-alien" 'not from a CA'
silent_server "server with another name" "$CERTS/wrong.example" 'wrong\.example'
silent_server "server with an expired certificate" "$X/s-expired" 'expired'
silent_server "server with one not yet valid" "$X/s-early" 'not valid yet'
silent_server "server without extended key usage" "$X/s-no-eku" 'lacks the extended key usage serverAuth'
silent_server "server with an inner-relay's certificate" "$CERTS/other.example" 'lacks the extended key usage serverAuth'
silent_server "server with the name in CN only" "$X/s-cn" 'no DNS name'
silent_server "server with a wildcard" "$X/s-wildcard" '(wildcard|not expected|\*)'
silent_server "server with TLS 1.2 only" "$CERTS/$DMZ_NAME" 'TLS 1.2|protocol_version|TLS 1.3' -tls1_2
sed "s/^name = .*/name = gone.example/" "$W/inner.pinned" >"$W/inner.ini"
silent_server "server that is revoked" "$CERTS/gone.example" 'revoked'
cp "$W/inner.pinned" "$W/inner.ini"

# bad_server TEXT REGEX HEX: a good certificate, and then this.
bad_server() {
    bytes "$3" >&"$FEED"
    refused_server "server: $1" "$CERTS/$DMZ_NAME" "$2"
    # HELLO may go out, an SA may not: its key would be in it.
    refuse "server: $1: it got no SA" grep -qaF "AES_CM_128" "$W/server.out"
}
ack="800300020001""80050008$(u64 0)""80070008$(u64 0)"
features="00040008$(u64 15)"
bad_server "noise" 'protocol error' "ffff$(noise 1000)"
bad_server "a frame of length 0" 'protocol error: .*length' 0000
bad_server "a frame before HELLO-ACK" 'protocol error' "$(frame 03 "80010008$(u64 1)")"
bad_server "HELLO-ACK that cannot be read" 'protocol error: HELLO-ACK' "$(frame 02 8003)"
bad_server "HELLO-ACK of a version that was not offered" 'version that was not offered' \
    "$(frame 02 "800300020009""80050008$(u64 0)""80070008$(u64 0)")"
# DELTA without VERIFY-ONLY: it must not get a key that it could decrypt with.
bad_server "HELLO-ACK without a feature that dmz-keys needs" 'dmz-keys = verify-only needs' \
    "$(frame 02 "$ack")"
# An SA goes to whoever has a good certificate and says HELLO-ACK: noise behind it still ends it.
bytes "$(frame 02 "$ack$features")$(frame 0a "$(noise 40)")" >&"$FEED"
refused_server "server: a refusal of noise behind a good HELLO-ACK" "$CERTS/$DMZ_NAME" 'protocol error'
is "the inner-relay still has its SA" "$(status_of inner .sas)" 1
done_testing
