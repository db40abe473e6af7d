"""Proxies that are of no use to a tunnel, for the network tests.

proxy.py answer ADDRESS PORT "502 Bad Gateway"     says this to every request.
proxy.py intercept ADDRESS PORT CERTIFICATE KEY    takes CONNECT, and then speaks TLS itself.
proxy.py swallow ADDRESS PORT                      takes CONNECT, and nothing comes back any more.
Each prints a line for each request: its first one. They end by a signal.
"""

import socket
import ssl
import sys
import threading


def read_head(conn):
    data = b""
    while b"\r\n\r\n" not in data and len(data) < 8192:
        piece = conn.recv(8192)
        if not piece:
            return None
        data += piece
    return data


def answer(conn, status):
    conn.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    conn.shutdown(socket.SHUT_WR)
    conn.recv(8192)


def intercept(conn, certificate, key):
    conn.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with context.wrap_socket(conn, server_side=True) as inner:
        inner.recv(8192)


def swallow(conn):
    conn.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    while conn.recv(8192):
        pass


KINDS = {"answer": answer, "intercept": intercept, "swallow": swallow}


def serve(conn, kind, arguments):
    try:
        head = read_head(conn)
        if head:
            print(head.split(b"\r\n")[0].decode("latin-1"), flush=True)
            KINDS[kind](conn, *arguments)
    except OSError:
        pass
    finally:
        conn.close()


def main():
    kind, address, port, *arguments = sys.argv[1:]
    with socket.create_server((address, int(port))) as listener:
        while True:
            conn, _ = listener.accept()
            threading.Thread(target=serve, args=(conn, kind, arguments), daemon=True).start()


main()
