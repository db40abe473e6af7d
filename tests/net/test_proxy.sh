#!/bin/bash
# The tunnel through an HTTP proxy, which is all that the firewall lets out: squid with each of the three
# ways, and with no, Basic and Digest authentication; refusals; a proxy that opens TLS; one that ends. carrier = auto
# stays with stream then, although there are raw sockets, and says why.
NET_CARRIER=auto
NET_RAW=yes
. "$(dirname "$0")/lib.sh"

SUITE=AES_CM_128_HMAC_SHA1_80
PROXY=10.9.0.1 # the firewall's own address inside
PROXY_PORT=3128
PASSWORD=secret-of-the-proxy
here=$(cd "$(dirname "$0")" && pwd)

topology
cut_tunnel # nothing is forwarded: what reaches the DMZ was the proxy's
certificates "$DMZ_NAME=dmz" "$SITE_A=inner"
dmz_config
launch dmz
mkdir "$W/squid" && chown "$NET_USER" "$W/squid"
echo "me:$(openssl passwd -apr1 $PASSWORD)" >"$W/squid/basic"
echo "me:$PASSWORD" >"$W/squid/digest"
echo $PASSWORD >"$W/password"
chown "$NET_USER" "$W/password" && chmod 600 "$W/password"

# squid RULES: with these lines; "http_access allow all" is the last one.
squid_up() { in_ns fwi ss -Hltn "src $PROXY:$PROXY_PORT" | grep -q .; }
squid_down() { ! squid_up; }
squid() {
    stop squid KILL
    wait_for 5 squid_down || bail "the port of the proxy is not free"
    cat >"$W/squid.conf" <<END2
http_port $PROXY:$PROXY_PORT
visible_hostname proxy.example
pid_filename none
cache deny all
cache_mem 8 MB
access_log stdio:$W/squid/access
cache_log $W/squid/cache
coredump_dir $W/squid
pinger_enable off
netdb_filename none
shutdown_lifetime 0 seconds
connect_timeout 2 seconds
$1
http_access allow all
END2
    : >"$W/squid/access" && chown "$NET_USER" "$W/squid/access"
    start_user squid fwi squid -N -f "$W/squid.conf"
    wait_for 10 squid_up || bail "squid does not start: $(tail -n 3 "$W/squid.log")"
}

# inner_by URL [LINES]: the inner-relay with this proxy.
inner_by() {
    stop inner TERM
    : >"$W/inner.log"
    inner_config
    sed -i "/^name = $DMZ_NAME/a proxy = $1\n${2-}" "$W/inner.ini"
    launch inner
}
logged() { grep -qE "$1" "$W/inner.log"; }
via() { status_of "$1" '.tunnels[0].via'; }

# by TEXT WAY DMZ-WAY: the tunnel comes up by this way, and media goes through it.
by() {
    check "$1: the tunnel is up" wait_for 10 tunnel_up inner || show_logs
    is "$1: status names the way" "$(via inner) $(via dmz)" "$2 $3"
    is "$1: and the carrier" "$(status_of inner '.tunnels[0] | "\(.carrier): \(.carrier_reason)"')" \
        "stream: an HTTP proxy is in between: segments are its own"
    media "$1"
    say "$1: round trip $(status_of inner '.tunnels[0].rtt_ms') ms"
}
media() {
    local key out_key
    key=$(new_key $SUITE) out_key=$(new_key $SUITE)
    sa_add inner --side external --source-policy strict --source $CLIENT:5004 --suite $SUITE --key "$key" \
        --ssrc 1000 --to $PHONE:6000 --call-id call >/dev/null || bail "sa add"
    sa_add inner --side internal --source-policy strict --source $PHONE:5004 --suite $SUITE --key "$out_key" \
        --ssrc 2000 --to $CLIENT:6000 --call-id call --reverse 1 >/dev/null || bail "sa add"
    wait_for 3 sas_at dmz 2 || bail "the SAs did not reach the dmz-relay"
    receive phone lan $PHONE:6000 --key "$key" --count 100 --wait 10
    receive client inet $CLIENT:6000 --key "$out_key" --count 100 --wait 10
    send in inet --from $CLIENT:5004 --to $DMZ_RTP:$DMZ_PORT --key "$key" --ssrc 1000 --rate 250 --count 100
    send out lan --from $PHONE:5004 --to $INNER_RTP:$INNER_PORT --key "$out_key" --ssrc 2000 --rate 250 --count 100
    check "$1: media inward" finish_of phone 10
    check "$1: media outward" finish_of client 10
    finish_of in 5
    finish_of out 5
    is "$1: nothing was late" "$(status_of inner '.tunnels[0].late') $(status_of dmz '.tunnels[0].late')" "0 0"
}
home=http://$PROXY:$PROXY_PORT
user=http://me@$PROXY:$PROXY_PORT
file="proxy-password-file = $W/password"

# ---------------------------------------------------------------- the three ways
capture proxy fwi dmz0
squid ""
inner_by $home
by "CONNECT" connect direct
is "CONNECT: the dmz-relay sees the proxy" "$(status_of dmz '.tunnels[0].peer | split(":")[0]')" 192.0.2.1

squid "http_access deny CONNECT
http_upgrade_request_protocols media-relay allow all"
inner_by $home
by "Upgrade, CONNECT denied" upgrade upgrade
check "the refusal of CONNECT is logged" logged 'by connect through the proxy .*403 Forbidden: the proxy forbids it; next attempt by upgrade'

squid "http_access deny CONNECT"
inner_by $home
by "plain HTTP, CONNECT denied and Upgrade not passed on" http http
check "the refusal of Upgrade is logged" logged 'by upgrade through the proxy .*404 .*next attempt by http'

# Timeouts shorter than a call: the PINGs keep it. Squid counts in whole seconds, and a PING of a busy machine may be late.
squid "http_access deny CONNECT
read_timeout 2 seconds
request_timeout 2 seconds
client_idle_pconn_timeout 2 seconds"
check "the proxy has been restarted: up again" wait_for 15 tunnel_up inner
connects=$(status_of inner '.tunnels[0].connects')
since=$(now_ms)
passed_ms() { [ $(($(now_ms) - since)) -ge "$1" ]; }
wait_for 10 passed_ms 5000
is "5 s with 2 s as its timeouts: the same connection" "$(status_of inner '.tunnels[0].connects')" "$connects"
is "by HTTP as before" "$(via inner)" http

# A proxy that ends what is under way.
stop squid KILL
check "the proxy has gone: noticed" wait_for 5 tunnel_not_up inner
squid "http_access deny CONNECT"
check "it is there again: up again" wait_for 15 tunnel_up inner
is "by the way that works" "$(via inner)" http

# ---------------------------------------------------------------- who asks
ncsa="auth_param basic program /usr/lib/squid/basic_ncsa_auth $W/squid/basic
auth_param basic children 1
auth_param basic realm the proxy"
digest="auth_param digest program /usr/lib/squid/digest_file_auth $W/squid/digest
auth_param digest children 1
auth_param digest realm the proxy"
auth="acl known proxy_auth REQUIRED
http_access deny !known"

squid "$ncsa
$auth"
inner_by $user "$file"
by "Basic" connect direct

squid "$digest
$ncsa
$auth
http_access deny CONNECT"
inner_by $user "$file"
by "Digest, by plain HTTP" http http

stop inner TERM
echo wrong >"$W/password"
inner_by $user "$file"
check "a wrong password is said" wait_for 5 logged '407: the proxy does not take this user name and password; next attempt in'
refuse "and no other way is tried with it" logged 'by (upgrade|http) through'
echo $PASSWORD >"$W/password"
ctl inner reload >/dev/null
check "the right one, after a reload" wait_for 15 tunnel_up inner
chmod 644 "$W/password"
like "inner-relay -t: a password that others can read" "$(as_user "${PROGRAM[inner]}" -t -c "$W/inner.ini" 2>&1)" \
    'proxy-password-file: .*others may use it \(mode 0644\); chmod 600 would be right'
chmod 600 "$W/password"
inner_by $home
check "no user where one is wanted" wait_for 5 logged '407: the proxy wants a user name and a password; proxy = http://USER@'

# ---------------------------------------------------------------- refusals
squid ""
stop dmz TERM
inner_by $home
check "the dmz-relay is away: the proxy says so" wait_for 10 logged 'by connect .*50[23] .*: the proxy cannot reach the dmz-relay'
launch dmz
check "and it is there again" wait_for 20 tunnel_up inner
stop squid KILL
check "no proxy" wait_for 5 logged "cannot connect to the proxy $PROXY:$PROXY_PORT: Connection refused; next attempt in"

stand_in() {
    stop stand-in KILL
    start stand-in fwi python3 "$here/lib/proxy.py" "$@"
    wait_for 5 squid_up || bail "the stand-in: $(cat "$W/stand-in.log")"
}
stand_in answer $PROXY $PROXY_PORT "502 Bad Gateway"
for way in connect upgrade http; do
    check "502 by $way" wait_for 10 logged "by $way .*502 Bad Gateway: the proxy cannot reach the dmz-relay"
done
check "and then it waits" wait_for 5 logged 'by http .*502 Bad Gateway.*; next attempt in'
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=The Company" \
    -addext "subjectAltName=DNS:$DMZ_NAME" -keyout "$W/its.key" -out "$W/its.crt" 2>/dev/null
stop inner TERM
stand_in intercept $PROXY $PROXY_PORT "$W/its.crt" "$W/its.key"
inner_by $home "via = connect"
check "a proxy that opens TLS is refused" wait_for 10 logged \
    "by connect through the proxy .*certificate.*a proxy that opens TLS must not open this one's; next attempt in"
is "and no tunnel came up" "$(status_of inner '.tunnels[0].connects')" 0
stop stand-in KILL

# ---------------------------------------------------------------- what a stranger hears
ask() {
    in_ns fwi python3 - "$1" <<'END2'
import socket, sys
with socket.create_connection(("192.0.2.10", 4600), 5) as conn:
    conn.sendall(sys.argv[1].encode().decode("unicode_escape").encode("latin-1"))
    data = b""
    while piece := conn.recv(4096):
        data += piece
print(data.decode("latin-1").replace("\r\n", "|"))
END2
}
is "a stranger's GET hears 404 and no more" "$(ask 'GET / HTTP/1.1\r\nHost: dmz\r\n\r\n')" \
    "HTTP/1.1 404 Not Found|Content-Length: 0|Connection: close||"
is "what is no HTTP hears 400 and no more" "$(ask 'HELO you\r\n\r\n')" \
    "HTTP/1.1 400 Bad Request|Content-Length: 0|Connection: close||"

# ---------------------------------------------------------------- port 443, as a stock squid has it
stop inner TERM
stop dmz TERM
is "an ordinary user may not listen at 443" "$(as_user cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" 1024
sed -i "s/^listen = .*/listen = $DMZ_TUNNEL:443/" "$W/dmz.ini"
as_user_args=(setpriv "--reuid=$NET_USER" "--regid=$NET_GROUP" --clear-groups --no-new-privs
    --inh-caps=-all --bounding-set=-all --)
start dmz dmz python3 "$here/lib/activate.py" $DMZ_TUNNEL 443 -- "${as_user_args[@]}" \
    "${PROGRAM[dmz]}" -c "$W/dmz.ini" -f
wait_for 10 answers dmz || bail "the dmz-relay did not start with a socket that was handed over"
is "it runs as the ordinary user" "$(stat -c %U "/proc/${PID[dmz]}")" "$NET_USER"
squid "acl SSL_ports port 443
http_access deny CONNECT !SSL_ports"
inner_config
sed -i "/^name = $DMZ_NAME/a proxy = $home
s/^address = $DMZ_TUNNEL:.*/address = $DMZ_TUNNEL:443/" "$W/inner.ini"
launch inner
by "port 443" connect direct
stop dmz TERM
sed -i "s/^listen = .*/listen = $DMZ_TUNNEL:4600/" "$W/dmz.ini"
start wrong dmz python3 "$here/lib/activate.py" $DMZ_TUNNEL 443 -- "${as_user_args[@]}" \
    "${PROGRAM[dmz]}" -c "$W/dmz.ini" -f
finish_of wrong 10
check "another address than that of the ini file is an error" grep -q \
    'listens at 192.0.2.10:443, but \[tunnel\] listen is 192.0.2.10:4600; the same address in both' "$W/wrong.log"

end_capture proxy
requests() { tcpdump -n -A -r "$W/proxy.pcap" "dst host $DMZ_TUNNEL" 2>/dev/null | grep -cE "$1"; }
check "there were GETs and POSTs with tokens" test "$(requests 'GET /media-relay/[0-9a-f]{32} ')" -gt 2 \
    -a "$(requests 'POST /media-relay/[0-9a-f]{32} ')" -gt 2
is "all of it came from the proxy" "$(packets proxy 'tcp and not host 192.0.2.1')" 0
refuse "no log has the password" grep -l -e $PASSWORD -e "$(printf 'me:%s' $PASSWORD | base64)" "$W"/*.log
done_testing
