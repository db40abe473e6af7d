"""A call that two phones answer at once.

sipfork.py call FROM TO PORT USER SDP   calls the user by TCP, with the SDP of that file. Both phones get their
                                        ACK, the second one a BYE, and after a line on stdin the first one.
                                        Prints "answers 2", and "bye STATUS" twice.
sipfork.py phone ADDRESS PORT SDP       a phone (UDP) that answers, whatever else happens; ends with the BYE.
"""

import os
import socket
import sys

REPEATED = ("via", "record-route", "from", "to", "call-id", "cseq")


def parse(head):
    """The first line, and a list of headers."""
    lines = head.strip().split("\r\n")
    return lines[0], [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]


def values(headers, name):
    return [value for key, value in headers if key == name]


def read(stream):
    head = ""
    while not head.endswith("\r\n\r\n"):
        line = stream.readline().decode()
        if not line:
            raise EOFError
        head += line
    first, headers = parse(head)
    stream.read(int(values(headers, "content-length")[0]))
    return first, headers


def message(first, headers, body=""):
    headers = ["%s: %s" % header for header in headers] + ["Content-Length: %d" % len(body)]
    return "\r\n".join([first] + headers + ["", body]).encode()


def phone(address, port, sdp):
    contact = ("contact", "<sip:%s:%s>" % (address, port))
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, int(port)))
    first = ""
    while not first.startswith("BYE"):
        octets, proxy = sock.recvfrom(65536)
        first, headers = parse(octets.decode("latin-1").partition("\r\n\r\n")[0])
        print(first, flush=True)
        headers = [header for header in headers if header[0] in REPEATED]
        headers = [(k, v + ";tag=" + port if k == "to" and ";tag=" not in v else v) for k, v in headers] + [contact]
        if first.startswith("INVITE"):
            sock.sendto(message("SIP/2.0 200 OK", headers + [("content-type", "application/sdp")], sdp), proxy)
        elif not first.startswith("ACK"):
            sock.sendto(message("SIP/2.0 200 OK", headers), proxy)


def call(source, to, port, user, sdp):
    conn = socket.create_connection((to, int(port)), timeout=5, source_address=(source, 0))
    stream = conn.makefile("rb")

    def send(method, uri, to_header, number, more, body=""):
        via = "SIP/2.0/TCP %s:4444;branch=z9hG4bK%s%d-%d;rport" % (source, method, os.getpid(), number)
        headers = [("via", via), ("max-forwards", "70"), ("from", "<sip:caller@example.org>;tag=caller"), ("to", to_header)]
        headers += [("call-id", "fork-%d@%s" % (os.getpid(), source)), ("cseq", "%d %s" % (1 if method == "ACK" else number, method))]
        headers += [("contact", "<sip:caller@%s:4444;transport=tcp>" % source)]
        conn.sendall(message("%s %s SIP/2.0" % (method, uri), headers + more, body))

    send("INVITE", "sip:" + user, "<sip:%s>" % user, 1, [("content-type", "application/sdp")], sdp)
    answers = {}
    while len(answers) < 2:
        status, got = read(stream)
        if status.startswith("SIP/2.0 200"):
            answers.setdefault(values(got, "to")[0], got)
    print("answers", len(answers), flush=True)
    dialogs = []
    for n, (to_header, got) in enumerate(answers.items()):
        uri = values(got, "contact")[0].partition("<")[2].partition(">")[0]
        routes = [("route", route) for route in reversed(values(got, "record-route"))]
        dialogs.append((uri, to_header, routes))
        send("ACK", uri, to_header, 10 + n, routes)
    for n in (1, 0):
        uri, to_header, routes = dialogs[n]
        send("BYE", uri, to_header, 20 - n, routes)
        status, got = "", []
        while not any("BYE" in value for value in values(got, "cseq")):
            status, got = read(stream)
        print("bye", status.split()[1], flush=True)
        if n == 1:
            sys.stdin.readline()


with open(sys.argv[-1], encoding="ascii", newline="") as file:
    {"call": call, "phone": phone}[sys.argv[1]](*sys.argv[2:-1], file.read())
