#!/bin/bash
# TLS between the proxies of two companies: Kamailio takes calls without a password from the other company's
# address only with that proxy's certificate, and calls nobody there who does not have it. What is on the
# DMZ host of company b here is openssl, with one certificate and another.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/sip.sh"

# another NAME HOST: a certificate of that name that nobody has put up.
another() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$2" \
        -addext "subjectAltName=DNS:$2" -keyout "$W/$1.key" -out "$W/$1.crt" 2>"$W/openssl.log" || bail "certificate $1"
}

company a b
rules_sip b | firewall fwx-b
sip_pair a
peer=sip.${DOMAIN[b]}
another impostor "$peer"
another neighbour sip.example.org
sip_certificate b
# Kamailio can check the certificate of a neighbour, too, which is not that of the other company.
SIP_PEERS=$W/neighbour.crt
kamailio a

# invite CERTIFICATE: a call from company b's DMZ; its first line of reply comes to call.out.
invite() {
    local tls=(-connect "${DMZ_OUT[a]}:$SIP_PORT" -quiet)
    [ "$1" = none ] || tls+=(-cert "$W/$1.crt" -key "$W/$1.key")
    printf '%s\r\n' "INVITE sip:nobody@${DOMAIN[a]} SIP/2.0" "Via: SIP/2.0/TLS ${DMZ_OUT[b]}:5061;branch=z9hG4bK$1" \
        "Max-Forwards: 7" "From: <sip:erin@${DOMAIN[b]}>;tag=$1" "To: <sip:nobody@${DOMAIN[a]}>" "Call-ID: $1" \
        "CSeq: 1 INVITE" "Contact: <sip:erin@${DMZ_OUT[b]}>" "Content-Length: 0" "" >"$W/$1.invite"
    INPUT=$W/$1.invite
    start call dmz-b openssl s_client "${tls[@]}"
    INPUT=/dev/null
}
while read -r certificate reply what; do
    invite "$certificate"
    check "a call from the other company's address $what: $reply" wait_for 5 grep -qE "$reply" "$W/call.out" "$W/call.log"
    stop call
    rm -f "$W/call.log"
done <<END
none 403.Certificate.Needed without a certificate
impostor alert with a certificate that names itself so
neighbour 403.Certificate.Needed with a good certificate of somebody else
$peer 404.Not.Found with its certificate
END

phone bob lan-a "${LAN[a]}" "${INNER[a]}:$SIP_INSIDE;transport=udp" 440
phones_registered bob
# answer CERTIFICATE: who answers at the other company's address.
answer() {
    INPUT=/dev/fd/$NEVER # s_server ends with its input
    start "$1" dmz-b openssl s_server -accept "${DMZ_OUT[b]}:$SIP_PORT" -cert "$W/$1.crt" -key "$W/$1.key" -quiet
    INPUT=/dev/null
    wait_for 5 listens || bail "openssl does not listen"
}
listens() { in_ns dmz-b ss -Hlnt | grep -q ":$SIP_PORT "; }
answer impostor
dial bob "erin@${DOMAIN[b]}"
check "a call to the other company: who has not its certificate is found out" wait_for 5 \
    grep -q 'alert unknown ca' "$W/impostor.log"
refuse "and is not told who calls" grep -q INVITE "$W/impostor.out"
stop impostor
tell bob hangup >>"$W/tell.out"
answer "$peer"
dial bob "erin@${DOMAIN[b]}"
check "who has it gets the call" wait_for 5 grep -q INVITE "$W/$peer.out"
nothing_refused
done_testing
