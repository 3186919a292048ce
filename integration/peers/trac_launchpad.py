#!/usr/bin/env python3
"""A tracker peer: behaves as Trac 1.6 with the Launchpad plugin did in the captures of
../testdata/trac-launchpad, keeps tickets in memory, and misbehaves on demand.

    python3 trac_launchpad.py --callback-root http://127.0.0.1:8085

prints one line of JSON once it accepts:

    {"url": "http://127.0.0.1:PORT/lp", "control": "http://127.0.0.1:PORT"}

Log in with GET {url}/launchpad-auth/{token}, call XML-RPC at {url}/xmlrpc, read a ticket at
{url}/ticket/{id}?format=csv. The control interface is described in control.py, what it
can make go wrong in misbehaviour.py (answers) and callback.py (callbacks).
"""

import argparse
import html
import http.cookies
import pathlib
import re
import secrets
import sys
import urllib.parse

# The modules beside this script lie in a source tree that stays clean.
sys.dont_write_bytecode = True

import peer_http  # noqa: E402
from callback import CALLBACKS, Callback  # noqa: E402
from control import Control, Ledger  # noqa: E402
from misbehaviour import ANSWERS, Rules, chunk  # noqa: E402
from peer_http import Answer, Clock, Server, serve  # noqa: E402
from trac_plugin import Plugin, Sessions  # noqa: E402
from trac_tickets import Tickets, ticket_csv  # noqa: E402

# The page that Trac sends with an error: the real one, with other words in it.
PAGE = (pathlib.Path(__file__).parent.parent / "testdata" / "trac-launchpad" /
        "67-wrong-content-type-form.response.http")
CAPTURED_TITLE = "Error: Bad Request"
CAPTURED_MESSAGE = "Missing or invalid form token. Do you have cookies enabled?"

TEXT = "text/plain;charset=utf-8"
XML = "text/xml;charset=utf-8"
HTML = "text/html;charset=utf-8"

SESSION_COOKIE_SECONDS = 90 * 86400

# Trac dates a cookie that is to be dropped this long ago (capture 03-xmlrpc-bogus-cookie).
DROPPED_SECONDS_AGO = 10000


class Tracker(Server):
    """The tracker: everything that outlives a request."""

    def __init__(self, options):
        self.base = options.base.rstrip("/")
        self.ledger = Ledger()
        self.clock = Clock(options.clock_offset)
        self.tickets = Tickets(options.tickets)
        self.sessions = Sessions(self.clock, options.cookie_lifetime)
        self.callback = Callback(options.callback_root, options.callback_timeout, self.ledger)
        self.plugin = Plugin(self.tickets, self.clock,
                             (options.timezone_name, options.timezone_offset), self.ledger)
        self.rules = Rules({"login": ANSWERS, "write": ANSWERS, "xmlrpc": ANSWERS, "other": ANSWERS,
                            "callback": CALLBACKS})
        self.page = read_page()
        super().__init__(("127.0.0.1", options.port), Exchange)

    def place(self, path):
        """The place of a path: what rules and the ledger know it by."""
        if path.startswith(self.base + "/launchpad-auth/"):
            return "login"
        return "xmlrpc" if path == self.base + "/xmlrpc" else "other"

class Exchange(peer_http.Exchange):
    """One connection, and one request after the other on it."""

    writes = re.compile(rb">\s*launchpad\.(add_comment|set_launchpad_bug)\s*<")

    def handle_request(self):
        """Takes one request, whatever its method."""
        self.path, _, self.query = self.path.partition("?")
        place = self.server.place(self.path)
        shown = self.server.base + "/launchpad-auth/{token}" if place == "login" else self.path
        self.server.ledger.requested(self.command, shown)
        if not self.take_body():
            return
        rule = self.rule(place)
        if rule is None:
            self.send(self.execute())
        else:
            ANSWERS.run(rule, self)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = handle_request

    def execute(self):
        """Does what an honest tracker does with this request, and returns its answer."""
        content_type = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if self.command == "POST" and content_type == "application/x-www-form-urlencoded":
            # Trac asks every form for a token before it looks at the path (capture 67).
            answer = self.page(400, CAPTURED_TITLE, CAPTURED_MESSAGE)
            answer.headers = [("X-XSS-Protection", "0")]
            return answer
        place = self.server.place(self.path)
        if place == "login":
            return self.log_in()
        if place == "xmlrpc":
            return self.call(content_type)
        ticket = re.fullmatch(re.escape(self.server.base) + r"/ticket/([0-9]+)", self.path)
        if ticket and "format=csv" in self.query.split("&"):
            return self.csv(ticket[1])
        return self.missing("Error: Not Found",
                            "No handler matched request to " + self.path[len(self.server.base):])

    def log_in(self):
        if self.command != "GET":
            return self.text(405, "Method not allowed\n",
                             before=[("Allow", "GET"), ("Connection", "close")])
        token = urllib.parse.unquote(self.path[len(self.server.base + "/launchpad-auth/"):])
        rule = self.server.rules.take("callback")
        if not self.server.callback.validate(token, self, rule):
            self.server.ledger.count("refused")
            return self.refusal()
        self.server.ledger.count("accepted")
        session = "trac_auth=%s; HttpOnly; Path=%s" % (
            self.server.sessions.begin(), self.cookie_path)
        return self.text(200, "OK\n", cookies=[session] + self.visitor_cookies())

    def call(self, content_type):
        # The captures do not show which refusal comes first where several apply.
        if self.command != "POST":
            return self.text(405, "Method not allowed\n", before=[("Allow", "POST")])
        if content_type != "text/xml":
            return self.text(415, "Send text/xml\n")
        if "Content-Length" not in self.headers:
            return self.text(411, "Length required\n", before=[("Connection", "close")])
        cookie = self.cookie("trac_auth")
        state = self.server.sessions.state(cookie) if cookie else None
        if state == "live":
            return self.document(self.server.plugin.answer(self.request_body))
        refusal = self.refusal()
        if state == "unknown":
            refusal.cookies = ['trac_auth=""; expires=%s; HttpOnly; Path=%s' % (
                self.date(-DROPPED_SECONDS_AGO), self.cookie_path)]
        return refusal

    def csv(self, reference):
        ticket = self.server.tickets.find(reference)
        if ticket is None:
            return self.missing("Error: Invalid ticket number",
                                "Ticket %s does not exist." % reference)
        name = "attachment; filename=t%d.csv" % ticket["id"]
        return Answer(200, "text/csv;charset=utf-8", ticket_csv(ticket), cached=True,
                      headers=[("Content-Disposition", name)], cookies=self.visitor_cookies())

    # Answers by their sort.

    def text(self, status, text, before=(), cookies=()):
        return Answer(status, TEXT, text.encode("utf-8"), before=before, cookies=cookies)

    def document(self, body):
        return Answer(200, XML, body)

    def refusal(self):
        """401 to a log-in, 403 to a call: no reason in it, and no WWW-Authenticate."""
        if self.server.place(self.path) == "login":
            return self.text(401, "Unauthorized\n")
        return self.text(403, "Log in first\n")

    def page(self, status, title, message):
        token = secrets.token_hex(12)
        body = self.server.page(self.server.base, token, title, message)
        return Answer(status, HTML, body.encode("utf-8"),
                      cookies=["trac_form_token=%s; HttpOnly; Path=%s" % (token, self.cookie_path)])

    def missing(self, title, message):
        answer = self.page(404, title, message)
        answer.cookies += self.visitor_cookies()
        return answer

    # Cookies and dates.

    @property
    def cookie_path(self):
        return self.server.base or "/"

    def cookie(self, name):
        try:
            cookies = http.cookies.SimpleCookie(self.headers.get("Cookie", ""))
        except http.cookies.CookieError:
            return None
        return cookies[name].value if name in cookies else None

    def visitor_cookies(self):
        """The cookie of Trac's own visitor session, which means nothing here."""
        if self.cookie("trac_session"):
            return []
        return ["trac_session=%s; expires=%s; HttpOnly; Path=%s" % (
            secrets.token_hex(12), self.date(SESSION_COOKIE_SECONDS), self.cookie_path)]

    # Sending.

    def send(self, answer):
        """Sends an answer as it should be sent: chunked, or to HTTP/1.0 until the end."""
        if self.request_version == "HTTP/1.0":
            answer.framing, body = "Connection: close", answer.body
        else:
            body = chunk(answer.body) + b"0\r\n\r\n"
        if self.request_version == "HTTP/1.0" or ("Connection", "close") in answer.before:
            self.close_connection = True
        self.write(self.head(answer) + (b"" if self.command == "HEAD" else body))
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            self.read_to_end()

    def head(self, answer):
        """The head of an answer, its headers in Trac's order."""
        reason = self.responses.get(answer.status, ("Unknown",))[0]
        lines = ["HTTP/1.1 %d %s" % (answer.status, reason),
                 "Server: tracd/1.6 Python/3.11.2", "Date: " + self.date()]
        lines += ["%s: %s" % header for header in answer.before]
        if not answer.cached:
            lines += ["Cache-Control: must-revalidate", "Expires: Fri, 01 Jan 1999 00:00:00 GMT"]
        lines.append("Content-Type: " + answer.content_type)
        lines += ["%s: %s" % header for header in answer.headers]
        lines += ["Set-Cookie: " + cookie for cookie in answer.cookies]
        lines.append(answer.framing or "Transfer-Encoding: chunked")
        return "\r\n".join(lines + ["", ""]).encode("latin-1")

def read_page():
    """Returns a function that fills Trac's page with other words: page(base, token, title,
    message)."""
    body = PAGE.read_bytes().partition(b"\r\n\r\n")[2]
    length, _, body = body.partition(b"\r\n")
    captured = body[:int(length, 16)].decode("utf-8")
    form_token = re.search(r'name="__FORM_TOKEN" type="hidden" value="([0-9a-f]+)"', captured)[1]

    def page(base, token, title, message):
        text = captured.replace(CAPTURED_TITLE, title)
        text = text.replace(CAPTURED_MESSAGE, html.escape(message))
        return text.replace(form_token, token).replace('"/lp/', '"%s/' % base)

    return page


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--callback-root", required=True, metavar="URL",
                        help="root of the gateway's callback URLs")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0: any (default)")
    parser.add_argument("--base", default="/lp", help="path of the tracker (default: %(default)s)")
    parser.add_argument("--callback-timeout", type=float, default=30, metavar="SECONDS")
    parser.add_argument("--cookie-lifetime", type=float, default=864000, metavar="SECONDS")
    parser.add_argument("--tickets", type=int, default=0, metavar="N",
                        help="add N generated tickets to the 25")
    parser.add_argument("--clock-offset", type=float, default=0, metavar="SECONDS",
                        help="how far the tracker's clock is ahead")
    parser.add_argument("--timezone-offset", type=int, default=3600, metavar="SECONDS")
    parser.add_argument("--timezone-name", default="CET")
    parser.add_argument("--exit-with-stdin", action="store_true",
                        help="end when standard input is closed")
    return parser.parse_args()


def main():
    options = arguments()
    serve(Tracker(options), Control, options.exit_with_stdin)


if __name__ == "__main__":
    main()
