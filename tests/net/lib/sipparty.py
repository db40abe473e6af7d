"""A SIP party that does what it is told, a line of stdin at a time.

sipparty.py udp ADDRESS PORT              talks to where its call comes from
sipparty.py tcp ADDRESS PORT PROXY PORT   connects to the proxy; the first PORT is what it calls its own

invite FILE [URI]        sends an INVITE with that SDP: of a call to sip:URI, or in the call that there is
answer FILE              200, with that SDP, to the INVITE that came last
refuse STATUS REASON     another reply to it
bye

It prints what comes, once: "INVITE", "ACK", "491 INVITE"; 100 Trying not. ACK, and the 200 to a BYE, it
sends by itself.
"""

import select
import socket
import sys

REPEATED = ("via", "record-route", "from", "to", "call-id", "cseq")


def parse(octets):
    """The first line, a list of headers, and what is behind the message; None while it is not whole."""
    head, end, rest = octets.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").strip().split("\r\n")
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
    length = int((values(headers, "content-length") or ["0"])[0])
    return (lines[0], headers, rest[length:]) if end and len(rest) >= length else None


def values(headers, name):
    return [value for key, value in headers if key == name]


class Party:
    def __init__(self, kind, address, port, *proxy):
        self.kind, self.me, self.peer = kind, "%s:%s" % (address, port), None
        if kind == "udp":
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.sock.bind((address, int(port)))
        else:
            self.sock = socket.create_connection((proxy[0], int(proxy[1])), 5, (address, 0))
        self.buffer = b""
        self.contact = ("contact", "<sip:party@%s;transport=%s>" % (self.me, kind))
        self.call_id, self.local, self.remote = "call-of-" + self.me, "<sip:party@example.org>;tag=" + port, None
        self.target, self.routes = None, []
        self.sent = 0  # the CSeq of the last request
        self.invites = {}  # CSeq of an INVITE of ours: its branch, target, and To
        self.came = None  # the INVITE that came last
        self.seen = set()

    def put(self, first, headers, body=b""):
        lines = [first] + ["%s: %s" % header for header in headers] + ["content-length: %d" % len(body), "", ""]
        octets = "\r\n".join(lines).encode("latin-1") + body
        if self.kind == "udp":
            self.sock.sendto(octets, self.peer)
        else:
            self.sock.sendall(octets)

    def request(self, method, cseq, body=b"", branch=None):
        branch = branch or "z9hG4bK%s%s%d" % (self.me.replace(":", "x"), method, cseq)
        headers = [("via", "SIP/2.0/%s %s;branch=%s;rport" % (self.kind.upper(), self.me, branch)), ("max-forwards", "70")]
        headers += [("from", self.local), ("to", self.remote), ("call-id", self.call_id)]
        headers += [("cseq", "%d %s" % (cseq, method)), self.contact] + [("route", route) for route in self.routes]
        if body:
            headers.append(("content-type", "application/sdp"))
        self.put("%s %s SIP/2.0" % (method, self.target), headers, body)
        return branch

    def reply(self, status, headers, body=b""):
        kept = [(k, v) for k, v in headers if k in REPEATED]
        if not status.startswith("100"):
            tag = self.local.partition(";tag=")[2]
            kept = [(k, v + ";tag=" + tag if k == "to" and ";tag=" not in v else v) for k, v in kept]
        more = [self.contact] + ([("content-type", "application/sdp")] if body else [])
        self.put("SIP/2.0 " + status, kept + more, body)

    # ---------------------------------------------------------------- what comes

    def take(self):
        if self.kind == "udp":
            octets, self.peer = self.sock.recvfrom(65536)
            self.message(*parse(octets)[:2])
            return
        octets = self.sock.recv(65536)
        if not octets:
            sys.exit("the connection has ended")
        self.buffer = (self.buffer + octets).lstrip(b"\r\n")
        while (found := parse(self.buffer)) is not None:
            self.buffer = found[2]
            self.message(*found[:2])

    def message(self, first, headers):
        cseq, method = values(headers, "cseq")[0].split()
        if first.startswith("SIP/2.0 "):
            self.got_reply(int(first.split()[1]), int(cseq), method, headers)
        else:
            self.got_request(method, int(cseq), headers)

    def show(self, what, cseq):
        """False: it was there before, and this is a copy."""
        known = (what, cseq) in self.seen
        if not known:
            self.seen.add((what, cseq))
            print(what, flush=True)
        return not known

    def got_reply(self, status, cseq, method, headers):
        if status < 200:
            return
        if method == "INVITE":
            if status < 300:
                self.remote = values(headers, "to")[0]
                self.target = values(headers, "contact")[0].partition("<")[2].partition(">")[0]
                if values(headers, "record-route"):
                    self.routes = list(reversed(values(headers, "record-route")))
                self.request("ACK", cseq)
            else:
                to, self.remote = self.remote, values(headers, "to")[0]
                self.request("ACK", cseq, branch=self.invites[cseq])
                self.remote = to
        self.show("%d %s" % (status, method), cseq)

    def got_request(self, method, cseq, headers):
        fresh = self.show(method, cseq)
        if method == "INVITE":
            self.reply("100 Trying", headers)
            if fresh:
                self.came = headers
            if self.remote is None:
                self.call_id, self.remote = values(headers, "call-id")[0], values(headers, "from")[0]
                self.local = values(headers, "to")[0] + ";tag=" + self.me.partition(":")[2]
                self.routes = values(headers, "record-route")
            self.target = values(headers, "contact")[0].partition("<")[2].partition(">")[0]
        elif method != "ACK":
            self.reply("200 OK", headers)

    # ---------------------------------------------------------------- what it is told

    def told(self, word, *more):
        if word == "invite":
            if len(more) > 1:
                self.target, self.remote = "sip:" + more[1], "<sip:%s>" % more[1]
            self.sent += 1
            self.invites[self.sent] = self.request("INVITE", self.sent, sdp(more[0]))
        elif word == "answer":
            self.reply("200 OK", self.came, sdp(more[0]))
        elif word == "refuse":
            self.reply(" ".join(more), self.came)
        elif word == "bye":
            self.sent += 1
            self.request("BYE", self.sent)


def sdp(path):
    with open(path, "rb") as file:
        return file.read()


party = Party(*sys.argv[1:])
print("ready", flush=True)
while True:
    for ready in select.select([party.sock, 0], [], [])[0]:
        if ready is party.sock:
            party.take()
        else:
            line = sys.stdin.buffer.raw.readline().decode()
            if not line:
                sys.exit(0)
            party.told(*line.split())
