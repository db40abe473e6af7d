#!/bin/bash
# What the inner-relay has of the keys of SIP calls in its memory: those of living calls, so that the search
# is seen to work, and 15 s after the calls have ended none. It searches for the keys, and for the base64
# that they had in the SDP of requests, in replies that are kept for repeats, and in what became of both.
. "$(dirname "$0")/lib.sh"

CALLS=300 # three replies each: more than are forgotten at once
LARGE=7   # each so manieth has SDP of 10 KB

topology
certificates "$DMZ_NAME=dmz" "$SITE_A=inner"
dmz_config
INNER_EXTRA="[signalling]
ng = udp:127.0.0.1:2223, unix:$RUN/ng.sock"
LOG_LEVEL=info inner_config
grep -q __asan <"$NET_SBIN/inner-relay" && {
    ok "# SKIP AddressSanitizer's memory cannot be searched"
    done_testing
}
launch dmz
launch inner
wait_for 10 tunnel_up inner || bail "the tunnel did not come up"

cat >"$W/calls.py" <<'END'
"""calls.py COUNT LARGE CLIENT PHONE SOCKET: calls by bencode and JSON, over UDP and a Unix socket. Prints
"NAME HEX" for each key, as it is and in base64, waits for a line on stdin, and ends the calls."""

import base64
import json
import os
import socket
import sys

count, large, client, phone, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.connect(("127.0.0.1", 2223))
udp.settimeout(5)


def bencode(value):
    if isinstance(value, dict):
        return b"d" + b"".join(bencode(k) + bencode(v) for k, v in sorted(value.items())) + b"e"
    if isinstance(value, list):
        return b"l" + b"".join(bencode(v) for v in value) + b"e"
    value = value.encode()
    return b"%d:%s" % (len(value), value)


def ask(number, **request):
    request = {key.replace("_", "-"): value for key, value in request.items()}
    body = json.dumps(request).encode() if number % 2 else bencode(request)
    if number % 3:
        udp.send(b"%s %s" % (os.urandom(4).hex().encode(), body))
        reply = udp.recv(65536)
    else:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as conn:
            conn.settimeout(5)
            conn.connect(path)
            conn.sendall(body)
            reply = conn.makefile("rb").read()
    if b"6:result5:error" in reply or b'"result":"error"' in reply:
        sys.exit("%s: %r" % (request["command"], reply))


def sdp(number, name, address, port):
    key = os.urandom(30)
    text = base64.b64encode(key)
    print("%s-%d.key" % (name, number), key[:16].hex())
    print("%s-%d.base64" % (name, number), text.hex())
    lines = ["v=0", "o=- 1 1 IN IP4 " + address, "s=-", "c=IN IP4 " + address, "t=0 0", "m=audio %d RTP/SAVP 0" % port]
    lines += ["a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + text.decode()]
    lines += ["a=x:" + "x" * 996] * (10 if number % large == 0 else 0)
    return "\r\n".join(lines + [""])


for n in range(count):
    call, ways = {"call_id": "c%d" % n, "from_tag": "f"}, ["external", "internal"]
    ask(n, command="offer", sdp=sdp(n, "offer", client, 10000 + 2 * n), direction=ways, **call)
    ask(n, command="answer", sdp=sdp(n, "answer", phone, 20000 + 2 * n), to_tag="t", direction=ways[::-1], **call)
print("all", flush=True)
sys.stdin.readline()
for n in range(count):
    ask(n, command="delete", call_id="c%d" % n, from_tag="f", to_tag="t")
END
mkfifo "$W/go"
INPUT=$W/go
start calls inside python3 "$W/calls.py" $CALLS $LARGE "$CLIENT" "$PHONE" "$RUN/ng.sock" &&
    exec {go}>"$W/go"
INPUT=/dev/null
check "$CALLS calls" wait_for 20 grep -q '^all' "$W/calls.out" || sed 's/^/# /' "$W/calls.log"
is "have two SAs each" "$(status_of inner .sas)" $((2 * CALLS))
grep -v '^all' "$W/calls.out" >"$W/needles"

# The process stands still meanwhile, as in test_memory.sh.
search() {
    local pid=${PID[inner]} status=0
    kill -STOP "$pid"
    "$NET_TOOLS/memsearch" "$pid" <"$W/needles" >"$W/found" 2>&1 || status=$?
    kill -CONT "$pid"
    [ $status -lt 2 ] || bail "memsearch: $(cat "$W/found")"
    read -r FOUND _ TOTAL _ < <(tail -n 1 "$W/found")
}
has_none() { search && [ "$FOUND" = 0 ]; }
search
check "their keys are in memory, and in kept SDP: $FOUND of $TOTAL" test "$FOUND" -ge $((3 * CALLS))
echo >&$go
check "the calls end" finish_of calls 20
is "no SA is left" "$(status_of inner .sas)" 0
check "after 15 s there is nothing of their keys" wait_for 15 has_none || sed -n '1,10s/^/#   /p;$s/^/# /p' "$W/found"
done_testing
