#!/usr/bin/python3
"""A bad line between the box and its upstream: wire.py LISTEN-PORT TARGET-PORT BYTES-PER-SECOND CUT-AFTER

Passes TCP connections on. What comes back from the target is slowed to that rate (0: not at all), and
every second connection is cut after that many bytes (0: never). A target that is away closes the
connection. Standard library only; loopback only.
"""

import itertools
import socket
import struct
import sys
import threading
import time

LISTEN, TARGET, RATE, CUT = (int(argument) for argument in sys.argv[1:5])
CHUNK = 32 * 1024


def cut(*sockets):
    """Resets, so that nobody takes it for an orderly end.

    The other thread waits in recv, and while it does the kernel keeps a closed socket open: nobody would
    notice anything until some timeout. The shutdown of reading wakes it, and sends nothing by itself.
    """
    for end in sockets:
        try:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.shutdown(socket.SHUT_RD)
        except OSError:
            pass
        finally:
            end.close()


def forward(source, sink):
    try:
        while data := source.recv(CHUNK):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        cut(source, sink)


def backward(source, sink, limit):
    passed, began = 0, time.monotonic()
    try:
        while data := source.recv(CHUNK):
            if limit and passed + len(data) > limit:
                sink.sendall(data[: limit - passed])
                cut(source, sink)
                return
            sink.sendall(data)
            passed += len(data)
            if RATE:
                time.sleep(max(0.0, passed / RATE - (time.monotonic() - began)))
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        cut(source, sink)


def main():
    listener = socket.create_server(("127.0.0.1", LISTEN), backlog=128)
    for number in itertools.count():
        client, _ = listener.accept()
        try:
            target = socket.create_connection(("127.0.0.1", TARGET), timeout=5)
            target.settimeout(None)
        except OSError:
            cut(client)
            continue
        limit = CUT if number % 2 else 0
        threading.Thread(target=forward, args=(client, target), daemon=True).start()
        threading.Thread(target=backward, args=(target, client, limit), daemon=True).start()


main()
