#!/bin/bash
# TCP by simultaneous open between two hosts behind NAT routers that let nothing in and take connection tracking
# strictly: each from the port of its connection to a public host, which is 20 ms away and tells both where the other
# one comes from. Where the NATs keep ports it opens, and has the delay of the direct path; where they draw them at
# random it does not.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/intranets.sh"

RELAY=${DMZ_OUT[a]}
SLOW[net:to-dmz-a]="delay=20"
public_host dmz-a "$RELAY"
for c in a b c; do
    [ $c = c ] && intranet $c random || intranet $c
    lets_out $c meta l4proto tcp
done

# pairs: two at a time, it tells each where the other one comes from, once both are there.
cat >"$W/pairs.py" <<'END'
import socket
s = socket.create_server(("0.0.0.0", 7000))
print("ready", flush=True)
while True:
    two = [s.accept() for _ in range(2)]
    for (c, _), (_, a) in zip(two, reversed(two)):
        c.sendall(("%s:%d\n" % a).encode())
    kept = two
END
start pairs dmz-a python3 "$W/pairs.py"
wait_for 10 grep -q ready "$W/pairs.out" || bail "no rendezvous"

# meet A B: the two at once; what they say is in punch-A.out and punch-B.out.
meet() {
    local c
    for c; do start "punch-$c" "inner-$c" "$NET_TOOLS/puncher" --rendezvous "$RELAY:7000"; done
    for c; do finish_of "punch-$c" 20 || bail "puncher $c: $(cat "$W/punch-$c.log")"; done
}
of() { jq -r "$2" "$W/punch-$1.out"; }

meet a b
for c in a b; do
    say "nat-$c: $(cat "$W/punch-$c.out")"
    is "nat-$c keeps ports: it opens" "$(of $c .open)" true
    check "with the delay of the direct path, and not of that over the public host" \
        test "$(of $c '.rtt_ms > 0 and .rtt_ms < 30')" = true
    is "no packet was invalid" "$(invalid nat-$c)" 0
done
meet a c
for c in a c; do
    say "nat-$c: $(cat "$W/punch-$c.out")"
    is "one of them draws ports at random: it does not open" "$(of $c .open)" false
done
done_testing
