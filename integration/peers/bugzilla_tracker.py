#!/usr/bin/env python3
"""A Bugzilla peer: behaves as Bugzilla 5.2+ did in the captures of ../testdata/bugzilla and,
with --launchpad, as the one with the Launchpad extension in ../testdata/bugzilla-launchpad.
It keeps bugs in memory and misbehaves on demand.

    python3 bugzilla_tracker.py --launchpad --callback-root http://127.0.0.1:8085

prints one line of JSON once it accepts:

    {"url": "http://127.0.0.1:PORT", "control": "http://127.0.0.1:PORT"}

Call XML-RPC at {url}/xmlrpc.cgi. The control interface is described in bugzilla_control.py and
control.py, what can go wrong in misbehaviour.py and callback.py. Requests have
one of the places "login" (User.login, Launchpad.login), "write" (what changes bugs), "xmlrpc"
(other calls, and writes without a rule of their own) and "other".
"""

import argparse
import gzip
import http.cookies
import re
import secrets
import sys
import time

# The modules beside this script lie in a source tree that stays clean.
sys.dont_write_bytecode = True

import peer_http  # noqa: E402
from bugzilla_accounts import LETTERS  # noqa: E402
from bugzilla_callback import BugzillaCallback  # noqa: E402
from bugzilla_control import BugzillaControl, BugzillaLedger  # noqa: E402
from bugzilla_launchpad import LAUNCHPAD  # noqa: E402
from bugzilla_pages import captured_body, shutdown_page  # noqa: E402
from bugzilla_site import Shape, Site  # noqa: E402
from bugzilla_wire import CLIENT, Fault, client_fault, etag, parse_call, response  # noqa: E402
from bugzilla_wire import SOAP_LITE  # noqa: E402
from bugzilla_writing import BUG  # noqa: E402
from callback import CALLBACKS  # noqa: E402
from misbehaviour import ANSWERS, Rules, chunk  # noqa: E402
from peer_http import BODY_LIMIT, Answer, Clock, Server, serve  # noqa: E402

APACHE_HTML = "text/html; charset=iso-8859-1"
OPEN_TYPE = "text/xml"
REQUEST_COOKIE = "Bugzilla_login_request_cookie"

# How a CGI script's output is cut into chunks: the first one is shorter by the script's
# headers, which are longer when they set the request cookie (captures 195, 056).
FIRST_CHUNK = {True: 15667, False: 15776}
NEXT_CHUNK = 8000

SAFE = ["X-Content-Type-Options: nosniff", "X-Frame-Options: SAMEORIGIN",
        "X-Xss-Protection: 1; mode=block"]

# What a call is answered with while something of the site is broken: the body of a capture.
TROUBLES = {"database": "187-site-database-unreadable",
            "configuration": "188-site-broken-configuration"}


class Tracker(Server):
    """The server: everything that outlives a request."""

    def __init__(self, options):
        self.base = options.base.rstrip("/")
        self.ledger = BugzillaLedger()
        self.clock = Clock(options.clock_offset)
        self.rules = Rules({"login": ANSWERS, "write": ANSWERS, "xmlrpc": ANSWERS, "other": ANSWERS,
                            "callback": CALLBACKS})
        self.delay = options.delay
        shape = Shape(options.bugzilla_version, options.alias_string, options.comment_author,
                      options.local_time)
        self.site = Site(self.clock, self.ledger, shape, lambda root, timeout: BugzillaCallback(
            root, timeout, self.ledger, self.rules), options.bugs)
        self.site.namespaces.update(Bug=BUG, Launchpad=LAUNCHPAD)
        self.site.change(launchpad=options.launchpad, callback_root=options.callback_root,
                         callback_timeout=options.callback_timeout,
                         timezone=options.timezone, requirelogin=options.requirelogin)
        self.sessions = self.site.accounts
        super().__init__(("127.0.0.1", options.port), Exchange)

    @property
    def endpoint(self):
        return self.base + "/xmlrpc.cgi"


class BugzillaAnswer(Answer):
    """An answer of xmlrpc.cgi. `kind` says which headers it has: "call", "unchanged" (304),
    "apache" (Apache's own pages), "closed" or "empty". `compressed` is found out when it is sent
    as it should be."""

    def __init__(self, kind, status, content_type="", body=b"", cookies=()):
        super().__init__(status, content_type, body, cookies=cookies)
        self.kind = kind
        self.compressed = False
        self.etag = ""
        self.close = False


class Exchange(peer_http.Exchange):
    """One connection, and one request after the other on it."""

    writes = re.compile(rb">\s*(Bug\.(add_comment|create|update|update_see_also)"
                        rb"|Launchpad\.(add_comment|set_link))\s*<")

    def handle_request(self):
        self.path, _, self.query = self.path.partition("?")
        self.server.ledger.requested(self.command, self.path)
        self.request_body = self.read_body()
        place = self.place()
        rule = self.rule(place)
        self.server.ledger.begun()
        try:
            if self.server.delay and place != "other":
                time.sleep(self.server.delay)
            if rule is None:
                self.send(self.execute())
            else:
                ANSWERS.run(rule, self)
        finally:
            self.server.ledger.ended()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = handle_request

    def read_body(self):
        """The body, of a given length or in chunks (capture 136-http-chunked-request-body)."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(min(int(self.headers.get("Content-Length", 0)), BODY_LIMIT))
        body = b""
        while len(body) < BODY_LIMIT:
            length = int(self.rfile.readline().partition(b";")[0], 16)
            body += self.rfile.read(length)
            self.rfile.readline()
            if not length:
                break
        return body

    def place(self):
        if self.path != self.server.endpoint:
            return "other"
        login = re.search(rb"<methodName>\s*(User|Launchpad)\.login\s*<", self.request_body)
        return "login" if login else "xmlrpc"

    def execute(self):
        """Does what an honest Bugzilla does with this request, and returns its answer."""
        settings = self.server.site.settings
        if self.path != self.server.endpoint:
            return self.captured("135-http-wrong-path-404", 404)
        if settings.trouble == "script":
            return self.captured("189-site-script-fails-500", 500)
        if not self.request_body:
            answer = BugzillaAnswer("empty", 411)
            answer.close = True
            return answer
        if self.command != "POST":
            return BugzillaAnswer("empty", 405)
        if settings.shutdown:
            return self.closed()
        if settings.trouble in TROUBLES:
            return self.document(captured_body(TROUBLES[settings.trouble]))
        return self.call()

    def call(self):
        visit = None
        try:
            self.check_content_type()
            call = parse_call(self.request_body)
            result, visit = self.server.site.call(call, self, self.all_cookies())
        except Fault as fault:
            result = fault
        answer = self.document(response(result))
        answer.cookies = self.cookies_for(visit)
        answer.etag = etag(result)
        if self.headers.get("If-None-Match") == answer.etag:
            unchanged = BugzillaAnswer("unchanged", 304, cookies=answer.cookies)
            unchanged.etag = answer.etag
            return unchanged
        return answer

    def check_content_type(self):
        """Only text/xml is taken (captures 126 to 131)."""
        given = self.headers.get("Content-Type")
        if given is None:
            raise client_fault("32612: When using XML-RPC, you cannot send data as . Allowed "
                               "content types are text/xml, application/xml. at "
                               + SOAP_LITE % 2855)
        plain = given.partition(";")[0].strip()
        if plain.lower() != OPEN_TYPE:
            raise Fault(CLIENT, "Content-Type must be 'text/xml,' 'multipart/*,' "
                                "'application/soap+xml,' 'or 'application/dime' instead of '%s'"
                        % plain)

    def all_cookies(self):
        try:
            jar = http.cookies.SimpleCookie(self.headers.get("Cookie", ""))
        except http.cookies.CookieError:
            return {}
        return {name: morsel.value for name, morsel in jar.items()}

    def cookies_for(self, visit):
        """What the answer sets: the request cookie for whoever has no session and does not
        have it yet (captures 001-bugzilla.version-ok, 140-bug.get-for-etag)."""
        if visit is not None and (visit.user is not None or visit.cleared):
            return visit.cookies
        return self.request_cookie()

    def request_cookie(self):
        if REQUEST_COOKIE in self.all_cookies():
            return []
        value = "".join(secrets.choice(LETTERS) for _ in range(10))
        return ["%s=%s; path=/; HttpOnly" % (REQUEST_COOKIE, value)]

    # Answers by their sort. `text`, `page`, `document` and `refusal` are what the misbehaviours
    # make their answers of.

    def document(self, body):
        return BugzillaAnswer("call", 200, OPEN_TYPE, body, self.request_cookie())

    def captured(self, name, status):
        """One of Apache's own pages."""
        answer = BugzillaAnswer("apache", status, APACHE_HTML, captured_body(name))
        answer.close = status == 500
        return answer

    def closed(self):
        answer = BugzillaAnswer("closed", 503, "text/html; charset=UTF-8",
                                shutdown_page(self.request_body), self.request_cookie())
        answer.close = True
        return answer

    def text(self, status, text, before=(), cookies=()):
        answer = BugzillaAnswer("apache", status, "text/plain", text.encode("utf-8"), cookies)
        answer.before = list(before)
        return answer

    def page(self, status, _title, _message):
        if status == 500:
            return self.captured("189-site-script-fails-500", 500)
        return BugzillaAnswer("apache", status, "text/html; charset=UTF-8",
                              b"<!DOCTYPE html>\n<html lang=\"en\"><head><title>Bugzilla Main Page"
                              b"</title></head>\n<body><h1>Welcome</h1></body></html>\n")

    def refusal(self):
        """A log-in, or a call, that is refused whatever it shows."""
        if self.place() == "login":
            return self.document(response(Fault(
                300, "The login or password you entered is not valid.")))
        return self.document(response(Fault(
            410, "You must log in before using this part of Bugzilla.")))

    # Sending.

    def send(self, answer):
        self.close_connection = self.close_connection or answer.close \
            or self.request_version == "HTTP/1.0"
        if answer.kind == "call":
            answer.compressed = "gzip" in self.headers.get("Accept-Encoding", "")
        head = self.head(answer)
        if self.command == "HEAD" or answer.status == 304:
            self.write(head)
        elif "chunked" in answer.framing:
            self.write(head + self.chunks(answer))
        else:
            self.write(head + self.packed(answer))

    def packed(self, answer):
        return gzip.compress(answer.body) if answer.compressed else answer.body

    def chunks(self, answer):
        first = NEXT_CHUNK
        if answer.kind == "call":
            first = FIRST_CHUNK[any(REQUEST_COOKIE in cookie for cookie in answer.cookies)]
        cuts = [0, *range(first, len(answer.body), NEXT_CHUNK), len(answer.body)]
        return b"".join(chunk(answer.body[a:b]) for a, b in zip(cuts, cuts[1:])) + b"0\r\n\r\n"

    def head(self, answer):
        """The head of an answer, in the order in which Apache and Bugzilla write it."""
        reason = self.responses.get(answer.status, ("Unknown",))[0]
        lines = ["HTTP/1.1 %d %s" % (answer.status, reason), "Date: " + self.date(),
                 "Server: Apache/2.4.71 (Debian)"]
        lines += ["%s: %s" % header for header in answer.before]
        if answer.kind in ("call", "unchanged"):
            lines += ["SOAPServer: SOAP::Lite/Perl/1.27"] + SAFE
        elif answer.kind == "closed":
            lines += ["Retry-after: 3600"] + [
                "X-" + name.lower() + ":" + value for name, _, value in
                (line[2:].partition(":") for line in SAFE)]
        lines += ["Set-Cookie: " + cookie for cookie in answer.cookies]
        if answer.kind in ("call", "unchanged"):
            lines.append("ETag: " + (answer.etag or etag(answer.body)))
        if answer.kind == "call":
            lines.append("Vary: Accept-Encoding")
        lines += ["%s: %s" % header for header in answer.headers]
        lines += self.framing(answer)
        if answer.content_type:
            lines.append("Content-Type: " + answer.content_type)
        return "\r\n".join(lines + ["", ""]).encode("latin-1")

    def framing(self, answer):
        """The header lines that say where the body ends, and answer.framing itself, which a
        misbehaviour may have set before."""
        lines = []
        if answer.compressed and not answer.framing:
            lines.append("Content-Encoding: gzip")
            answer.framing = "Content-Length: %d" % len(self.packed(answer))
        if answer.framing is None:
            if answer.kind == "apache":
                answer.framing = "Content-Length: %d" % len(answer.body)
            elif self.request_version == "HTTP/1.0":
                answer.framing = "Connection: close"
            else:
                answer.framing = "Transfer-Encoding: chunked"
        if answer.status == 304:
            return lines
        if answer.kind == "apache":
            return [answer.framing] + ["Connection: close"] * answer.close
        lines += ["Connection: close"] * answer.close
        if self.command != "HEAD":
            lines.append(answer.framing)
        return lines


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0: any (default)")
    parser.add_argument("--base", default="", help="path of the tracker (default: none)")
    parser.add_argument("--bugs", type=int, default=0, metavar="N",
                        help="add N generated bugs to the 25")
    parser.add_argument("--delay", type=float, default=0, metavar="SECONDS",
                        help="how long every answer to a call takes")
    parser.add_argument("--clock-offset", type=float, default=0, metavar="SECONDS",
                        help="how far the tracker's clock is ahead")
    parser.add_argument("--timezone", type=int, default=0, metavar="MINUTES",
                        help="how far the server's local time is ahead of UTC")
    parser.add_argument("--requirelogin", action="store_true", help="demand a log-in for all calls")
    parser.add_argument("--launchpad", action="store_true", help="with the Launchpad extension")
    parser.add_argument("--callback-root", default="", metavar="URL",
                        help="root of the gateway's callback URLs")
    parser.add_argument("--callback-timeout", type=float, default=30, metavar="SECONDS")
    parser.add_argument("--bugzilla-version", default="5.2+", metavar="VERSION")
    parser.add_argument("--alias-string", action="store_true",
                        help="alias is a string, as in old versions")
    parser.add_argument("--comment-author", action="store_true",
                        help="a comment has author in place of creator, as before 4.0")
    parser.add_argument("--local-time", action="store_true",
                        help="Bugzilla.time is local time, as before 5.1.1")
    parser.add_argument("--exit-with-stdin", action="store_true",
                        help="end when standard input is closed")
    return parser.parse_args()


def main():
    options = arguments()
    serve(Tracker(options), BugzillaControl, options.exit_with_stdin)


if __name__ == "__main__":
    main()
