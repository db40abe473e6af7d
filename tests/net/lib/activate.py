"""Starts a program as systemd does one with a socket unit: activate.py ADDRESS PORT -- PROGRAM ARGUMENT..."""

import os
import socket
import sys

address, port = sys.argv[1], int(sys.argv[2])
listener = socket.create_server((address, port), reuse_port=False)
if listener.fileno() != 3:
    os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ["LISTEN_FDS"] = "1"
os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[4], sys.argv[4:])
