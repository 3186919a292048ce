"""Python's own XML-RPC server, one thread a connection: a yardstick for benchmarks.

Prints its address when it accepts, and ends when its standard input does.
"""

import os
import secrets
import socketserver
import sys
import threading
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer


class Handler(SimpleXMLRPCRequestHandler):
    """The standard handler, with connections that stay open."""

    protocol_version = "HTTP/1.1"
    rpc_paths = ("/bugs",)
    disable_nagle_algorithm = True


class Server(socketserver.ThreadingMixIn, SimpleXMLRPCServer):
    """The standard server, one thread a connection."""

    daemon_threads = True
    request_queue_size = 256


def main():
    server = Server(("127.0.0.1", 0), requestHandler=Handler, logRequests=False)
    server.register_function(lambda: secrets.token_hex(16), "newBugTrackerToken")
    print("%s:%d" % server.server_address, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
