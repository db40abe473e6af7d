# The laboratories of the figures: companies with a DMZ between two firewalls, the Internet between
# them, and the ini files of examples/ as they stand; sourced by lib.sh.
#
#   inet ---+--- net ---+--- fwx-a ---- dmz-a ---- fwi-a ---- sw-a ---+--- inner-a
#   clients |  router   |   external    host of   internal   switch   |    host of the inner-relay
#           |           |   firewall    the DMZ   firewall            +--- lan-a
#   home -- nat         +--- fwx-b ...                                     clients
#   phones
#                  company a         company b         company c
#   DMZ, outside   203.0.113.0/24    198.51.100.0/24   192.0.2.0/24     dmz-X: .10
#   DMZ, inside    172.16.1.0/24     172.16.2.0/24     172.16.3.0/24    dmz-X: .10
#   corporate      10.1.0.0/16       10.2.0.0/16       10.3.0.0/16      inner-X: .0.10, lan-X: .1.N
#
# Clients on the Internet have addresses that count as public but are nobody's: those of AMT
# (RFC 7450), 192.52.193.0/24. The phones' NAT has one of AS112 (RFC 7535), 192.31.196.0/24.
#
# shellcheck shell=bash disable=SC2034

EXAMPLES=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../../examples" && pwd)

WEB=192.52.193.10       # a client on the Internet
WEB_OTHER=192.52.193.11 # another host of the same net
WEB_STRANGER=192.52.193.66
NAT_ADDRESS=192.31.196.20
MEDIA=5004 # the ports of all examples
TUNNEL=7000

declare -A DMZ_OUT=([a]=203.0.113.10 [b]=198.51.100.10 [c]=192.0.2.10)
declare -A DMZ_IN=([a]=172.16.1.10 [b]=172.16.2.10 [c]=172.16.3.10)
declare -A INNER=([a]=10.1.0.10 [b]=10.2.0.10 [c]=10.3.0.10)
declare -A LAN=([a]=10.1.1.1 [b]=10.2.1.1 [c]=10.3.1.1) # the first client
declare -A DOMAIN=([a]=example.com [b]=example.net [c]=example.org)
declare -A COMPANY_NUMBER=([a]=1 [b]=2 [c]=3)
declare -A CA_OF=() # company whose CA another one uses
COMPANIES=()

# ---------------------------------------------------------------- networks

router() { in_ns "$1" sysctl -qw net.ipv4.ip_forward=1; }
route() { ip -n "$PFX-$1" route add "$2" via "$3" || bail "route of $1 to $2"; }

internet() {
    space net
    space inet
    cable net inet0 inet eth0
    address net inet0 192.52.193.1/24
    address inet eth0 $WEB/24 $WEB_OTHER/24 $WEB_STRANGER/24
    route inet default 192.52.193.1
    router net
}

# company LETTER...: each with all of its networks, and firewalls that let nothing through yet.
company() {
    local c n
    [ ${#COMPANIES[@]} -gt 0 ] || internet
    for c; do
        n=${COMPANY_NUMBER[$c]}
        company_cables "$c"
        company_addresses "$c" "$n" "${DMZ_OUT[$c]%.*}" "172.16.$n" "10.$n"
        router "fwx-$c"
        router "fwi-$c"
        COMPANIES+=("$c")
        firewall "fwx-$c" </dev/null
        firewall "fwi-$c" </dev/null
    done
}
company_cables() {
    local c=$1 s
    for s in fwx dmz fwi sw inner lan; do space "$s-$c"; done
    cable net "to-$c" "fwx-$c" internet
    cable "fwx-$c" dmz "dmz-$c" eth0
    cable "dmz-$c" eth1 "fwi-$c" dmz
    cable "fwi-$c" inside "sw-$c" fwi
    cable "sw-$c" inner "inner-$c" eth0
    cable "sw-$c" lan "lan-$c" eth0
    in_ns "sw-$c" ip link add switch type bridge || bail "switch of company $c"
    for s in fwi inner lan; do in_ns "sw-$c" ip link set "$s" master switch; done
    in_ns "sw-$c" ip link set switch up
}
company_addresses() {
    local c=$1 n=$2 public=$3 dmz=$4 corporate=$5 i clients=()
    address net "to-$c" "100.64.$n.1/30"
    address "fwx-$c" internet "100.64.$n.2/30"
    address "fwx-$c" dmz "$public.1/24"
    address "dmz-$c" eth0 "$public.10/24"
    address "dmz-$c" eth1 "$dmz.10/24"
    address "fwi-$c" dmz "$dmz.1/24"
    address "fwi-$c" inside "$corporate.0.1/16"
    address "inner-$c" eth0 "$corporate.0.10/16"
    for i in {1..50}; do clients+=("$corporate.1.$i/16"); done
    address "lan-$c" eth0 "${clients[@]}"
    route net "$public.0/24" "100.64.$n.2"
    route "fwx-$c" default "100.64.$n.1"
    route "dmz-$c" default "$public.1"
    route "dmz-$c" "$corporate.0.0/16" "$dmz.1"
    route "fwi-$c" default "$dmz.10"
    route "inner-$c" default "$corporate.0.1"
    route "lan-$c" default "$corporate.0.1"
}

# dmz_host COMPANY NAME NUMBER: a host more in the DMZ, in both of its networks: NAME-COMPANY, .NUMBER.
dmz_host() {
    local c=$1 host=$2-$1 n=${COMPANY_NUMBER[$1]} public dmz
    public=${DMZ_OUT[$1]%.*} dmz=${DMZ_IN[$1]%.*}
    space "$host"
    switched "fwx-$c" dmz "$public.1/24" "$host" eth0
    switched "fwi-$c" dmz "$dmz.1/24" "$host" eth1
    address "$host" eth0 "$public.$3/24"
    address "$host" eth1 "$dmz.$3/24"
    route "$host" default "$public.1"
    route "$host" "10.$n.0.0/16" "$dmz.1"
}
# switched SPACE DEVICE ADDRESS HOST HOST-DEVICE: the device becomes a switch of that name and address, its
# cable one port of it, and the host another one.
switched() {
    local port
    # Where the kernel has the firewall look at what a switch passes, too: not this one.
    in_ns "$1" sysctl -eqw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0
    in_ns "$1" ip addr flush dev "$2"
    in_ns "$1" ip link set "$2" down
    in_ns "$1" ip link set "$2" name "$2-cable" || bail "cable of $1"
    in_ns "$1" ip link add "$2" type bridge || bail "switch in $1"
    cable "$1" "$2-more" "$4" "$5"
    for port in cable more; do in_ns "$1" ip link set "$2-$port" master "$2" up; done
    in_ns "$1" ip link set "$2" up
    address "$1" "$2" "$3"
}

# home [OPTION]: 50 phones, 192.168.1.1 to .50, behind one NAT address; OPTION is one of
# "masquerade", as random: it takes other ports than the phones'.
home() {
    local i phones=()
    space nat
    space home
    cable net nat0 nat eth0
    cable nat home0 home eth0
    address net nat0 192.31.196.1/24
    address nat eth0 $NAT_ADDRESS/24
    address nat home0 192.168.1.254/24
    for i in {1..50}; do phones+=("192.168.1.$i/24"); done
    address home eth0 "${phones[@]}"
    route nat default 192.31.196.1
    route home default 192.168.1.254
    router nat
    in_ns nat nft -f - <<END || bail "rules of the NAT router"
table ip home {
    chain forward {
        type filter hook forward priority 0; policy drop;
        iifname "home0" oifname "eth0" accept
        ct state established accept
    }
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname "eth0" masquerade ${1-}
    }
}
END
}

# ---------------------------------------------------------------- firewalls

# firewall SPACE <RULES: what it lets through, instead of what it did; the rest is counted and
# dropped, and so are, apart from the rest, the answers of hosts whose receiver has ended. Rules may
# use the counters "in" and "out".
firewall() {
    {
        cat <<END
table inet firewall
delete table inet firewall
table inet firewall {
    counter in { }
    counter out { }
    counter unreachable { }
    counter refused { }
    chain cut { }
    chain forward {
        type filter hook forward priority 0; policy drop;
        jump cut
END
        cat
        echo '        icmp type destination-unreachable counter name "unreachable" drop'
        echo '        counter name "refused" drop'
        echo '    }'
        echo '}'
    } >"$W/$1.nft"
    in_ns "$1" nft -f "$W/$1.nft" || bail "rules of $1"
}

# Rules for firewalls, each printed for one company.
# rules_anybody COMPANY: anybody on the Internet with the two UDP ports.
rules_anybody() {
    local dmz=${DMZ_OUT[$1]} ports="{ $MEDIA, $((MEDIA + 1)) }"
    cat <<END
        iifname "internet" oifname "dmz" ip daddr $dmz udp dport $ports counter name "in" accept
        iifname "dmz" oifname "internet" ip saddr $dmz udp sport $ports counter name "out" accept
END
}
# rules_peer COMPANY COMPANY: only the other company's dmz-relay with the two UDP ports.
rules_peer() {
    local dmz=${DMZ_OUT[$1]} peer=${DMZ_OUT[$2]} ports="{ $MEDIA, $((MEDIA + 1)) }"
    cat <<END
        iifname "internet" oifname "dmz" ip saddr $peer ip daddr $dmz udp sport $ports udp dport $ports counter name "in" accept
        iifname "dmz" oifname "internet" ip saddr $dmz ip daddr $peer udp sport $ports udp dport $ports counter name "out" accept
END
}
# rules_tunnel COMPANY: the inner-relay opens one TCP port of the DMZ.
rules_tunnel() {
    local dmz=${DMZ_IN[$1]} inner=${INNER[$1]}
    cat <<END
        iifname "inside" oifname "dmz" ip saddr $inner ip daddr $dmz tcp dport $TUNNEL ct state new,established counter name "out" accept
        iifname "dmz" oifname "inside" ip saddr $dmz ip daddr $inner tcp sport $TUNNEL ct state established counter name "in" accept
END
}
show_firewalls() {
    local c
    for c in "${COMPANIES[@]}"; do
        say "external firewall of company $c:"
        in_ns "fwx-$c" nft -s list table inet firewall | sed 's/^/#   /'
        say "internal firewall of company $c:"
        in_ns "fwi-$c" nft -s list table inet firewall | sed 's/^/#   /'
    done
}
# fw_count SPACE COUNTER: packets.
fw_count() {
    in_ns "$1" nft -j list counter inet firewall "$2" |
        jq '[.nftables[] | .counter? // empty | .packets] | add'
}
nothing_refused() {
    local c s
    for c in "${COMPANIES[@]}"; do
        for s in fwx fwi; do
            is "$s-$c refused nothing" "$(fw_count "$s-$c" refused)" 0
        done
    done
}

# ---------------------------------------------------------------- what captures must show

# Neighbours and multicast groups of a link are no traffic between networks; and a host whose receiver
# has ended says so.
QUIET="not arp and not icmp6 and not igmp and not dst net ff02::/16 and not icmp[icmptype] == icmp-unreach"
SYN='tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn'
# one_tunnel CAPTURE COMPANY: of the internal firewall: one TCP connection, opened from the inside.
one_tunnel() {
    local dmz=${DMZ_IN[$2]} inner=${INNER[$2]}
    is "internal firewall of $2: one TCP connection" "$(packets "$1" "$SYN")" "$(connections_of 1)"
    is "internal firewall of $2: opened from the inside" "$(packets "$1" "$SYN and src host $inner")" \
        "$(connections_of 1)"
    is "internal firewall of $2: nothing else" \
        "$(packets "$1" "$QUIET and not (tcp port $TUNNEL and host $inner and host $dmz)")" 0
}
# two_ports CAPTURE COMPANY: of the external firewall: UDP with the two ports, and both were used.
two_ports() {
    local dmz=${DMZ_OUT[$2]} port ours
    ours="udp and ((dst host $dmz and dst portrange $MEDIA-$((MEDIA + 1)))"
    ours+=" or (src host $dmz and src portrange $MEDIA-$((MEDIA + 1))))"
    is "external firewall of $2: nothing but the two UDP ports" "$(packets "$1" "$QUIET and not ($ours)")" 0
    for port in $MEDIA $((MEDIA + 1)); do
        check "external firewall of $2: UDP $port in" \
            test "$(packets "$1" "udp and dst host $dmz and dst port $port")" -gt 0
        check "external firewall of $2: UDP $port out" \
            test "$(packets "$1" "udp and src host $dmz and src port $port")" -gt 0
    done
}

# ---------------------------------------------------------------- daemons on hosts

# A host is a namespace that has files of its own (lib/host): /etc/media-relay and /run.
host_files() {
    local folder=$W/hosts/$1 f links=()
    [ ! -d "$folder" ] || return 0
    mkdir -p "$folder"/{etc/media-relay/certs,etc.real,run/media-relay}
    for f in /etc/*; do
        [ "$f" = /etc/media-relay ] || links+=("$folder/etc.real/${f#/etc/}")
    done
    ln -s -t "$folder/etc" -- "${links[@]}"
    chown -R "$NET_USER:$NET_GROUP" "$folder/etc/media-relay" "$folder/run/media-relay"
}

# certificate COMPANY NAME ROLE HOST: of the company's CA, issued once in a run, put on that host.
certificate() {
    local ca to=$W/hosts/$4/etc/media-relay/certs
    made_once "ca-$1" make_certificates
    ca=$MADE
    made_once "ca-$1-has-$2" issue_certificate "$ca" "$2" "$3"
    install -o "$NET_USER" -g "$NET_GROUP" -m 400 "$ca/ca.crt" "$ca/$2.crt" "$ca/$2.key" "$to/"
}

# "media-relay-certs" minds that nobody else works in that folder.
issue_certificate() {
    (flock 8 && "$NET_CERTS" --dir "$2" issue "$3" --role "$4") 8>"$2.issues" && : >"$1"
}

# put_example FIGURE ROLE HOST: examples/figFIGURE/ROLE.ini (or examples/FIGURE/) and its certificate, of
# the CA of the host's company (or of CA_OF of it), on that host.
# ROLE is the name of the file, as dmz-relay or inner-relay-b.
put_example() {
    local file=$EXAMPLES/fig$1/$2.ini program role=inner name
    [ -e "$file" ] || file=$EXAMPLES/$1/$2.ini
    program=$(grep -oE '^(dmz|inner)-relay' <<<"$2") || bail "no daemon is called $2"
    [ "$program" = inner-relay ] || role=dmz
    host_files "$3"
    name=$(sed -n 's,^certificate = /etc/media-relay/certs/\(.*\)\.crt$,\1,p' "$file")
    certificate "${CA_OF[${3##*-}]-${3##*-}}" "$name" $role "$3"
    install -m 644 "$file" "$W/hosts/$3/etc/media-relay/$program.ini" || bail "no $file"
    set_workers "$W/hosts/$3/etc/media-relay/$program.ini" "$program"
    set_carrier "$W/hosts/$3/etc/media-relay/$program.ini" "$program"
    set_patience "$W/hosts/$3/etc/media-relay/$program.ini"
}

# launch_example FIGURE ROLE [HOST]: starts the daemon of that example on its host and waits until it
# answers. It is then known by a short name for ctl and others: dmz, inner, dmz-b, inner-b.
launch_example() {
    local program company=a name host
    program=${2%-relay*}-relay
    name=${2/-relay/}
    [ "$2" = "$program" ] || company=${2##*-}
    host=${3:-${program%-relay}-$company}
    put_example "$1" "$2" "$host"
    launch_host "$name" "$host" "$program"
}

# launch_host NAME HOST PROGRAM: the same with the ini file that is on the host.
launch_host() {
    local name=$1 host=$2 program=$3
    PROGRAM[$name]=$NET_SBIN/$program
    SPACE_OF[$name]=$host
    # As a link: the name of a socket may not be long.
    ln -sfn "$W/hosts/$host/run/media-relay/$program.sock" "$RUN/$name.sock"
    start "$name" "$host" "$lib/host" "$W/hosts/$host" setpriv "--reuid=$NET_USER" \
        "--regid=$NET_GROUP" --clear-groups --no-new-privs "${NET_CAPS[@]}" -- \
        "${PROGRAM[$name]}" -f -v -c "/etc/media-relay/$program.ini"
    wait_for 10 up_or_gone "$name"
    answers "$name" || bail "$name did not start"
}

# tunnels_up NAME...: waits for the tunnels of these daemons.
tunnels_up() {
    local name
    for name; do
        wait_for 10 tunnel_up "$name" || bail "the tunnel of $name did not come up"
    done
}
