#!/usr/bin/env python3
"""A Roundup peer: behaves as Roundup 2.6.0 did in the captures of ../testdata/roundup, keeps
issues in memory, and misbehaves on demand.

    python3 roundup_tracker.py

prints one line of JSON once it accepts:

    {"url": "http://127.0.0.1:PORT/demo", "control": "http://127.0.0.1:PORT"}

Call XML-RPC at {url}/xmlrpc with X-Requested-With and Basic authorization: gateway:gateway,
alice:wonder, bob:builder, noapi:noapi (who may not), admin:admin. The control interface is
described in control.py, what it can make go wrong in misbehaviour.py. Requests have
one of the places "login" (no credentials), "write" (create, set, action), "xmlrpc" (all calls,
after the rules of the other two) and "other". On top of it:

    POST /expire   {"kind": "expired"}         every account's next call is refused once
                   {"kind": "purged"}          every password is another from now on
    POST /password {"user": U, "password": P}  one account's password is this from now on
    POST /lockout  {"failures": N}             so many wrong passwords lock an account; 0: never
"""

import argparse
import base64
import collections
import gzip
import os
import re
import sys
import threading
import time
import xmlrpc.client

# The modules beside this script lie in a source tree that stays clean.
sys.dont_write_bytecode = True

import peer_http  # noqa: E402
from control import Control, Ledger  # noqa: E402
from misbehaviour import ANSWERS, BadRule, Rules  # noqa: E402
from peer_http import Answer, Clock, Server, serve  # noqa: E402
from roundup_database import Database  # noqa: E402
from roundup_service import Dispatcher, Unauthorised, UsageError  # noqa: E402

XML = "text/xml"
HTML = "text/html; charset=utf-8"
ENDPOINT_PAGE = ("This is the endpoint of Roundup <a href='https://www.roundup-tracker.org/docs/"
                 "xmlrpc.html'>XML-RPC interface</a>.")

# What is left of a chunked body that nobody reads is taken for a document of this text.
UNREAD_CHUNKS = b"7"


class Accounts:
    """Who may log in, and with what."""

    def __init__(self, database):
        self._lock = threading.Lock()
        self._passwords = {item["username"]: item["password"]
                           for item in database.items["user"].values() if item["password"]}
        self._ids = {item["username"]: i for i, item in database.items["user"].items()}
        self._refuse_once = set()
        self._failures = collections.Counter()
        self.lockout = 0

    def check(self, user, password):
        """The id of the user, None when the log-in is refused."""
        with self._lock:
            if user in self._refuse_once:
                self._refuse_once.discard(user)
                return None
            if self.lockout and self._failures[user] >= self.lockout:
                return None
            if self._passwords.get(user) != password or password is None:
                self._failures[user] += 1
                return None
            self._failures[user] = 0
            return self._ids[user]

    def end_all(self, kind):
        with self._lock:
            if kind == "expired":
                self._refuse_once = set(self._passwords)
            else:
                self._passwords = {user: os.urandom(8).hex() for user in self._passwords}

    def set_password(self, user, password):
        with self._lock:
            if user not in self._passwords:
                raise BadRule("there is no user " + user)
            self._passwords[user] = password

    def set_lockout(self, failures):
        with self._lock:
            self.lockout = failures
            self._failures.clear()


class Tracker(Server):
    """The server: everything that outlives a request."""

    def __init__(self, options):
        self.base = options.base.rstrip("/")
        self.open = options.open
        self.delay = options.delay
        self.ledger = Ledger()
        self.clock = Clock(options.clock_offset)
        self.database = Database(self.clock, options.issues, options.link_property,
                                 options.timezone_offset)
        self.sessions = Accounts(self.database)
        self.rules = Rules({"login": ANSWERS, "write": ANSWERS, "xmlrpc": ANSWERS,
                            "other": ANSWERS})
        super().__init__(("127.0.0.1", options.port), Exchange)

    @property
    def host(self):
        return "127.0.0.1:%d" % self.server_port


class Exchange(peer_http.Exchange):
    """One connection, and one request after the other on it."""

    writes = re.compile(rb"<methodName>\s*(create|set|action)\s*<")

    def handle_request(self):
        self.path, _, self.query = self.path.partition("?")
        self.server.ledger.requested(self.command, self.path)
        if not self.take_body():
            return
        rule = self.rule(*self.places())
        if rule is None:
            self.send(self.execute())
        else:
            ANSWERS.run(rule, self)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = handle_request

    def places(self):
        """The places of this request, the narrower ones first."""
        if self.path != self.server.base + "/xmlrpc":
            return ["other"]
        if "Authorization" not in self.headers:
            return ["login", "xmlrpc"]
        return ["xmlrpc"]

    def execute(self):
        """Does what an honest tracker does with this request, and returns its answer."""
        if self.path != self.server.base + "/xmlrpc":
            return self.missing_page()
        if self.command != "POST" or self.headers.get("Content-Type") != XML:
            return self.endless_page()
        user, refusal = self.authenticate()
        if refusal is not None:
            self.server.ledger.count("refused")
            return refusal
        self.server.ledger.count("accepted")
        try:
            self.check_origin()
        except (Unauthorised, UsageError) as error:
            return self.fault(1, "%s:%s" % (type(error), error))
        document = self.request_body
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            document = UNREAD_CHUNKS
        time.sleep(self.server.delay)
        dispatcher = Dispatcher(self.server.database, user, self.server.ledger)
        return self.document(dispatcher._marshaled_dispatch(document))

    def authenticate(self):
        """The id of the user, or the answer that refuses him."""
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if scheme == "":
            anonymous = self.server.database.find("user", "anonymous")
            return anonymous, None if self.server.open else self.fault(403, "Forbidden")
        if scheme != "Basic":
            refusal = self.fault(401, "Support for jwt disabled by admin.")
            refusal.before = [("WWW-Authenticate", "Basic")]
            return None, refusal
        try:
            name, _, password = base64.b64decode(value, validate=True).decode("utf-8").partition(":")
        except ValueError:
            return None, self.fault(401, "Invalid login")
        user = self.server.sessions.check(name, password)
        if user is None:
            return None, self.fault(401, "Invalid login")
        if self.server.database.get("user", user, "roles") == "Visitor":
            return None, self.fault(403, "Forbidden")
        return user, None

    def check_origin(self):
        """The guard against forged requests."""
        own = "http://" + self.server.host
        referer = self.headers.get("Referer")
        if referer is not None and not referer.startswith(self.server.url + "/"):
            raise Unauthorised("Invalid Referer: " + referer)
        origin = self.headers.get("Origin")
        if origin is not None and origin != own:
            raise Unauthorised("Invalid Origin " + origin)
        for name in ("X-Forwarded-Host", "Host"):
            value = self.headers.get(name)
            if value is not None and value != self.server.host:
                raise Unauthorised("Invalid %s %s" % (name.upper(), value))
        if not self.headers.get("X-Requested-With"):
            raise UsageError("Required Header Missing")

    # Answers by their sort.

    def document(self, body):
        return Answer(200, XML, body)

    def fault(self, code, text):
        return self.document(xmlrpc.client.dumps(
            xmlrpc.client.Fault(code, text), methodresponse=True).encode("utf-8"))

    def refusal(self):
        self.server.ledger.count("refused")
        return self.fault(401, "Invalid login")

    def text(self, status, text, before=(), cookies=()):
        return Answer(status, "text/plain; charset=utf-8", text.encode("utf-8"), before=before)

    def page(self, status, title, message):
        # Roundup's own page of an error was not captured.
        return Answer(status, HTML, ("<!DOCTYPE html>\n<html><head><title>%s</title></head>"
                                     "<body><p>%s</p></body></html>\n" % (title, message)).encode("utf-8"))

    def endless_page(self):
        """A line of HTML without a length, on a connection that stays open."""
        answer = Answer(200, HTML, ENDPOINT_PAGE.encode("utf-8"))
        answer.framing = "Vary: Accept-Encoding"
        return answer

    def missing_page(self):
        answer = Answer(404, "text/html;charset=utf-8", PAGE_404.replace("PATH", self.path).encode("utf-8"),
                        before=[("Connection", "close")])
        answer.reason = self.path
        return answer

    # Sending.

    def send(self, answer):
        if ("Connection", "close") in answer.before or self.request_version == "HTTP/1.0":
            self.close_connection = True
        endless = answer.framing == "Vary: Accept-Encoding"
        if answer.framing is None:
            if answer.content_type == XML and "gzip" in self.headers.get("Accept-Encoding", ""):
                answer.body = gzip.compress(answer.body, mtime=0)
                answer.headers = list(answer.headers) + [("Content-Encoding", "gzip")]
            answer.framing = "Content-Length: %d" % len(answer.body)
        self.write(self.head(answer) + (b"" if self.command == "HEAD" else answer.body))
        if endless or "chunked" in self.headers.get("Transfer-Encoding", ""):
            self.hold(None)
            self.close_connection = True

    def head(self, answer):
        """The head of an answer, its headers in Roundup's order."""
        reason = getattr(answer, "reason", None) or self.responses.get(answer.status, ("Unknown",))[0]
        lines = ["HTTP/1.1 %d %s" % (answer.status, reason),
                 "Server: BaseHTTP/0.6 Python/3.11.2", "Date: " + self.date()]
        closing = [header for header in answer.before if header[0] == "Connection"]
        lines += ["%s: %s" % header for header in closing]
        lines.append("Content-Type: " + answer.content_type)
        lines += ["%s: %s" % header for header in answer.before if header not in closing]
        framing = answer.framing or "Transfer-Encoding: chunked"
        lines.append(framing)
        if answer.content_type == XML:
            lines.append("Vary: Accept-Encoding")
        lines += ["%s: %s" % header for header in answer.headers]
        return "\r\n".join(lines + ["", ""]).encode("latin-1")


PAGE_404 = """<!DOCTYPE HTML>
<html lang="en">
    <head>
        <meta charset="utf-8">
        <title>Error response</title>
    </head>
    <body>
        <h1>Error response</h1>
        <p>Error code: 404</p>
        <p>Message: PATH.</p>
        <p>Error code explanation: 404 - Nothing matches the given URI.</p>
    </body>
</html>
"""


class RoundupControl(Control):
    """The control interface, with what only this tracker has."""

    def __init__(self, tracker, end):
        super().__init__(tracker, end)
        self.posts["/password"] = lambda user, password: tracker.sessions.set_password(user, password)
        self.posts["/lockout"] = lambda failures: tracker.sessions.set_lockout(failures)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0: any (default)")
    parser.add_argument("--base", default="/demo", help="path of the tracker (default: %(default)s)")
    parser.add_argument("--issues", type=int, default=0, metavar="N",
                        help="add N generated issues to the 15")
    parser.add_argument("--delay", type=float, default=0, metavar="SECONDS",
                        help="how long every call takes")
    parser.add_argument("--clock-offset", type=float, default=0, metavar="SECONDS",
                        help="how far the tracker's clock is ahead")
    parser.add_argument("--timezone-offset", type=int, default=0, metavar="SECONDS",
                        help="how far the local time of its users is ahead of UTC")
    parser.add_argument("--link-property", metavar="NAME", help="a further property of issues, a String")
    parser.add_argument("--open", action="store_true", help="whoever has no account may call too")
    parser.add_argument("--exit-with-stdin", action="store_true",
                        help="end when standard input is closed")
    return parser.parse_args()


def main():
    options = arguments()
    serve(Tracker(options), RoundupControl, options.exit_with_stdin)


if __name__ == "__main__":
    main()
