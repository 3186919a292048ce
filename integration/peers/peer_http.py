"""What every peer has in common: an HTTP server that counts what happens to its connections,
answers that tests may bend before they are sent, a clock, and the way it starts and ends.
"""

import email.utils
import http.server
import json
import os
import re
import select
import socket
import struct
import sys
import threading
import time
import traceback

BODY_LIMIT = 16 << 20
IDLE_SECONDS = 120


class Clock:
    """The tracker's clock: the machine's, shifted, or stopped at one moment."""

    def __init__(self, offset=0):
        self.offset = offset
        self.stopped_at = None

    def now(self):
        """Seconds since 1970, UTC, with a fraction unless the clock is stopped."""
        if self.stopped_at is not None:
            return self.stopped_at
        return time.time() + self.offset


class Answer:
    """An answer on its way: what tests may bend before it is sent.

    before: headers that stand before the caching ones, as the captures have them; headers:
    those after the Content-Type; framing: a header line instead of chunks.
    """

    def __init__(self, status, content_type, body, before=(), headers=(), cookies=(), cached=False):
        self.status = status
        self.content_type = content_type
        self.body = body
        self.before = list(before)
        self.headers = list(headers)
        self.cookies = list(cookies)
        self.cached = cached
        self.framing = None


class Server(http.server.ThreadingHTTPServer):
    """A peer: what outlives a request. It has a `base`, the path of the tracker, and a `ledger`,
    a `clock` and `rules`."""

    daemon_threads = True
    request_queue_size = 256

    @property
    def url(self):
        return "http://127.0.0.1:%d%s" % (self.server_port, self.base)

    def handle_error(self, request, client_address):
        """A connection that ended early is a figure in the ledger, anything else a failure."""
        error = sys.exc_info()[1]
        if isinstance(error, (ConnectionError, socket.timeout)):
            self.ledger.count("hung_up")
        else:
            self.ledger.count("failures")
            traceback.print_exc()


class Exchange(http.server.BaseHTTPRequestHandler):
    """One connection, and one request after the other on it. What it answers is for each peer to
    say: `execute` does what was asked, `send` sends an answer as it should be sent."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS

    # The methods that change something, as they stand in the body of a call.
    writes = re.compile(rb"(?!)")

    def setup(self):
        super().setup()
        self.server.ledger.count("connections")

    def finish(self):
        try:
            super().finish()
        finally:
            self.server.ledger.count("connections", -1)

    def take_body(self):
        """Reads the body, of a given length: a connection closed over unread bytes would be
        reset, and the answer lost with it. False when it was refused as too large."""
        length = int(self.headers.get("Content-Length", 0))
        if length > BODY_LIMIT:
            self.close_connection = True
            self.send(self.text(413, "Too large\n"))
            return False
        self.request_body = self.rfile.read(length)
        return True

    def rule(self, *places):
        """The misbehaviour of this request, None when it is to be honest: the first one of the
        first place that has any. Calls that change something have the place "write" before
        "xmlrpc"."""
        for place in places:
            if place == "xmlrpc" and self.writes.search(self.request_body or b""):
                rule = self.server.rules.take("write")
                if rule is not None:
                    return rule
            rule = self.server.rules.take(place)
            if rule is not None:
                return rule
        return None

    def date(self, later=0):
        return email.utils.formatdate(self.server.clock.now() + later, usegmt=True)

    def write(self, data):
        self.wfile.write(data)
        self.server.ledger.count("written", len(data))

    def read_to_end(self):
        """Reads what the client still sends, so that closing does not reset the connection
        before the answer was read."""
        self.connection.shutdown(socket.SHUT_WR)
        left = BODY_LIMIT
        while left > 0:
            got = self.rfile.read1(65536)
            if not got:
                return
            left -= len(got)

    def reset_connection(self):
        """Closes the connection with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.close_connection = True

    def hold(self, seconds, connection=None):
        """Keeps this request waiting: for so many seconds, or until everything is reset. Ends
        early, with False, when the other side of the connection hangs up."""
        connection = connection or self.connection
        release = self.server.rules.release
        deadline = None if seconds is None else time.monotonic() + seconds
        self.server.ledger.count("held")
        try:
            while self.server.rules.release == release:
                if deadline is not None and time.monotonic() >= deadline:
                    break
                if select.select([connection], [], [], 0.02)[0]:
                    if not connection.recv(1, socket.MSG_PEEK):
                        raise ConnectionResetError
                    # It sent more, which is no reason to stop waiting.
                    time.sleep(0.02)
        except ConnectionError:
            self.server.ledger.count("hung_up")
            return False
        finally:
            self.server.ledger.count("held", -1)
        return True

    def log_message(self, format, *args):
        """Nothing is logged: tests look at the ledger."""


def serve(tracker, control_of, exit_with_stdin):
    """Serves a tracker and its control interface until it is told to end."""
    ended = threading.Event()
    control = control_of(tracker, ended.set)
    for server in (tracker, control):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    if exit_with_stdin:
        def watch():
            # Not sys.stdin: the interpreter cannot end while a thread reads from that.
            while os.read(0, 4096):
                pass
            ended.set()
        threading.Thread(target=watch, daemon=True).start()
    print(json.dumps({"url": tracker.url, "control": control.url}), flush=True)
    try:
        ended.wait()
    except KeyboardInterrupt:
        pass
