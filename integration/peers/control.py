"""The control interface for tests: JSON over HTTP, on a port of its own.

    GET  /stats                                     what happened so far (Ledger.figures)
    GET  /wait?FIGURE=N&...                         the same, once each figure is at least N
    POST /misbehave {"on", "kind", "times", "with"} a rule of misbehaviour; "times" 0 or
                                                    absent: until reset; "with": its options
    POST /reset                                     no more rules; what is held goes on
    POST /expire    {"kind": "expired"|"purged"}    ends all sessions
    POST /clock     {"at": N} or {"offset": N}      stops the clock, or lets it run
    POST /shutdown                                  answers, then ends the process

Answers are 200 with a JSON object; 400 with {"error": text} for what does not exist.
"""

import collections
import http.server
import json
import threading
import urllib.parse

from misbehaviour import BadRule

# How many entries each list of the ledger keeps: the last ones.
LEDGER_ENTRIES = 10000

WAIT_SECONDS = 30


class Ledger:
    """What happened so far, for tests to look at and to wait for."""

    def __init__(self):
        self._changed = threading.Condition()
        self._requests = collections.Counter()
        self._calls = collections.Counter()
        self._figures = collections.Counter()
        self._lists = {name: collections.deque(maxlen=LEDGER_ENTRIES)
                       for name in ("callbacks", "handed_on", "comments")}

    def requested(self, method, path):
        """A request arrived. A log-in's path comes without its token."""
        with self._changed:
            key = "%s %s" % (method, path)
            if key not in self._requests and len(self._requests) >= LEDGER_ENTRIES:
                key = "other"
            self._requests[key] += 1
            self._changed.notify_all()

    def called(self, name):
        """An XML-RPC method was called, with a live session."""
        with self._changed:
            if name in self._calls or len(self._calls) < LEDGER_ENTRIES:
                self._calls[name] += 1
                self._changed.notify_all()

    def count(self, figure, n=1):
        """Adds to one of the plain figures."""
        with self._changed:
            self._figures[figure] += n
            self._changed.notify_all()

    def called_back(self, method, url, status, body, _cookies):
        """A callback was answered; status 0 and the reason as body when it was not."""
        self._append("callbacks", {"method": method, "url": url, "status": status, "body": body})

    def handed_on(self, _method, url, status, body, cookies):
        """A token was handed to another tracker; cookies are the names that it set."""
        self._append("handed_on", {"url": url, "status": status, "body": body, "cookies": cookies})

    def comment_written(self, bug, identity, text):
        """A comment was written by add_comment; text as it was sent."""
        self._append("comments", {"bug": bug, "id": identity, "text": text})

    def _append(self, name, entry):
        with self._changed:
            self._lists[name].append(entry)
            self._changed.notify_all()

    def figures(self):
        """Everything as a dictionary that JSON can carry. held: requests that are kept waiting
        now; hung_up: connections that the other side closed before its answer was written;
        written: bytes written by answers, heads included; connections: those open now."""
        with self._changed:
            plain = {name: self._figures[name]
                     for name in ("accepted", "refused", "held", "hung_up", "written", "failures",
                                  "connections")}
            return {**plain, "requests": dict(self._requests), "calls": dict(self._calls),
                    **{name: list(entries) for name, entries in self._lists.items()}}

    def wait(self, figures):
        """Waits until each figure is at least what is asked; of a list its length counts, of a
        group ("requests", "calls") the sum. Returns whether that came true in time."""
        def reached():
            now = self.figures()
            return all(size(now[name]) >= least for name, least in figures.items())

        with self._changed:
            return self._changed.wait_for(reached, WAIT_SECONDS)


def size(figure):
    if isinstance(figure, dict):
        return sum(figure.values())
    return len(figure) if isinstance(figure, list) else figure


class Control(http.server.ThreadingHTTPServer):
    """Serves the control interface of one tracker."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, tracker, end):
        super().__init__(("127.0.0.1", 0), ControlHandler)
        self.tracker = tracker
        self.end = end
        self.posts = {"/misbehave": self.misbehave, "/reset": self.reset, "/expire": self.expire,
                      "/clock": self.clock}

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.server_port

    def misbehave(self, on, kind, times=0, **others):
        # "with" cannot be the name of a parameter.
        options = others.pop("with", {})
        if others or not isinstance(options, dict):
            raise BadRule("a rule is {on, kind, times, with}, and with is an object")
        self.tracker.rules.add(on, kind, times, options)

    def reset(self):
        self.tracker.rules.reset()

    def expire(self, kind):
        if kind not in ("expired", "purged"):
            raise BadRule("sessions can be expired or purged")
        self.tracker.sessions.end_all(kind)

    def clock(self, at=None, offset=0):
        self.tracker.clock.stopped_at, self.tracker.clock.offset = at, offset

    def wait(self, query):
        known = self.tracker.ledger.figures()
        figures = {}
        for name, least in urllib.parse.parse_qsl(query):
            if name not in known or not least.isdigit():
                raise BadRule("cannot wait for %s=%s" % (name, least))
            figures[name] = int(least)
        if not self.tracker.ledger.wait(figures):
            raise BadRule("%s did not come true within %d s" % (figures, WAIT_SECONDS))


class ControlHandler(http.server.BaseHTTPRequestHandler):
    """Turns requests into calls of Control."""

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/stats":
            self.reply(200, self.server.tracker.ledger.figures())
        elif path == "/wait":
            try:
                self.server.wait(query)
            except BadRule as error:
                self.reply(400, {"error": str(error)})
            else:
                self.reply(200, self.server.tracker.ledger.figures())
        else:
            self.reply(404, {"error": "there is nothing at " + path})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/shutdown":
            self.reply(200, {})
            self.server.end()
            return
        post = self.server.posts.get(self.path)
        if post is None:
            self.reply(404, {"error": "there is nothing at " + self.path})
            return
        try:
            post(**json.loads(body or b"{}"))
        except (BadRule, TypeError, ValueError) as error:
            self.reply(400, {"error": str(error)})
        else:
            self.reply(200, {})

    def reply(self, status, value):
        body = json.dumps(value).encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        """Nothing is logged: tests look at the ledger."""
