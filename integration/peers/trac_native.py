#!/usr/bin/env python3
"""A tracker peer: behaves as Trac 1.6 with the XML-RPC plugin, served by tracd, did in the
captures of ../testdata/trac, keeps tickets in memory, and misbehaves on demand.

    python3 trac_native.py

prints one line of JSON once it accepts:

    {"url": "http://127.0.0.1:PORT/native", "control": "http://127.0.0.1:PORT"}

XML-RPC is at {url}/login/xmlrpc and {url}/login/rpc for alice and admin by Basic authorization,
and at {url}/xmlrpc and {url}/rpc for visitors and for who has the cookie of {url}/login. CSV is
at {url}/ticket/{id}?format=csv and {url}/query?...&format=csv.

The control interface is that of control.py, with one more:

    POST /password {"user", "password"}    changes a password: Basic sessions end in the middle

What can go wrong is in misbehaviour.py. Places are "login" (where a password is tried
without a call), "write" (calls that change tickets), "xmlrpc" (calls) and "other" (all else: CSV, and GETs of the service).
"""

import argparse
import base64
import binascii
import re
import sys
import threading
import urllib.parse

# The modules beside this script lie in a source tree that stays clean.
sys.dont_write_bytecode = True

from control import Control, Ledger  # noqa: E402
from misbehaviour import ANSWERS, BadRule, Rules  # noqa: E402
from peer_http import Answer, Clock, serve  # noqa: E402
from trac_launchpad import Exchange, Tracker, read_page  # noqa: E402
from trac_native_rpc import RPC, ProtocolError  # noqa: E402
from trac_native_tickets import NativeTickets, TicketError, query_csv, ticket_csv  # noqa: E402
from trac_plugin import Sessions  # noqa: E402

SERVICES = ("/xmlrpc", "/rpc", "/login/xmlrpc", "/login/rpc")
XML_TYPES = ("text/xml", "application/xml")
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
FORM_TOKEN = "Missing or invalid form token. Do you have cookies enabled?"


class NativeTracker(Tracker):
    """The tracker: everything that outlives a request."""

    def __init__(self, options):
        self.base = options.base.rstrip("/")
        self.options = options
        self.ledger = Ledger()
        self.clock = Clock(options.clock_offset)
        self.tickets = NativeTickets(options.tickets, [options.link_field] if options.link_field else [])
        self.sessions = CookieOwners(self.clock, options.cookie_lifetime)
        self.accounts = Accounts({"alice": "wonder", "admin": "admin"}, options.lock_after, self.ledger)
        self.rpc = RPC(self.tickets, self.clock, self.ledger)
        self.rules = Rules({"login": ANSWERS, "write": ANSWERS, "xmlrpc": ANSWERS, "other": ANSWERS})
        self.page = read_page()
        # Not Tracker's, which makes what belongs to the Launchpad plugin.
        super(Tracker, self).__init__(("127.0.0.1", options.port), NativeExchange)

    def place(self, path):
        """What the ledger knows a path by; what rules know a request by, the exchange tells."""
        return "xmlrpc" if path.removeprefix(self.base) in SERVICES else "other"


class CookieOwners(Sessions):
    """Sessions that know whose they are."""

    def __init__(self, clock, lifetime):
        super().__init__(clock, lifetime)
        self._owner = {}

    def begin_for(self, user):
        cookie = self.begin()
        self._owner[cookie] = user
        return cookie

    def owner(self, cookie):
        return self._owner.get(cookie) if self.state(cookie) == "live" else None


class Accounts:
    """Passwords, and the lock-out after so many wrong ones (0: never)."""

    def __init__(self, passwords, lock_after, ledger):
        self._passwords, self._lock_after, self._ledger = passwords, lock_after, ledger
        self._lock = threading.Lock()
        self._wrong = dict.fromkeys(passwords, 0)

    def user(self, header):
        """Whom an Authorization header is good for, or None."""
        try:
            scheme, _, pair = (header or "").partition(" ")
            name, _, password = base64.b64decode(pair, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        if scheme.lower() != "basic" or name not in self._passwords:
            return None
        with self._lock:
            locked = 0 < self._lock_after <= self._wrong[name]
            good = password == self._passwords[name] and not locked
            self._wrong[name] = 0 if good else self._wrong[name] + 1
        self._ledger.count("accepted" if good else "refused")
        return name if good else None

    def set_password(self, user, password):
        if user not in self._passwords:
            raise BadRule("there is no account %r" % user)
        with self._lock:
            self._passwords[user], self._wrong[user] = password, 0


class NativeExchange(Exchange):
    """One connection, and one request after the other on it."""

    writes = re.compile(rb">\s*ticket\.(create|update)\s*<")

    def handle_request(self):
        self.path, _, self.query = self.path.partition("?")
        self.server.ledger.requested(self.command, self.path)
        self.service = self.path.removeprefix(self.server.base)
        self.user = None
        place = "other"
        if self.service == "/login" or self.service.startswith("/login/"):
            place = "login" if self.command != "POST" else "xmlrpc"
        elif self.service in SERVICES and self.command == "POST":
            place = "xmlrpc"
        if self.server.rules.any("write"):
            self.read_body()
        rule = self.rule(place)
        if rule is not None:
            self.read_body()
            ANSWERS.run(rule, self)
        else:
            answer = self.execute()
            if answer is None:
                self.close_connection = True
            else:
                self.send(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = handle_request

    def read_body(self):
        if self.request_body is None:
            self.request_body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return self.request_body

    def parse_request(self):
        self.request_body = None
        return super().parse_request()

    def execute(self):
        if self.service == "/login" or self.service.startswith("/login/"):
            self.user = self.server.accounts.user(self.headers.get("Authorization"))
            if self.user is None:
                return self.refusal()
        elif self.cookie("trac_auth"):
            self.user = self.server.sessions.owner(self.cookie("trac_auth"))
        if self.service == "/login":
            return self.logged_in()
        if self.service in SERVICES and not self.server.options.no_plugin:
            return self.serve()
        ticket = re.fullmatch(r"/ticket/([0-9]+)", self.service)
        query = urllib.parse.parse_qs(self.query)
        if ticket:
            return self.ticket(ticket[1], query)
        if self.service == "/query" and query.get("format") == ["csv"]:
            return self.tickets(query)
        return self.missing("Error: Not Found", "No handler matched request to " + self.service)

    def refusal(self):
        """HTTP 401, of a body nothing is read: the server goes on with it as the next request."""
        answer = Answer(401, "", b"", before=[("WWW-Authenticate", 'Basic realm="Trac"')], cached=True)
        answer.sized = True
        return answer

    def logged_in(self):
        cookie = "trac_auth=%s; HttpOnly; Path=%s" % (self.server.sessions.begin_for(self.user), self.cookie_path)
        host = self.headers.get("Host", "127.0.0.1")
        answer = Answer(302, "text/plain", b"", cached=True, cookies=[cookie], before=[
            ("Location", "http://" + host + self.server.base)],
            headers=[("Pragma", "no-cache"), ("Cache-Control", "no-cache"),
                     ("Expires", "Fri, 01 Jan 1999 00:00:00 GMT")])
        answer.sized = True
        return answer

    def serve(self):
        """A call of the service."""
        kind = self.headers.get("Content-Type")
        if self.command == "POST" and kind is None:
            return None  # the connection is closed (capture 100)
        plain = (kind or "").partition(";")[0].strip().lower()
        if self.command == "POST" and plain in FORM_TYPES:
            self.read_body()
            answer = self.page(400, "Error: Bad Request", FORM_TOKEN)
            answer.headers = [("X-XSS-Protection", "0")]
            return answer
        if plain not in XML_TYPES:
            self.read_body()
            return self.text(415, "No protocol matching Content-Type '%s' at path '%s'." % (kind or "", self.service),
                             before=[("Connection", "close")])
        if "Content-Length" not in self.headers:
            # The plugin asks for int(None) bytes (capture 102).
            return self.document(b"<?xml version='1.0'?>\n<methodResponse>\n<fault>\n<value><struct>\n<member>\n"
                                 b"<name>faultCode</name>\n<value><int>-32700</int></value>\n</member>\n<member>\n"
                                 b"<name>faultString</name>\n<value><string>int() argument must be a string, a "
                                 b"bytes-like object or a real number, not 'NoneType'</string></value>\n</member>\n"
                                 b"</struct></value>\n</fault>\n</methodResponse>\n")
        caller = self.user or ("anonymous" if self.server.options.anonymous else None)
        try:
            answer = self.document(self.server.rpc.answer(caller, self.read_body()))
        except ProtocolError as error:
            return self.text(500, str(error))
        if self.user is None and self.cookie("trac_auth"):
            answer.cookies = ['trac_auth=""; expires=%s; HttpOnly; Path=%s' % (self.date(-10000), self.cookie_path)]
        if b"modified since you started" in answer.body:
            answer.cookies = ["trac_form_token=0123456789abcdef01234567; HttpOnly; Path=" + self.cookie_path]
        if self.user is None:
            answer.cookies += self.visitor_cookies()
        return answer

    def ticket(self, reference, query):
        try:
            ticket = self.server.tickets.find(reference)
        except TicketError as error:
            return self.missing("Error: Invalid ticket number", str(error))
        if query.get("format") != ["csv"]:
            answer = self.page(200, "#" + reference, "A ticket.")
            answer.cookies += self.visitor_cookies()
            return answer
        return self.csv(ticket_csv(ticket), "t%d.csv" % ticket["id"])

    def tickets(self, query):
        conditions = {name: values for name, values in query.items() if name not in ("format", "col")}
        text = "&".join("%s=%s" % (name, value.replace("&", "\\&")) for name, values in conditions.items() for value in values)
        try:
            found = self.server.tickets.query(text, paged=False)
        except TicketError as error:
            return self.page(400, "Error: Bad Request", str(error))
        fields = self.server.tickets.find(1)["fields"]
        return self.csv(query_csv(found, query.get("col", []), query.get("order", [""])[0], fields), "query.csv")

    def csv(self, body, name):
        return Answer(200, "text/csv;charset=utf-8", body, cached=True, cookies=self.visitor_cookies(),
                      headers=[("Content-Disposition", "attachment; filename=" + name)])

    def document(self, body):
        answer = Answer(200, self.headers.get("Content-Type") or "text/xml", body, cached=True)
        answer.sized = True
        return answer

    def send(self, answer):
        """XML goes with its length, all else in chunks."""
        if not getattr(answer, "sized", False):
            super().send(answer)
            return
        answer.framing = "Content-Length: %d" % len(answer.body)
        self.write(self.head(answer) + (b"" if self.command == "HEAD" else answer.body))

    def head(self, answer):
        head = super().head(answer)
        return head if answer.content_type else head.replace(b"Content-Type: \r\n", b"")


class NativeControl(Control):
    """The control interface, with passwords."""

    def __init__(self, tracker, end):
        super().__init__(tracker, end)
        self.posts["/password"] = tracker.accounts.set_password


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0: any (default)")
    parser.add_argument("--base", default="/native", help="path of the tracker (default: %(default)s)")
    parser.add_argument("--cookie-lifetime", type=float, default=864000, metavar="SECONDS")
    parser.add_argument("--tickets", type=int, default=0, metavar="N", help="add N generated tickets to the 25")
    parser.add_argument("--clock-offset", type=float, default=0, metavar="SECONDS",
                        help="how far the tracker's clock is ahead")
    parser.add_argument("--lock-after", type=int, default=0, metavar="N",
                        help="lock an account after N wrong passwords; 0: never (default)")
    parser.add_argument("--anonymous", action="store_true", help="visitors may call the service")
    parser.add_argument("--no-plugin", action="store_true", help="there is no XML-RPC, only CSV")
    parser.add_argument("--link-field", default="", metavar="NAME", help="a custom field of every ticket")
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when standard input is closed")
    return parser.parse_args()


def main():
    options = arguments()
    serve(NativeTracker(options), NativeControl, options.exit_with_stdin)


if __name__ == "__main__":
    main()
