#!/usr/bin/python3
"""A long line to an upstream, for scripts/bench: bench_line.py ADDRESS UPSTREAM MB_PER_SECOND MILLISECONDS.

Passes GET and HEAD on. An answer begins after so many milliseconds, and all bodies together come at so many MB (10^6 bytes)
a second. Standard library only.
"""

import http.client
import http.server
import sys
import threading
import time

PIECE = 1 << 18


class Line:
    """Hands out times at which the next bytes may be sent."""

    def __init__(self, rate):
        self.rate = rate
        self.lock = threading.Lock()
        self.free_at = 0.0

    def send(self, size):
        with self.lock:
            now = time.monotonic()
            # What was not used for a while is lost, but for the imprecision of sleeping.
            self.free_at = max(self.free_at, now - 0.005) + size / self.rate
            wait = self.free_at - now
        if wait > 0:
            time.sleep(wait)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body do not wait for each other.
    wbufsize = 0
    disable_nagle_algorithm = True

    def do_GET(self):
        began = time.monotonic()
        upstream = http.client.HTTPConnection(UPSTREAM)
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        # One after the other: `Accept` comes several times.
        for name, value in self.headers.items():
            if name.lower() != "connection":
                upstream.putheader(name, value)
        upstream.endheaders()
        answer = upstream.getresponse()
        time.sleep(max(0.0, began + DELAY - time.monotonic()))
        head = [f"HTTP/1.1 {answer.status} {answer.reason}"]
        head += [f"{name}: {value}" for name, value in answer.getheaders() if name.lower() != "connection"]
        self.wfile.write(("\r\n".join(head) + "\r\n\r\n").encode())
        if self.command == "HEAD":
            answer.read()
        buffer = memoryview(bytearray(PIECE))
        while self.command == "GET" and (size := answer.readinto(buffer)):
            LINE.send(size)
            self.wfile.write(buffer[:size])
        upstream.close()

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    host, port = sys.argv[1].split(":")
    UPSTREAM = sys.argv[2]
    LINE = Line(float(sys.argv[3]) * 1e6)
    DELAY = float(sys.argv[4]) / 1000
    http.server.ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
