# An attacker beside the Internet's router, where he sees what comes from the clients; sourced by
# lib.sh, for the laboratories of figures.sh. See tests/tools/attacker.c.
#
# shellcheck shell=bash disable=SC2034

# His: addresses of AS112's other net (RFC 7534), and for floods those of RFC 2544.
EVIL_NET=192.175.48
FLOOD_NET=198.18

# evil: the namespace of the attacker, on a port of the router "net" of its own.
evil() {
    local network
    space evil
    cable net evil0 evil eth0
    address net evil0 100.64.66.1/30
    address evil eth0 100.64.66.2/30
    route evil default 100.64.66.1
    for network in $EVIL_NET.0/24 $FLOOD_NET.0.0/16; do
        in_ns evil ip route add local $network dev lo || bail "addresses of the attacker"
        route net $network 100.64.66.2
    done
    in_ns net nft -f - <<END || bail "rules of the router"
table ip held {
    set senders { type inet_service; flags interval; }
    chain forward {
        type filter hook forward priority 0; policy accept;
        iifname "inet0" ip saddr $WEB udp sport @senders drop
    }
}
END
}

# held PORT: what comes from this port of the client and from the next passes the attacker alone.
held() { in_ns net nft add element ip held senders "{ $1-$(($1 + 1)) }" || bail "held $1"; }

# attack NAME ADDRESS ATTACK ARGUMENT...: begins; its JSON line will be in NAME.out after "stop NAME".
attack() {
    local name=$1 address=$2 what=$3
    shift 3
    rm -f "$W/$name.ready"
    start "$name" evil "$NET_TOOLS/attacker" "$what" --own "$address" \
        --target "${DMZ_OUT[a]}:$MEDIA" --see "/run/netns/$PFX-net:inet0" \
        --ready "$W/$name.ready" "$@"
    wait_for 5 test -e "$W/$name.ready" || bail "attacker $name: $(cat "$W/$name.log")"
}
