#!/bin/bash
# 1,000 simultaneous senders use the same two sockets and the same rules as one.
. "$(dirname "$0")/lib.sh"

STREAMS=1000
PACKETS=10
LOG_LEVEL=info

pair_up
rules_before=$(in_ns fwx nft -s list table inet external && in_ns fwi nft -s list table inet internal)
all_sockets() { in_ns dmz ss -Hanup | wc -l; }
sockets_before=$(all_sockets)
files() { find "/proc/${PID[$1]}/fd" | wc -l; }
files_before=$(files dmz)

key=$(new_key AES_CM_128_HMAC_SHA1_80)
arguments=(--from $CLIENT:10000 --to $DMZ_RTP:$DMZ_PORT --key "$key" --derive --ssrc 100000
    --streams $STREAMS --step 4)
in_ns inet "$NET_TOOLS/rtpsend" "${arguments[@]}" --print-keys >"$W/streams" || bail "rtpsend --print-keys"
jq -r .key "$W/streams" >>"$W/keys"
# All by one connection, as a program would: a process for each takes ten seconds.
jq -s -c --arg phone $PHONE 'to_entries[] | .key as $n | .value | {command: "sa-add", side: "external", source, suite, key,
    ssrc: [.ssrc | tonumber], to: "\($phone):\(20000 + 2 * $n)"}' "$W/streams" >"$W/requests"
perl -MIO::Socket::UNIX -e '
    my $conn = IO::Socket::UNIX->new(Peer => shift) or die "no daemon: $!";
    while (<STDIN>) {
        syswrite($conn, $_) == length or die "write: $!";
        defined(my $reply = <$conn>) or die "no reply";
        $reply =~ /"ok": ?true/ or die $reply;
    }' "$RUN/inner.sock" <"$W/requests" || bail "sa-add"
is "SAs at the inner-relay" "$(status_of inner .sas)" $STREAMS
check "SAs at the dmz-relay" wait_for 5 sas_at dmz $STREAMS

total=$((STREAMS * PACKETS + STREAMS))
receive all lan $PHONE:20000 --ports $((2 * STREAMS)) --key "$key" --derive --ssrc 100000 \
    --count $total --timeout 3
begin=$(now_ms)
send all-sent inet "${arguments[@]}" --count $PACKETS --rate 5 --rtcp-every $PACKETS --save "$W/all.sent"
finish_of all-sent 60 || bail "rtpsend: $(cat "$W/all-sent.log")"
say "sent in $(($(now_ms) - begin)) ms: $(cat "$W/all-sent.out")"
check "all packets of all senders arrive" finish_of all 20
say "received: $(field all 'del(.sources) | tojson')"
is "of as many SSRCs" "$(field all .ssrcs)" $STREAMS
is "nothing lost, twice, or wrong" \
    "$(field all '"\(.lost) \(.duplicates) \(.auth_failures)"')" "0 0 0"
check "octet for octet" same_datagrams "$W/all.sent" "$W/all.got"
is "sent to the inside from two ports" "$(field all '.sources | length')" 2
is "the dmz-relay has as many sockets as before" "$(all_sockets)" "$sockets_before"
is "the dmz-relay has as many files open as before" "$(files dmz)" "$files_before"
is "the rules are the same as before" \
    "$(in_ns fwx nft -s list table inet external && in_ns fwi nft -s list table inet internal)" "$rules_before"
is "the external firewall refused nothing" "$(fw_packets fwx refused)" 0
is "the dmz-relay accepted them all" "$(verdicts dmz)" "accepted=$total"
is "the inner-relay accepted them all" "$(verdicts inner)" "accepted=$total"

# The list comes in many pages.
ids=$(ctl_json inner sa list | jq -r '.sas[].id')
is "the list has every SA" "$(echo "$ids" | wc -l)" $STREAMS
is "and each once" "$(echo "$ids" | sort -u | wc -l)" $STREAMS
is "at the dmz-relay too" "$(ctl_json dmz sa list | jq '[.sas[].id] | unique | length')" $STREAMS
check "one call deletes them" ctl inner sa delete $ids
check "at the dmz-relay too" wait_for 5 sas_at dmz 0
for name in dmz inner; do
    is "$name: the turns of its loop are counted" \
        "$(stats_of $name '.counters | .loop_turns > 100 and .loop_longest_own_us > 0
            and .loop_longest_us >= .loop_longest_own_us')" true
done
done_testing
