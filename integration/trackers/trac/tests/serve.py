"""Serves the component on the stub of Trac, so that a gateway can talk to it.

The argument is the callback root. It listens on a free port of 127.0.0.1, prints its address as
its first line, and ends with its standard input.
"""

import http.cookies
import http.server
import os
import sys
import threading
import urllib.parse

from tests import tracstub

tracstub.install()

from trackgate_trac import plugin  # noqa: E402


class Handler(http.server.BaseHTTPRequestHandler):
    """One request after the other, as SQLite likes it."""

    def do_POST(self):
        cookies = http.cookies.SimpleCookie(self.headers.get("Cookie", ""))
        cookie = cookies["trac_auth"].value if "trac_auth" in cookies else None
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        req = tracstub.Request(self.server.env, self.command, path, body=body, headers=self.headers, cookie=cookie,
                               granted=("TICKET_VIEW", "TICKET_APPEND", "EMAIL_VIEW"))
        req.base_path = ""
        component = self.server.component
        if component.pre_process_request(req, component if component.match_request(req) else None) is component:
            try:
                component.process_request(req)
            except tracstub.RequestDone:
                pass
        self.send_response(req.status or 404)
        for name, morsel in req.outcookie.items():
            self.send_header("Set-Cookie", "%s=%s; HttpOnly; Path=%s" % (name, morsel.value, morsel["path"]))
        self.send_header("Content-Type", req.content_type or "text/plain")
        self.send_header("Content-Length", str(len(req.content or b"")))
        self.end_headers()
        self.wfile.write(req.content or b"")

    do_GET = do_POST

    def log_message(self, *args):
        pass


def serve(root, ready):
    env = tracstub.Environment()
    env.config.values["trackgate", "callback_root"] = root
    tracstub.fill(env)
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.env, server.component = env, plugin.TrackgateModule(env)
    ready("http://127.0.0.1:%d" % server.server_address[1])
    server.serve_forever()


if __name__ == "__main__":
    threading.Thread(target=serve, args=(sys.argv[1], lambda url: print(url, flush=True)), daemon=True).start()
    sys.stdin.read()
    os._exit(0)
