"""An XML-RPC server made of Python's own xmlrpc.server, for tests of the client.

It listens on a free port of 127.0.0.1, prints its address as its first line, and ends with its
standard input.
"""

import os
import socketserver
import sys
import threading
import xmlrpc.client
import xmlrpc.server


class Handler(xmlrpc.server.SimpleXMLRPCRequestHandler):
    """Serves /RPC2 only, so that other paths are 404, and keeps connections."""

    protocol_version = "HTTP/1.1"
    rpc_paths = ("/RPC2",)
    # Answers from this length on are compressed for those who ask.
    encode_threshold = 1000

    request = threading.local()

    def do_POST(self):
        Handler.request.headers = self.headers
        Handler.request.cookie = None
        super().do_POST()

    def end_headers(self):
        cookie = getattr(Handler.request, "cookie", None)
        if cookie:
            self.send_header("Set-Cookie", cookie)
        super().end_headers()

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, xmlrpc.server.SimpleXMLRPCServer):
    daemon_threads = True


class Waiting:
    """A method that does not answer before it is told to."""

    def __init__(self):
        self._started = threading.Event()
        self._released = threading.Event()

    def slow(self):
        """Answers once release was called."""
        self._started.set()
        self._released.wait()
        return "released"

    def started(self):
        """Answers once a call of slow has begun."""
        self._started.wait()
        return True

    def release(self):
        """Ends every call of slow."""
        self._released.set()
        return True


def echo(value):
    """Returns its parameter."""
    return value


def describe(value):
    """Returns the type and the value of its parameter, as Python has them."""
    return "%s %r" % (type(value).__name__, value)


def count(*values):
    """Returns how many parameters it got."""
    return len(values)


def fail(code, text):
    """Answers with a fault."""
    raise xmlrpc.client.Fault(code, text)


def log_in():
    """Sets a cookie."""
    Handler.request.cookie = "session=secret-of-python; Path=/; HttpOnly"
    return True


def headers(name):
    """Returns a header of the request, or nil."""
    return Handler.request.headers.get(name)


def main():
    server = Server(("127.0.0.1", 0), Handler, allow_none=True, use_builtin_types=True)
    server.register_introspection_functions()
    server.register_multicall_functions()
    for function in (echo, describe, count, fail, log_in, headers):
        server.register_function(function)
    server.register_function(echo, "a.dotted.name:with/all_that.is_allowed")
    waiting = Waiting()
    for function in (waiting.slow, waiting.started, waiting.release):
        server.register_function(function)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("http://127.0.0.1:%d/RPC2" % server.server_address[1], flush=True)
    sys.stdin.read()
    # A connection that a test left open must not hold the process.
    os._exit(0)


if __name__ == "__main__":
    main()
