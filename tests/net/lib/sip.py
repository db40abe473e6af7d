"""sip.py FROM TO PORT: sends the SIP request on stdin by TCP and prints the first lines of its replies.

It ends with the final one, or fails after 3 s without. Lines end as they like; Content-Length is added.
"""

import socket
import sys

source, to, port = sys.argv[1:]
head, _, body = sys.stdin.read().replace("\r\n", "\n").partition("\n\n")
body = body.replace("\n", "\r\n").encode()
head = head.strip().replace("\n", "\r\n") + "\r\nContent-Length: %d\r\n\r\n" % len(body)
with socket.create_connection((to, int(port)), timeout=3, source_address=(source, 0)) as conn:
    conn.sendall(head.encode() + body)
    status = "SIP/2.0 1"
    for line in conn.makefile("r", encoding="utf-8", errors="replace", newline="\r\n"):
        if line.startswith("SIP/2.0 "):
            status = line.strip()
            print(status, flush=True)
        if line == "\r\n" and not status.startswith("SIP/2.0 1"):
            break
