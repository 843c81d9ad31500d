"""Clients of TLS for scripts/bench that other programs do not play.

  tls_clients.py silent ADDRESS AUTHORITY COUNT    connects COUNT times and says nothing, until it is ended;
                                                   who is turned away comes again
  tls_clients.py resume ADDRESS AUTHORITY SECONDS  prints how many connections a second were made with the
                                                   session of the one before
"""

import select
import socket
import ssl
import sys
import time


def silent(address, count):
    poller = select.epoll()
    connections = {}

    def connect():
        connection = socket.create_connection(address)
        connections[connection.fileno()] = connection
        poller.register(connection, select.EPOLLIN | select.EPOLLRDHUP)

    while len(connections) < count:
        connect()
    print("all", count, flush=True)
    while True:
        for descriptor, _ in poller.poll():
            poller.unregister(descriptor)
            connections.pop(descriptor).close()
            connect()


def resume(address, authority, seconds):
    context = ssl.create_default_context(cafile=authority)
    request = b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    session, made, begun = None, 0, time.monotonic()
    while time.monotonic() - begun < seconds:
        with socket.create_connection(address) as connection:
            # Otherwise the request waits for an ACK that is not in a hurry.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with context.wrap_socket(connection, server_hostname="localhost", session=session) as stream:
                stream.sendall(request)
                while stream.recv(4096):
                    pass
                if session is not None and not stream.session_reused:
                    sys.exit("tls_clients.py: the session was not resumed")
                session = stream.session
                made += 1
    print(round(made / (time.monotonic() - begun)))


def main():
    what, address, authority, number = sys.argv[1:]
    host, port = address.rsplit(":", 1)
    if what == "silent":
        silent((host, int(port)), int(number))
    else:
        resume((host, int(port)), authority, int(number))


main()
