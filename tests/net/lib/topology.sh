# Namespaces, cables, firewalls and captures; sourced by lib.sh.
#
# shellcheck shell=bash

# ---------------------------------------------------------------- topology

space() {
    ip netns add "$PFX-$1" || bail "namespace $1"
    SPACES+=("$1")
    # Without this a router cannot ask for a neighbour in its first second or two: its own
    # link-local address is still being checked for duplicates.
    in_ns "$1" sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.dad_transmits=0
    ip -n "$PFX-$1" link set lo up
}

# cable SPACE DEVICE SPACE DEVICE: a slow one (link.sh) if SLOW says so of its first end.
cable() {
    if [ -n "${SLOW["$1:$2"]+set}" ]; then
        # shellcheck disable=SC2086
        slow_cable "$@" ${SLOW["$1:$2"]}
        return
    fi
    ip link add "$2" netns "$PFX-$1" type veth peer name "$4" netns "$PFX-$3" || bail "veth $2-$4"
    ip -n "$PFX-$1" link set "$2" up
    ip -n "$PFX-$3" link set "$4" up
}

# address SPACE DEVICE ADDRESS/LENGTH...
address() {
    local space=$1 device=$2 a
    shift 2
    for a; do
        case $a in
        *:*) echo "address add $a dev $device nodad" ;;
        *) echo "address add $a dev $device" ;;
        esac
    done | ip -n "$PFX-$space" -batch - || bail "addresses of $device in $space"
}

topology() {
    local s
    for s in inet fwx dmz fwi inside lan; do space $s; done
    cable inet eth0 fwx inet0
    cable fwx dmz0 dmz eth0
    cable dmz eth1 fwi dmz0
    cable fwi in0 inside eth0
    cable inside lan0 lan eth0
    address inet eth0 198.51.100.10/24 198.51.100.11/24 198.51.100.66/24 \
        2001:db8:100::10/64 2001:db8:100::66/64
    address fwx inet0 198.51.100.1/24 2001:db8:100::1/64
    address fwx dmz0 203.0.113.1/24 2001:db8:2::1/64
    address dmz eth0 203.0.113.10/24 2001:db8:2::10/64
    address dmz eth1 192.0.2.10/24
    address fwi dmz0 192.0.2.1/24
    address fwi in0 10.9.0.1/24
    address inside eth0 10.9.0.10/24
    address inside lan0 10.9.1.1/24 2001:db8:9:1::1/64
    address lan eth0 10.9.1.20/24 10.9.1.21/24 2001:db8:9:1::20/64
    in_ns inet ip route add default via 198.51.100.1
    in_ns inet ip route add default via 2001:db8:100::1
    in_ns dmz ip route add default via 203.0.113.1
    in_ns dmz ip route add default via 2001:db8:2::1
    in_ns dmz ip route add 10.9.0.0/16 via 192.0.2.1
    in_ns inside ip route add default via 10.9.0.1
    in_ns fwx ip route add 192.0.2.0/24 via 203.0.113.10
    in_ns fwi ip route add 10.9.1.0/24 via 10.9.0.10
    in_ns lan ip route add default via 10.9.1.1
    in_ns lan ip route add default via 2001:db8:9:1::1
    for s in fwx fwi; do
        in_ns $s sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    done
    firewalls
}

# A second site: inside2 and lan2, behind the same internal firewall.
second_site() {
    local s
    for s in inside2 lan2; do space $s; done
    cable fwi in1 inside2 eth0
    cable inside2 lan0 lan2 eth0
    address fwi in1 10.9.128.1/24
    address inside2 eth0 10.9.128.10/24
    address inside2 lan0 10.9.129.1/24
    address lan2 eth0 10.9.129.20/24
    in_ns fwi ip route add 10.9.129.0/24 via 10.9.128.10
    in_ns inside2 ip route add default via 10.9.128.1
    in_ns lan2 ip route add default via 10.9.129.1
}

# The whole point: these rules, and no others, are all that the pair needs.
external_rules() {
    cat <<END
table inet external {
    counter rtp-in { }
    counter rtp-out { }
    counter refused { }
    chain cut { }
    chain forward {
        type filter hook forward priority 0; policy drop;
        jump cut
        iifname "inet0" ip daddr $DMZ_RTP udp dport { $DMZ_PORT, $((DMZ_PORT + 1)) } counter name "rtp-in" accept
        oifname "inet0" ip saddr $DMZ_RTP udp sport { $DMZ_PORT, $((DMZ_PORT + 1)) } counter name "rtp-out" accept
        iifname "inet0" ip6 daddr $DMZ_RTP6 udp dport { $DMZ_PORT, $((DMZ_PORT + 1)) } counter name "rtp-in" accept
        oifname "inet0" ip6 saddr $DMZ_RTP6 udp sport { $DMZ_PORT, $((DMZ_PORT + 1)) } counter name "rtp-out" accept
        counter name "refused" drop
    }
}
END
}
internal_rules() {
    cat <<END
table inet internal {
    counter tunnel-out { }
    counter tunnel-back { }
    counter refused { }
    chain cut { }
    chain forward {
        type filter hook forward priority 0; policy drop;
        jump cut
        iifname "in*" oifname "dmz0" ip daddr $DMZ_TUNNEL tcp dport $DMZ_TCP ct state new,established counter name "tunnel-out" accept
        iifname "dmz0" oifname "in*" ip saddr $DMZ_TUNNEL tcp sport $DMZ_TCP ct state established counter name "tunnel-back" accept
        counter name "refused" drop
    }
}
END
}
firewalls() {
    external_rules | in_ns fwx nft -f - || bail "rules of the external firewall"
    internal_rules | in_ns fwi nft -f - || bail "rules of the internal firewall"
}
show_rules() {
    say "external firewall:"
    in_ns fwx nft -s list table inet external | sed 's/^/#   /'
    say "internal firewall:"
    in_ns fwi nft -s list table inet internal | sed 's/^/#   /'
}
# fw_packets fwx|fwi COUNTER
fw_packets() {
    local table=external
    [ "$1" = fwi ] && table=internal
    in_ns "$1" nft -j list counter inet $table "$2" |
        jq '[.nftables[] | .counter? // empty | .packets] | add'
}
# The tunnel cut in both directions, without a reset for anyone; and whole again.
cut_tunnel() { in_ns fwi nft add rule inet internal cut drop; }
heal_tunnel() { in_ns fwi nft flush chain inet internal cut; }

# ---------------------------------------------------------------- captures

# capture NAME SPACE DEVICE [FILTER...]: NAME.pcap, running once this returns.
capture() {
    local name=$1 space=$2 device=$3
    shift 3
    start "tcpdump-$name" "$space" tcpdump -Z root -n -U --immediate-mode -i "$device" \
        -B 16384 -w "$W/$name.pcap" "$@"
    wait_for 10 grep -q 'listening on' "$W/tcpdump-$name.log" || bail "tcpdump $name did not start"
}
end_capture() {
    stop "tcpdump-$1" INT || :
}
# packets NAME [FILTER...]: how many of a capture match.
packets() {
    local name=$1
    shift
    tcpdump -n -t -r "$W/$name.pcap" "$@" 2>/dev/null | grep -c '^IP'
}
# payloads NAME [FILTER...]: the UDP payloads in hex, one a line, in the order of the capture.
payloads() {
    local name=$1
    shift
    tcpdump -n -t -x -r "$W/$name.pcap" "$@" 2>/dev/null | awk '
        function number(text,  i, n) {
            for (i = 1; i <= length(text); i++)
                n = n * 16 + index("0123456789abcdef", substr(text, i, 1)) - 1
            return n
        }
        function flush(  head) {
            if (hex == "") return
            head = substr(hex, 1, 1) == "6" ? 40 : substr(hex, 2, 1) * 4
            print substr(hex, head * 2 + 17, (number(substr(hex, head * 2 + 9, 4)) - 8) * 2)
            hex = ""
        }
        /^IP/ { flush(); next }
        { sub(/^[^:]*:/, ""); gsub(/[ \t]/, ""); hex = hex $0 }
        END { flush() }'
}
