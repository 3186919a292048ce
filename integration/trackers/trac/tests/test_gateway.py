"""Tests of the callback, against servers of this process that answer as a gateway, and worse."""

import http.server
import socket
import threading
import unittest

from trackgate_trac import gateway


class Server(http.server.ThreadingHTTPServer):
    """Answers every POST with one status, and keeps what came."""

    daemon_threads = True

    def __init__(self, status=200, headers=()):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.headers, self.requests = status, headers, []
        self.root = "http://127.0.0.1:%d" % self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.requests.append((self.command, self.path, self.headers.get("Content-Length")))
        self.send_response(self.server.status)
        for name, value in self.server.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        self.server.requests.append((self.command, self.path, None))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class CallbackTest(unittest.TestCase):
    def serve(self, **options):
        server = Server(**options)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def refusal(self, root, token="token", **options):
        with self.assertRaises(gateway.NotConfirmed) as caught:
            gateway.confirm(root, token, **options)
        return str(caught.exception)

    def test_200_confirms_and_the_post_is_empty(self):
        server = self.serve()
        gateway.confirm(server.root + "/for/gnome/", "aB3")
        self.assertEqual(server.requests, [("POST", "/for/gnome/token/aB3/+bugtracker-handshake", "0")])

    def test_any_other_status_refuses(self):
        for status in (201, 202, 204, 301, 400, 401, 403, 404, 405, 410, 429, 500, 503):
            with self.subTest(status):
                self.assertEqual(self.refusal(self.serve(status=status).root), "HTTP status %d" % status)

    def test_a_redirect_is_not_followed(self):
        other = self.serve()
        for status in (301, 302, 303, 307, 308):
            server = self.serve(status=status, headers=[("Location", other.root + "/")])
            self.assertEqual(self.refusal(server.root), "HTTP status %d" % status)
        self.assertEqual(other.requests, [])

    def test_a_token_stays_one_segment_of_the_path(self):
        server = self.serve()
        for token, segment in (("../good/../x", "..%2Fgood%2F..%2Fx"), ("a?b#c%d e", "a%3Fb%23c%25d%20e"),
                               ("tok+en=&é", "tok%2Ben%3D%26%C3%A9"), ("...", "..."), ("%2e%2e", "%252e%252e"),
                               ("a\r\nHost: x", "a%0D%0AHost%3A%20x")):
            with self.subTest(token):
                gateway.confirm(server.root, token)
                self.assertEqual(server.requests.pop()[1], "/token/%s/+bugtracker-handshake" % segment)

    def test_what_is_no_token_is_refused_without_asking(self):
        server = self.serve()
        for token in ("", ".", "..", "x" * 257, "é" * 129):
            with self.subTest(token[:3]):
                self.refusal(server.root, token)
        self.assertEqual(server.requests, [])

    def test_a_gateway_that_is_not_there_refuses(self):
        unused = socket.socket()
        self.addCleanup(unused.close)
        unused.bind(("127.0.0.1", 0))
        reason = self.refusal("http://127.0.0.1:%d" % unused.getsockname()[1], "s3cret")
        self.assertIn("could not be reached", reason)
        self.assertNotIn("s3cret", reason)

    def test_a_gateway_that_says_nothing_refuses_when_the_time_is_up(self):
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        reason = self.refusal("http://127.0.0.1:%d" % silent.getsockname()[1], timeout=0.05)
        self.assertRegex(reason, "within 0.05 seconds|TimeoutError")

    def test_a_gateway_that_hangs_up_refuses(self):
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)

        def hang_up():
            listening.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        self.assertIn("could not be reached", self.refusal("http://127.0.0.1:%d" % listening.getsockname()[1]))

    def test_proxies_of_the_environment_are_not_used(self):
        import os
        proxy, server = self.serve(), self.serve()
        os.environ["http_proxy"] = proxy.root
        self.addCleanup(os.environ.pop, "http_proxy")
        gateway.confirm(server.root, "token")
        self.assertEqual(proxy.requests, [])

    def test_a_root_that_is_none_refuses(self):
        for root in ("", None, "gate.example.org", "ftp://gate.example.org", "https://", "https://h:port",
                     "https://user:secret@gate.example.org", "https://gate.example.org/?x", "https://h/#f"):
            with self.subTest(root):
                reason = self.refusal(root)
                self.assertIn("not set up", reason)
                self.assertNotIn("secret", reason)


if __name__ == "__main__":
    unittest.main()
