"""Tests of the component, on the stub of Trac beside this file."""

import time
import unittest
import xmlrpc.client
from unittest import mock

from tests import tracstub

tracstub.install()

from trackgate_trac import gateway, plugin  # noqa: E402

EVERYTHING = ("TICKET_VIEW", "TICKET_APPEND", "EMAIL_VIEW")
EARLY, LATE = tracstub.EARLY, tracstub.LATE


class PluginTest(unittest.TestCase):
    def setUp(self):
        self.env = tracstub.Environment()
        self.env.config.values["trackgate", "account"] = "gate"
        self.plugin = plugin.TrackgateModule(self.env)
        tracstub.fill(self.env)

    def request(self, method, path, **options):
        req = tracstub.Request(self.env, method, path, **options)
        handler = self.plugin.pre_process_request(req, self.plugin if self.plugin.match_request(req) else None)
        self.assertIs(handler, self.plugin)
        with self.assertRaises(tracstub.RequestDone):
            self.plugin.process_request(req)
        return req

    def log_in(self, token="good"):
        with mock.patch.object(gateway, "confirm") as confirm:
            req = self.request("GET", "/launchpad-auth/" + token)
        self.assertEqual(confirm.call_args[0][1], token)
        self.assertEqual((req.status, req.content), (200, b"OK\n"))
        return req.outcookie["trac_auth"].value

    def post(self, body, **options):
        options.setdefault("granted", EVERYTHING)
        return self.request("POST", "/xmlrpc", body=body, **options)

    def call(self, name, *params, **options):
        options.setdefault("cookie", self.log_in())
        req = self.post(xmlrpc.client.dumps(params, "launchpad." + name).encode(), **options)
        self.assertEqual((req.status, req.content_type), (200, "text/xml"))
        (value,), _ = xmlrpc.client.loads(req.content)
        return value

    def refuse(self, code, name, *params, **options):
        with self.assertRaises(xmlrpc.client.Fault) as caught:
            self.call(name, *params, **options)
        self.assertEqual(caught.exception.faultCode, code, caught.exception.faultString)

    # Log-in

    def test_a_refused_token_is_401_without_a_reason_or_a_cookie(self):
        for path in ("/launchpad-auth/check", "/launchpad-auth/", "/launchpad-auth", "/launchpad-auth/../x"):
            with mock.patch.object(gateway, "confirm", side_effect=gateway.NotConfirmed("HTTP status 410")):
                req = self.request("GET", path)
            self.assertEqual((req.status, req.content, dict(req.outcookie)), (401, b"Unauthorized\n", {}))
        self.assertEqual(self.env.db_query("SELECT * FROM auth_cookie"), [])
        self.assertIn("trackgate: log-in refused: HTTP status 410", self.env.log)

    def test_without_a_callback_root_nobody_logs_in(self):
        self.assertEqual(self.request("GET", "/launchpad-auth/token").status, 401)
        self.assertNotIn("token", "".join(self.env.log).replace("trackgate", ""))

    def test_the_cookie_is_like_the_one_of_tracs_own_log_in(self):
        self.env.secure_cookies = True
        with mock.patch.object(gateway, "confirm"):
            morsel = self.request("GET", "/launchpad-auth/good").outcookie["trac_auth"]
        self.assertRegex(morsel.value, "^[0-9a-f]{32}$")
        self.assertEqual(dict(morsel), {"path": "/lp", "httponly": True, "secure": True})

    def test_only_get_logs_in_and_no_browser(self):
        with mock.patch.object(gateway, "confirm") as confirm:
            req = self.request("POST", "/launchpad-auth/good", body=b"x")
            self.assertEqual((req.status, req.sent_headers), (405, {"Allow": "GET"}))
            for name in ("Origin", "Sec-Fetch-Site"):
                self.assertEqual(self.request("GET", "/launchpad-auth/good", headers={name: "x"}).status, 401)
        confirm.assert_not_called()

    # Sessions

    def test_without_a_live_session_a_call_is_403(self):
        body = xmlrpc.client.dumps((), "launchpad.time_snapshot").encode()
        stale, live = self.log_in("a"), self.log_in("b")
        with self.env.db_transaction as db:
            db("UPDATE auth_cookie SET time=%s WHERE cookie=%s", (int(time.time()) - 86401, stale))
            db("INSERT INTO auth_cookie VALUES ('of-bob', 'bob', '127.0.0.1', %s)", (int(time.time()),))
        for cookie in (None, "bogus", stale, "of-bob"):
            req = self.post(body, cookie=cookie)
            self.assertEqual((req.status, req.content), (403, b"Log in first\n"), cookie)
        self.assertEqual(self.post(body, cookie=live, headers={"Origin": "https://evil.example"}).status, 403)
        self.assertEqual(self.post(body, cookie=live).status, 200)

    def test_requests_that_are_no_calls(self):
        cookie, body = self.log_in(), xmlrpc.client.dumps((), "launchpad.time_snapshot").encode()
        self.assertEqual(self.request("GET", "/xmlrpc").status, 405)
        for kind in ("application/json", "text/plain", ""):
            self.assertEqual(self.post(body, cookie=cookie, headers={"Content-Type": kind}).status, 415)
        for length in ("", "x", "-1", str(2 << 20)):
            self.assertEqual(self.post(body, cookie=cookie, headers={"Content-Length": length}).status, 413)
        self.assertEqual(self.post(b"{}", cookie=cookie, headers={"Content-Type": "text/xml; charset=utf-8"}).status, 200)

    def test_the_xml_rpc_plugin_keeps_its_own_calls(self):
        class Other:
            def match_request(self, req):
                return req.path_info == "/xmlrpc"

        other = Other()
        self.env.components.append(other)
        for handler in (other, self.plugin):
            for name, want in (("ticket.get", other), ("launchpad.time_snapshot", self.plugin)):
                body = xmlrpc.client.dumps((), name).encode()
                req = tracstub.Request(self.env, "POST", "/xmlrpc", body=body)
                self.assertIs(self.plugin.pre_process_request(req, handler), want)
                self.assertEqual(req.environ["wsgi.input"].read(), body)

    # Methods

    def test_versions_and_time(self):
        self.assertEqual(self.call("bugtracker_version"), ["1.6", "1.0", False])
        zone, local, utc = self.call("time_snapshot")
        self.assertEqual((zone in time.tzname, local - utc), (True, time.localtime(utc).tm_gmtoff))

    def test_bugs_of_every_level(self):
        started, bugs = self.call("bug_info", 0, {"bugs": ["16", 2, "2", 1]})
        self.assertEqual(bugs, [{"id": "1"}, {"id": "2"}, {"id": "16"}])
        self.assertLess(abs(started - time.time()), 60)
        bug = self.call("bug_info", 1, {"bugs": ["2"]})[1][0]
        self.assertEqual(bug, {"id": "2", "status": "closed", "resolution": "fixed", "priority": "", "severity": "",
                               "component": "", "assignee": "bob", "summary": "Ticket 2", "timestamp": EARLY,
                               "last_modified": LATE})
        ids = [bug["comments"] for bug in self.call("bug_info", 2, {})[1]]
        self.assertEqual(ids, [[], ["2-1", "2-2"], ["16-2"]])
        self.assertEqual(self.call("bug_info", 3, {"bugs": [16]})[1][0]["comments"], [
            {"id": "16-2", "type": "comment", "user": "bob@example.org", "comment": "Text", "timestamp": EARLY + 2}])

    def test_missing_bugs_come_last_even_among_the_modified(self):
        missing = [{"id": sent, "status": "missing"} for sent in ("999", "nonsense", "-1")]
        wanted = ["nonsense", 999, 1, "-1", 2]
        self.assertEqual(self.call("bug_info", 0, {"bugs": wanted})[1], [{"id": "1"}, {"id": "2"}] + missing)
        modified = self.call("bug_info", 0, {"bugs": wanted, "modified_since": EARLY + 1})[1]
        self.assertEqual(modified, [{"id": "2"}] + missing)

    def test_modified_since_is_inclusive(self):
        ids = [[bug["id"] for bug in self.call("bug_info", 0, {"modified_since": since})[1]]
               for since in (EARLY, LATE, LATE + 1)]
        self.assertEqual(ids, [["1", "2", "16"], ["2"], []])

    def test_comments_found_come_first(self):
        found = self.call("get_comments", ["2-99", "2-2", "16-1", "nonsense", "2-1", "2-1"])[1]
        self.assertEqual([(c["id"], c["type"], c.get("user"), c.get("comment")) for c in found], [
            ("2-2", "comment", "Eve <eve@example.net>", "Second"), ("2-1", "comment", "bob@example.org", "First"),
            ("2-99", "missing", None, None), ("16-1", "missing", None, None), ("nonsense", "missing", None, None)])

    def test_addresses_are_shown_to_those_who_may_see_them(self):
        found = self.call("get_comments", ["2-1", "2-2"], granted=("TICKET_VIEW",))[1]
        self.assertEqual([comment["user"] for comment in found], ["bob", "Eve"])

    def test_a_comment_is_written_and_announced(self):
        _, first = self.call("add_comment", "1", "Größe <&> \U0001f41b\n")
        _, second = self.call("add_comment", 1, "Again")
        self.assertEqual((first, second), ("1-1", "1-2"))
        comment = self.call("get_comments", [first])[1][0]
        self.assertEqual((comment["user"], comment["comment"]), ("gate", "Größe <&> \U0001f41b\n"))
        self.assertEqual([event[0] for event in self.env.notified], ["changed", "changed"])

    def test_comments_that_cannot_be_written(self):
        self.env.config.values["ticket", "max_comment_size"] = 10
        self.refuse(1001, "add_comment", "999", "x")
        self.refuse(-32602, "add_comment", "1", " \n")
        self.refuse(-32602, "add_comment", "1", "x" * 11)
        self.refuse(403, "add_comment", "1", "x", granted=("TICKET_VIEW",))

    def test_links(self):
        self.assertEqual(self.call("get_launchpad_bug", 1)[1], 0)
        for linked, want in ((501, 501), ("502", 502), (0, 0), (0, 0)):
            self.assertEqual(len(self.call("set_launchpad_bug", "1", linked)), 1)
            self.assertEqual(self.call("get_launchpad_bug", "1")[1], want)
        self.refuse(1001, "get_launchpad_bug", "999")
        self.refuse(1001, "set_launchpad_bug", "999", 1)
        self.refuse(-32602, "set_launchpad_bug", "1", "abc")
        self.refuse(403, "set_launchpad_bug", "1", 1, granted=("TICKET_VIEW",))

    def test_hidden_tickets_are_missing(self):
        options = {"granted": EVERYTHING, "hidden": (2,)}
        self.assertEqual(self.call("bug_info", 0, {"bugs": [1, 2]}, **options)[1],
                         [{"id": "1"}, {"id": "2", "status": "missing"}])
        self.assertEqual(self.call("bug_info", 0, {}, **options)[1], [{"id": "1"}, {"id": "16"}])
        self.assertEqual(self.call("get_comments", ["2-1"], **options)[1], [{"id": "2-1", "type": "missing"}])
        self.refuse(1001, "add_comment", 2, "x", **options)
        self.refuse(403, "bug_info", 0, {}, granted=())

    def test_faults(self):
        self.refuse(-32601, "no_such")
        self.refuse(-32602, "bug_info")
        self.refuse(-32602, "bug_info", 4, {})
        self.refuse(-32602, "get_comments", "2-1")
        with mock.patch.object(plugin.TrackgateModule, "time_snapshot", side_effect=RuntimeError("secret")):
            self.refuse(-32603, "time_snapshot")
        with self.assertRaises(xmlrpc.client.Fault) as caught:
            xmlrpc.client.loads(self.post(xmlrpc.client.dumps((), "ticket.get").encode(), cookie=self.log_in()).content)
        self.assertEqual(caught.exception.faultCode, -32601)


if __name__ == "__main__":
    unittest.main()
