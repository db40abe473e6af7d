#!/usr/bin/env python3
"""Sets up one call at an rtpengine: offer and answer, SDES from end to end.

usage: ngcall.py NG-HOST:PORT NAME CALLER-IP:PORT KEY CALLED-IP:PORT KEY [FLAG...]

The caller receives at its port, the called at its port. Prints two addresses: where the caller
is to send, and where the called is to send. FLAGs go into offer and answer ("strict-source").
"""
import json
import random
import re
import socket
import sys


def command(ng, body):
    """Sends a command in JSON, and gives the reply."""
    host, port = ng.rsplit(":", 1)
    cookie = "%08x" % random.getrandbits(32)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(3)
        sock.sendto((cookie + " " + json.dumps(body)).encode(), (host, int(port)))
        reply = sock.recv(65536).decode()
    if not reply.startswith(cookie + " "):
        sys.exit("ngcall: a reply to something else: " + reply)
    reply = json.loads(reply[len(cookie) + 1:])
    if reply.get("result") != "ok":
        sys.exit("ngcall: %s: %s" % (body["command"], reply))
    return reply["sdp"]


def sdp(address, key):
    ip, port = address.rsplit(":", 1)
    return "\r\n".join([
        "v=0", "o=- 1 1 IN IP4 " + ip, "s=-", "c=IN IP4 " + ip, "t=0 0",
        "m=audio %s RTP/SAVP 0" % port,
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + key, ""])


def place(text, key):
    """Where media is to be sent to; the key has to be the other end's."""
    if "inline:" + key not in text:
        sys.exit("ngcall: the key did not go through:\n" + text)
    ip = re.search(r"^c=IN IP4 (\S+)", text, re.M).group(1)
    return "%s:%s" % (ip, re.search(r"^m=audio (\d+)", text, re.M).group(1))


def main():
    if len(sys.argv) < 7:
        sys.exit(__doc__)
    ng, name, caller, caller_key, called, called_key = sys.argv[1:7]
    common = {"call-id": name, "from-tag": "a", "ICE": "remove", "flags": sys.argv[7:]}
    offered = command(ng, dict(common, command="offer", sdp=sdp(caller, caller_key)))
    answered = command(ng, dict(common, command="answer", **{"to-tag": "b"},
                                sdp=sdp(called, called_key)))
    print(place(answered, called_key), place(offered, caller_key))


main()
