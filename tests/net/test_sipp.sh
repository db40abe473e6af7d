#!/bin/bash
# Calls by the dozen: SIPp outside calls SIPp inside through Kamailio and the pair, 50 a second, beside
# calls that stand. None fails, no SA is left, memory stays flat. Then INVITEs that nobody answers: they
# make no SA, the proxy is told when no more fit, calls that are there go on, and new ones succeed as soon
# as the offers have timed out.
#
# SIPP_SECONDS (10): how long calls come; SIPP_STANDING (200): SAs that stand. With 10,000 of them and
# more the time that offers and answers take is judged, too. The long form, of two minutes, for a
# machine that does nothing else:
#
#   SIPP_SECONDS=60 SIPP_STANDING=10000 NET_TESTS=test_sipp.sh make check-net
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/sip.sh"

RATE=50
SIPP_SECONDS=${SIPP_SECONDS-5}
STANDING=${SIPP_STANDING-200}
CALLS=$((RATE * SIPP_SECONDS))
ROOM=300 # calls beside those that stand
MAX_SAS=$((STANDING + 2000))
P99_US=5000
GROWTH_KB=1024

# The example's ini file, with bounds that are soon reached.
mkdir -p "$W/own"
cp -r "$EXAMPLES/kamailio" "$W/own/"
ln -s "$(realpath "$EXAMPLES/../docs")" "$W/docs"
EXAMPLES=$W/own
sed -i "s/^\[signalling\]/&\nmax-calls = $((STANDING / 2 + ROOM))\noffer-timeout = 4s/" "$W/own/kamailio/inner-relay.ini"
sed -i "s/^\[limits\]/&\nmax-sas = $MAX_SAS/" "$W/own/kamailio/inner-relay.ini"

company a
sip_pair a
sipp_lab a
sipp_registers lan-a "${LAN[a]}" "${INNER[a]}:$SIP_INSIDE" 5071 silent
sipp_fields $CALLS >"$W/fields.csv"

ng() { in_ns inner-a "$NET_BUILD/tests/bench/ngbench" --outside $WEB_STRANGER --inside "${LAN[a]}" 127.0.0.1:2223 "$@"; }
# called NAME CALLS and calls NAME CALLS ARGUMENT...: who answers, and who calls.
called() { sipp "$1" lan-a callee "${LAN[a]}" "${INNER[a]}:$SIP_INSIDE" -p 5070 -m "$2" -trace_stat -timeout $((SIPP_SECONDS + 90)); }
calls() {
    local name=$1 calls=$2
    shift 2
    sipp "$name" inet caller $WEB "${DMZ_OUT[a]}:$SIP_PORT" -t t1 -r $RATE -l 1000 -m "$calls" -mp 20000 \
        -trace_stat -timeout $((SIPP_SECONDS + 90)) "$@"
}
ended() { check "$1" finish_of "$2" $((SIPP_SECONDS + 20)) || cat "$W/sipp-$2"/*errors.log | head -n 30 | sed 's/^/# /'; }
# count_of NAME COLUMN: the last one of that name in what SIPp has counted.
count_of() {
    tail -qn 1 "$W/sipp-$1"/*_.csv | cut -d ';' -f "$(head -qn 1 "$W/sipp-$1"/*_.csv | tr ';' '\n' | grep -nxF "$2" | cut -d : -f 1)"
}
# statistics FILTER: what the inner-relay says by ng.
statistics() {
    # shellcheck disable=SC2016
    in_ns inner-a timeout 2 bash -c 'exec 3<>/dev/udp/127.0.0.1/2223
        printf "s%s {\"command\":\"statistics\"}" "$EPOCHREALTIME" >&3
        dd bs=65536 count=1 <&3 2>/dev/null' | sed 's/^[^ ]* //' | jq ".statistics | $1"
}
sessions() { statistics .currentstatistics.sessionsown; }
kilobytes() { awk '/^VmRSS/ {print $2}' "/proc/${PID[$1]}/status"; }

# took COMMAND: of its requests in the capture, which may lack some: "NUMBER MEDIAN P99 MAX", in
# microseconds. Kamailio waits for the reply before it asks again from the same port.
took() {
    awk -v "command=7:command${#1}:$1" '
        / IP / { to = $5; sub(/:$/, "", to); now = $1; from = $3; if (to ~ /\.2223$/) delete sent[from] }
        index($0, command) && to ~ /\.2223$/ { sent[from] = now }
        from ~ /\.2223$/ && to in sent { printf "%d\n", (now - sent[to]) * 1e6; delete sent[to] }' "$W/ng.txt" |
        sort -n | awk '{ us[NR] = $1 } END { print NR, us[int((NR + 1) / 2)], us[int(NR * 0.99 + 0.5)], us[NR] }'
}

ng fill 100000 $((STANDING / 2)) || bail "the calls that stand are refused"
check "$STANDING SAs on both relays" wait_for 20 sas a $STANDING

# What grows to a bound reaches it before memory is looked at: 8,192 replies that are kept for 10 s, and
# labels of ended SAs, no more than a power of two above max-sas, that rest for a minute.
ng pass 0 $((MAX_SAS > 3000 ? MAX_SAS : 3000)) 2000 || bail "calls that come and go are refused"
before_dmz=$(kilobytes dmz-a) before_inner=$(kilobytes inner-a)
ng pass 0 2000 2000 || bail "calls that come and go are refused"
for d in dmz inner; do
    was=before_$d
    check "$d-a: 2,000 calls by ng leave less than 128 octets each" test $(($(kilobytes $d-a) - ${!was})) -lt 250
done
called uas $((RATE * 2))
calls uac $((RATE * 2)) -d 100
ended "the first calls succeed" uac
stop uas KILL
before_dmz=$(kilobytes dmz-a) before_inner=$(kilobytes inner-a)
rm -f "$W"/sipp-ua?/*.csv

asked_before=$(statistics .requests)
capture ng inner-a lo "udp port 2223"
called uas $CALLS
calls uac $CALLS
check "SAs come" wait_for 10 at_least $((STANDING + RATE)) status_of inner-a .sas
ended "$CALLS calls, $RATE a second: none fails" uac
check "no SA is left after a second" within 1 sas a $STANDING
ended "none fails at the callee" uas
end_capture ng
asked_then=$(statistics .requests)
now_dmz=$(kilobytes dmz-a) now_inner=$(kilobytes inner-a)
for d in dmz inner; do
    was=before_$d now=now_$d
    say "memory of $d-a: ${!was} kB, then ${!now} kB"
    check "$d-a: the calls made it grow by less than $GROWTH_KB kB" test $((${!now} - ${!was})) -lt $GROWTH_KB
done
is "as many have succeeded" "$(count_of uac 'SuccessfulCall(C)')" $CALLS
say "sent again: $(count_of uac 'Retransmissions(C)') requests, $(count_of uas 'Retransmissions(C)') replies"
tcpdump -tt -n -A -r "$W/ng.pcap" >"$W/ng.txt" 2>"$W/tcpdump.log"
is "every answer of ng was ok" "$(stats_of inner-a .counters.ng_errors)" 0
for command in offer answer delete; do
    check "$command of each call was asked for" \
        test $(($(jq ".$command" <<<"$asked_then") - $(jq ".$command" <<<"$asked_before"))) -ge $CALLS
    read -r requests median p99 most <<<"$(took $command)"
    say "$command: $requests, the reply took $median us (median), $p99 us (p99), $most us (longest)"
    [ $STANDING -ge 10000 ] || continue
    check "the capture has nine in ten of them" test "$requests" -ge $((CALLS * 9 / 10))
    check "p99 of $command is below $P99_US us" test "$p99" -lt $P99_US
done

# INVITEs that nobody answers
TALKING=20 FLOOD=500
called uas $TALKING
calls uac $TALKING -d 4000
check "$TALKING calls talk" wait_for 5 sas a $((STANDING + 2 * TALKING))
before=$(stats_of inner-a .counters.ng_load_limit)
sipp silent lan-a callee-silent "${LAN[a]}" "${INNER[a]}:$SIP_INSIDE" -p 5071
sipp flood inet silent-caller $WEB "${DMZ_OUT[a]}:$SIP_PORT" -s silent -t t1 -r 250 -l 2000 -m $FLOOD -mp 30000
most=0
while ! gone "${PID[flood]}"; do
    now=$(status_of inner-a .sas)
    [ "$now" -le $most ] || most=$now
    read -rt 0.2 -u "$NEVER" _ || :
done
check "each INVITE rings or is refused with 503" finish_of flood 1
is "$FLOOD INVITEs without an answer: no SA more at any time" $most $((STANDING + 2 * TALKING))
refused=$(($(stats_of inner-a .counters.ng_load_limit) - before))
check "those that did not fit were refused as load limit" test $refused -ge 100 -a $refused -le $((FLOOD - ROOM + TALKING))
ended "the calls that were there end as usual" uac
stop uas KILL
check "and leave no SA" wait_for 1 sas a $STANDING
check "the offers time out" wait_for 15 equals $((STANDING / 2)) sessions
called uas 5
calls uac 5 -d 100
ended "then calls succeed again" uac
stop uas KILL
after=$(kilobytes inner-a)
check "the flood made the inner-relay grow by less than $GROWTH_KB kB" test $((after - now_inner)) -lt $GROWTH_KB
done_testing
