# Cables that are slow, lossy or cut (tests/tools/slowlink), and what real networks have between the ends:
# NAT, connection tracking that is strict, boxes that look into TCP; sourced by lib.sh.
#
#   SLOW[fwi:in0]="delay=20 loss=1"     before topology (or company): this cable is a slow one
#   link fwi:in0 outage=1               later; prints the link's counters
#   link_count fwi:in0 .out.lost        one of them
#
# "out" is the way from the end that names the cable (the first two words of its "cable" line in
# topology.sh and figures.sh) to the other one, "back" the other way. Settings: slowlink --help.
#
# shellcheck shell=bash disable=SC2034

# SPACE:DEVICE of a cable's first end: its settings; --merge may stand first.
declare -A SLOW=()

# slow_cable SPACE DEVICE SPACE DEVICE [--merge] [SETTING...]
slow_cable() {
    local from=$1:$2 to=$3:$4 name=link-$1-$2
    shift 4
    start "$name" "${from%%:*}" "$NET_TOOLS/slowlink" --from "/run/netns/$PFX-$from" \
        --to "/run/netns/$PFX-$to" --control "$(link_socket "$from")" "$@"
    wait_for 5 link "$from" || bail "$name: $(cat "$W/$name.log")"
    in_ns "${from%%:*}" ip link set "${from#*:}" up
    in_ns "${to%%:*}" ip link set "${to#*:}" up
}
link_socket() { echo "$W/${1/:/-}.link"; }

# link SPACE:DEVICE [SETTING...]: changes it (as "outage=1", "back.loss=5"); prints its counters as JSON.
link() {
    local socket
    socket=$(link_socket "$1")
    shift
    "$NET_TOOLS/slowlink" --tell "$socket" "$@"
}
# link_count SPACE:DEVICE JQ-FILTER
link_count() { link "$1" | jq -r "$2"; }

# ---------------------------------------------------------------- routers

# strict SPACE: its connection tracking takes no segment outside of the window and begins with no
# connection in its middle, and what it calls invalid is counted and dropped, forwarded or not.
strict() {
    in_ns "$1" nft -f - <<END || bail "strict rules of $1"
table inet strict {
    counter invalid { }
    chain prerouting {
        type filter hook prerouting priority filter;
        ct state invalid counter name "invalid" drop
    }
}
END
    in_ns "$1" sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0 net.netfilter.nf_conntrack_tcp_be_liberal=0 \
        net.netfilter.nf_conntrack_checksum=1 || bail "strict tracking of $1"
}
# invalid SPACE: so many packets were.
invalid() {
    in_ns "$1" nft -j list counter inet strict invalid | jq '[.nftables[] | .counter? // empty | .packets] | add'
}

# forgets SPACE SECONDS: a connection of which nothing is seen for so long is forgotten.
forgets() {
    local state
    for state in established unacknowledged max_retrans; do
        in_ns "$1" sysctl -qw "net.netfilter.nf_conntrack_tcp_timeout_$state=$2" || bail "timeouts of $1"
    done
}

# masquerade SPACE DEVICE [random]: what leaves by that device has its address.
masquerade() {
    in_ns "$1" nft -f - <<END || bail "NAT of $1"
table ip translation {
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname "$2" masquerade ${3-}
    }
}
END
}
# tracked SPACE WORD...: the entries of its connection tracking that have all of these words, one a line.
tracked() {
    local space=$1 lines word
    shift
    lines=$(in_ns "$space" cat /proc/net/nf_conntrack)
    for word; do lines=$(grep -F -- "$word" <<<"$lines"); done
    [ -z "$lines" ] || echo "$lines"
}
