#!/usr/bin/env python3
"""A peer that is any XML-RPC server: Python's own dispatcher with introspection, a few methods,
and the misbehaviours of the tracker peers.

    python3 generic_server.py --user gateway --password secret

prints one line of JSON once it accepts:

    {"url": "http://127.0.0.1:PORT/RPC2", "control": "http://127.0.0.1:PORT"}

Call XML-RPC at {url} itself. With --user or --token whoever does not bring them gets a 401. The
control interface is described in control.py, what it can make go wrong in
misbehaviour.py. Requests have one of the places "write" (sample.keep), "xmlrpc" (POST at the url) and "other".

    POST /expire {"kind": "expired"}   the next call is refused once
                 {"kind": "purged"}    what was good is refused from now on
"""

import argparse
import base64
import hmac
import re
import sys
import threading
import time
import xmlrpc.client
import xmlrpc.server

# The modules beside this script lie in a source tree that stays clean.
sys.dont_write_bytecode = True

import peer_http  # noqa: E402
from control import Control, Ledger  # noqa: E402
from misbehaviour import ANSWERS, Rules  # noqa: E402
from peer_http import Answer, Clock, serve  # noqa: E402

XML = "text/xml"


class Door:
    """What callers have to bring."""

    def __init__(self, authorization):
        self._lock = threading.Lock()
        self._authorization = authorization
        self._refuse_once = False

    def lets_in(self, authorization):
        with self._lock:
            if self._refuse_once:
                self._refuse_once = False
                return False
            return self._authorization is None or hmac.compare_digest(
                self._authorization.encode(), authorization.encode())

    def end_all(self, kind):
        with self._lock:
            if kind == "expired":
                self._refuse_once = True
            else:
                self._authorization = "nobody has this"


class Methods:
    """The methods under "sample.": what they do matters less than what they are sent."""

    def __init__(self, ledger):
        self._ledger = ledger
        self._lock = threading.Lock()
        self._kept = []

    def echo(self, *values):
        """Returns its parameters."""
        return list(values)

    def add(self, a, b):
        """Adds two numbers."""
        return a + b

    def keep(self, text):
        """Keeps a text and returns how many there are: a call that must not be made twice."""
        with self._lock:
            self._kept.append(text)
            self._ledger.comment_written("", str(len(self._kept)), text)
            return len(self._kept)

    def kept(self):
        """Returns what was kept."""
        with self._lock:
            return list(self._kept)

    def fail(self, code, text):
        """Answers with a fault."""
        raise xmlrpc.client.Fault(code, text)

    def login(self, user, _password):
        """Logs in, as far as anybody knows."""
        return "session of " + user


class Dispatcher(xmlrpc.server.SimpleXMLRPCDispatcher):
    """Python's own, which tells the ledger of each call."""

    def __init__(self, ledger):
        super().__init__(allow_none=True)
        self._ledger = ledger
        methods = Methods(ledger)
        for name in ("echo", "add", "keep", "kept", "fail", "login"):
            self.register_function(getattr(methods, name), "sample." + name)
        self.register_introspection_functions()
        self.register_multicall_functions()

    def _dispatch(self, method, params):
        self._ledger.called(method)
        return super()._dispatch(method, params)


class Server(peer_http.Server):
    """The server: everything that outlives a request."""

    def __init__(self, options):
        self.base = options.path
        self.delay = options.delay
        self.ledger = Ledger()
        self.clock = Clock(options.clock_offset)
        self.sessions = Door(authorization(options))
        self.dispatcher = Dispatcher(self.ledger)
        self.rules = Rules({"write": ANSWERS, "xmlrpc": ANSWERS, "other": ANSWERS})
        super().__init__(("127.0.0.1", options.port), Exchange)


def authorization(options):
    """The header that callers have to send, None when everybody may call."""
    if options.token:
        return "Bearer " + options.token
    if options.user:
        pair = "%s:%s" % (options.user, options.password)
        return "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")
    return None


class Exchange(peer_http.Exchange):
    """One connection, and one request after the other on it."""

    writes = re.compile(rb">\s*sample\.keep\s*<")

    def handle_request(self):
        self.path, _, self.query = self.path.partition("?")
        self.server.ledger.requested(self.command, self.path)
        if not self.take_body():
            return
        at_home = self.command == "POST" and self.path == (self.server.base or "/")
        rule = self.rule("xmlrpc" if at_home else "other")
        if rule is not None:
            ANSWERS.run(rule, self)
        elif at_home:
            time.sleep(self.server.delay)
            self.send(self.execute())
        else:
            self.send(self.text(404, "There is nothing here\n"))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = handle_request

    def execute(self):
        """Does what an honest server does with this request, and returns its answer."""
        if not self.server.sessions.lets_in(self.headers.get("Authorization", "")):
            return self.refusal()
        self.server.ledger.count("accepted")
        return self.document(self.server.dispatcher._marshaled_dispatch(self.request_body))

    def document(self, body):
        return Answer(200, XML, body)

    def text(self, status, text, before=(), cookies=()):
        return Answer(status, "text/plain; charset=utf-8", text.encode("utf-8"), before=before)

    def page(self, status, title, message):
        return Answer(status, "text/html; charset=utf-8", (
            "<!DOCTYPE html>\n<html><head><title>%s</title></head><body><p>%s</p></body></html>\n"
            % (title, message)).encode("utf-8"))

    def refusal(self):
        self.server.ledger.count("refused")
        return self.text(401, "Unauthorized\n", before=[("WWW-Authenticate", 'Basic realm="sample"')])

    def send(self, answer):
        if self.request_version == "HTTP/1.0":
            self.close_connection = True
        if answer.framing is None:
            answer.framing = "Content-Length: %d" % len(answer.body)
        self.write(self.head(answer) + (b"" if self.command == "HEAD" else answer.body))

    def head(self, answer):
        reason = self.responses.get(answer.status, ("Unknown",))[0]
        lines = ["HTTP/1.1 %d %s" % (answer.status, reason), "Server: sample",
                 "Date: " + self.date(), "Content-Type: " + answer.content_type]
        lines += ["%s: %s" % header for header in list(answer.before) + list(answer.headers)]
        lines.append(answer.framing or "Transfer-Encoding: chunked")
        return "\r\n".join(lines + ["", ""]).encode("latin-1")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0: any (default)")
    parser.add_argument("--path", default="/RPC2", help="path of the server (default: %(default)s)")
    parser.add_argument("--user", help="let in only who brings this user and the password")
    parser.add_argument("--password", default="")
    parser.add_argument("--token", help="let in only who brings this bearer token")
    parser.add_argument("--delay", type=float, default=0, metavar="SECONDS",
                        help="how long every answer to a call takes")
    parser.add_argument("--clock-offset", type=float, default=0, metavar="SECONDS",
                        help="how far the server's clock is ahead")
    parser.add_argument("--exit-with-stdin", action="store_true",
                        help="end when standard input is closed")
    return parser.parse_args()


def main():
    options = arguments()
    serve(Server(options), Control, options.exit_with_stdin)


if __name__ == "__main__":
    main()
