"""TCP ends for the network tests.

tcp.py serve ADDRESS PORT [v1|v2]   echoes what comes; with a PROXY version it prints each
                                    connection's head, "CLIENT PORT SERVER PORT", first.
tcp.py call FROM TO PORT OCTETS     sends so many octets, expects them back, then the end; prints
                                    "echoed OCTETS", or what went wrong.
tcp.py stuff FROM TO PORT           sends as much as is taken and reads nothing; prints how much,
                                    once a second, when no more was taken.
tcp.py mute FROM TO PORT COUNT      connects so often, says nothing, and prints how many were closed,
                                    whenever that changes.
All end by a signal, or, but for serve, with their connection.
"""

import hashlib
import select
import signal
import socket
import struct
import sys
import threading


def say(*words):
    print(*words, flush=True)


def read_exactly(conn, count):
    data = b""
    while len(data) < count:
        piece = conn.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def read_head(conn, version):
    if version == "v1":
        line = b""
        while not line.endswith(b"\r\n"):
            line += read_exactly(conn, 1)
        word, family, client, server, client_port, server_port = line.decode().split()
        assert word == "PROXY" and family in ("TCP4", "TCP6")
        return client, client_port, server, server_port
    head = read_exactly(conn, 16)
    assert head[:12] == b"\r\n\r\n\0\r\nQUIT\n" and head[12] == 0x21
    octets = 4 if head[13] == 0x11 else 16
    body = read_exactly(conn, struct.unpack(">H", head[14:])[0])
    family = socket.AF_INET if octets == 4 else socket.AF_INET6
    client_port, server_port = struct.unpack(">HH", body[2 * octets:])
    return (socket.inet_ntop(family, body[:octets]), client_port,
            socket.inet_ntop(family, body[octets:2 * octets]), server_port)


def echo(conn, version):
    try:
        if version:
            say(*read_head(conn, version))
        while True:
            data = conn.recv(65536)
            if not data:
                break
            conn.sendall(data)
        conn.shutdown(socket.SHUT_WR)
    except (OSError, EOFError) as error:
        print("connection:", error, file=sys.stderr, flush=True)
    conn.close()


def serve(address, port, version=None):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, int(port)), family=family, backlog=64)
    say("listening")
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=echo, args=(conn, version), daemon=True).start()


def connect(source, address, port):
    return socket.create_connection((address, int(port)), 10, (source, 0))


def fail(error):
    say("broken:", error.strerror or error)
    sys.exit(1)


def call(source, address, port, octets):
    octets = int(octets)
    try:
        conn = connect(source, address, port)
    except OSError as error:
        fail(error)
    conn.settimeout(20)
    broken = []
    piece = bytes((i * 7 + i // 251) & 255 for i in range(65521))
    sent, got = hashlib.sha256(), hashlib.sha256()

    def send():
        left = octets
        try:
            while left > 0:
                data = piece[:left]
                conn.sendall(data)
                sent.update(data)
                left -= len(data)
            conn.shutdown(socket.SHUT_WR)
        except OSError as error:
            broken.append(error)  # the system tells it once: to recv() or to here

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    count = 0
    try:
        while True:
            data = conn.recv(65536)
            if not data:
                break
            got.update(data)
            count += len(data)
    except OSError as error:
        fail(error)
    thread.join(5)
    if broken:
        fail(broken[0])
    if sent.digest() != got.digest() or count != octets:
        say("not the octets that were sent:", count, "of", octets)
        sys.exit(1)
    say("echoed", count)


def stuff(source, address, port):
    conn = connect(source, address, port)
    conn.setblocking(False)
    count = 0
    while True:
        if select.select([], [conn], [], 1)[1]:
            try:
                count += conn.send(bytes(65536))
            except OSError as error:
                fail(error)
        else:
            say(count)


def mute(source, address, port, count):
    conns = []
    closed = shown = 0
    for _ in range(int(count)):
        try:
            conns.append(connect(source, address, port))
        except OSError:
            closed += 1
    while True:
        for conn in select.select(conns, [], [], 0.1)[0] if conns else []:
            conns.remove(conn)
            closed += 1
        if closed != shown:
            say(closed)
            shown = closed
        if not conns:
            signal.pause()  # until it is stopped


{"serve": serve, "call": call, "stuff": stuff, "mute": mute}[sys.argv[1]](*sys.argv[2:])
