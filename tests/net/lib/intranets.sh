# Networks without a DMZ, in which nobody may open a connection inwards: intranets behind a NAT router that
# is a strict stateful firewall, and hosts with a public address. Sourced by the tests that have them, behind
# lib.sh; the Internet and its clients are those of lib/figures.sh.
#
#   inet ---+--- net ---+--- nat-a -------- sw-a ---+--- inner-a   host of the inner-relay, 10.1.0.10
#   clients |  router   |    192.0.2.20     switch  +--- lan-a     clients, 10.1.1.N
#   home -- nat         |    strict                 |
#   phones              +--- nat-b -------- sw-b ---+ ...
#                       |    192.0.2.36
#                       +--- dmz-a     a public host, as that of the dmz-relay
#
# shellcheck shell=bash disable=SC2034

declare -A NAT_OUT=([a]=192.0.2.20 [b]=192.0.2.36 [c]=192.0.2.52)

# public_host NAME ADDRESS: a host on the Internet with an address of its own, the .10 of a net.
public_host() {
    [ ${#SPACES[@]} -gt 0 ] || internet
    space "$1"
    cable net "to-$1" "$1" eth0
    address net "to-$1" "${2%.*}.1/24"
    address "$1" eth0 "$2/24"
    route "$1" default "${2%.*}.1"
}

# intranet LETTER [OPTION]: with the addresses of company LETTER inside; OPTION is one of "masquerade", as
# random. The router lets nothing through yet.
intranet() {
    local c=$1 n=${COMPANY_NUMBER[$1]} s i clients=()
    [ ${#SPACES[@]} -gt 0 ] || internet
    for s in nat sw inner lan; do space "$s-$c"; done
    cable net "to-$c" "nat-$c" internet
    cable "nat-$c" inside "sw-$c" nat
    in_ns "sw-$c" ip link add switch type bridge || bail "switch of intranet $c"
    for s in inner lan; do cable "sw-$c" "$s" "$s-$c" eth0; done
    for s in nat inner lan; do in_ns "sw-$c" ip link set "$s" master switch; done
    in_ns "sw-$c" ip link set switch up
    for i in {1..50}; do clients+=("10.$n.1.$i/16"); done
    address net "to-$c" "192.0.2.$((16 * n + 1))/28"
    address "nat-$c" internet "${NAT_OUT[$c]}/28"
    address "nat-$c" inside "10.$n.0.1/16"
    address "inner-$c" eth0 "10.$n.0.10/16"
    address "lan-$c" eth0 "${clients[@]}"
    route "nat-$c" default "192.0.2.$((16 * n + 1))"
    for s in inner lan; do route "$s-$c" default "10.$n.0.1"; done
    nat_router "$c" "${2-}"
}

# The rules of its firewall. NAT and tracking are those of link.sh.
nat_router() {
    router "nat-$1"
    strict "nat-$1"
    masquerade "nat-$1" internet "$2"
    in_ns "nat-$1" nft -f - <<END || bail "rules of nat-$1"
table inet firewall {
    counter opened { }
    counter inward { }
    counter refused { }
    chain out { }
    chain came {
        type filter hook prerouting priority filter;
        iifname "internet" meta nfproto ipv4 ct state new,untracked counter name "inward" drop
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established accept
        iifname "inside" oifname "internet" ct state new jump out
        counter name "refused" drop
    }
    chain own {
        type filter hook input priority filter; policy drop;
        meta nfproto ipv4 counter name "refused" drop
    }
}
END
}
# lets_out LETTER RULE...: what hosts inside may open, as a rule of nftables without its verdict.
lets_out() {
    local c=$1
    shift
    in_ns "nat-$c" nft add rule inet firewall out "$* counter name opened accept" || bail "rule of nat-$c"
}

# host_firewall NAME <RULES: the firewall of a public host itself: RULES are its chains "let-in" and "let-out".
# Answers to what these let through pass, and what the host sends to itself.
host_firewall() {
    local chain
    strict "$1"
    {
        echo 'table inet firewall {'
        cat
        for chain in in out; do
            cat <<END
    chain ${chain}put {
        type filter hook ${chain}put priority 0; policy drop;
        ${chain:0:1}ifname "lo" accept
        meta nfproto ipv6 drop
        ct state established accept
        jump let-$chain
        counter name "refused" drop
    }
END
        done
        echo '    counter refused { }'
        echo '}'
    } >"$W/$1.nft"
    in_ns "$1" nft -f "$W/$1.nft" || bail "rules of $1"
}
show_rules_of() {
    local s
    for s; do
        say "rules of $s:"
        in_ns "$s" nft -s list table inet firewall | sed 's/^/#   /'
    done
}

# ---------------------------------------------------------------- what must be so

# text_needles: lines of standard input in the form of memsearch.
text_needles() {
    local text
    while IFS= read -r text; do echo "text.${#text} $(printf %s "$text" | od -An -v -tx1 | tr -d ' \n')"; done
}
# found DAEMON: how many of the lines in $W/needles (NAME HEX) its memory has; it stands still meanwhile.
found() {
    local status=0
    kill -STOP "${PID[$1]}"
    "$NET_TOOLS/memsearch" "${PID[$1]}" <"$W/needles" >"$W/found" 2>&1 || status=$?
    kill -CONT "${PID[$1]}"
    [ $status -lt 2 ] || bail "memsearch: $(cat "$W/found")"
    tail -n 1 "$W/found" | cut -d ' ' -f 1
}

# connections SPACE: what conntrack keeps there of IPv4: protocol, source, destination and port as the first packet
# had them, and the port that answers come to.
connections() {
    in_ns "$1" awk '$1 == "ipv4" {
        delete v
        for (i = 1; i <= NF; i++)
            if (split($i, a, "=") == 2) v[a[1] (a[1] in v ? 2 : "")] = a[2]
        print $3, v["src"], v["dst"], v["dport"], v["dport2"]
    }' /proc/net/nf_conntrack
}

# only_outward LETTER ADDRESS PORT: nothing came to that NAT router but the answers to one tunnel, which the
# inner-relay opened: conntrack and the counters say so.
only_outward() {
    local c=$1 count
    count=$(connections_of 1)
    is "nat-$c: one tunnel was opened" "$(fw_count "nat-$c" opened)" "$count"
    is "nat-$c: and is all that conntrack has" "$(connections "nat-$c" | cut -d ' ' -f 1-4 | sort | uniq -c | xargs)" \
        "$count tcp ${INNER[$c]} $2 $3"
    is "nat-$c: nothing was opened inwards" "$(fw_count "nat-$c" inward)" 0
    is "nat-$c: no packet was invalid" "$(invalid "nat-$c")" 0
    is "nat-$c: nothing was refused" "$(fw_count "nat-$c" refused)" 0
}
