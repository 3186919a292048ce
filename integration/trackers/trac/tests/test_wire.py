"""Tests of what calls and answers look like."""

import unittest
import xmlrpc.client

from trackgate_trac import wire


def call(name, *params):
    return xmlrpc.client.dumps(params, name).encode()


class ParseTest(unittest.TestCase):
    def refuse(self, code, function, *args):
        with self.assertRaises(wire.Fault) as caught:
            function(*args)
        self.assertEqual(caught.exception.faultCode, code, caught.exception.faultString)

    def test_a_call_is_read(self):
        body = call("launchpad.bug_info", 1, {"bugs": ["1", 2]})
        self.assertEqual(wire.parse(body), ("launchpad.bug_info", (1, {"bugs": ["1", 2]})))

    def test_what_is_no_call_is_refused(self):
        bomb = b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><methodCall><methodName>&a;</methodName></methodCall>"
        for body in (b"", b"{}", b"<methodCall><methodName>x</methodName>", bomb,
                     bomb.decode().encode("utf-16"), xmlrpc.client.dumps((1,), methodresponse=True).encode(),
                     b"<methodCall><methodName>x</methodName><params><param><value><int>one</int></value>"
                     b"</param></params></methodCall>"):
            with self.subTest(body[:40]):
                self.refuse(wire.NOT_WELL_FORMED, wire.parse, body)

    def test_the_namespace_is_seen_in_the_body(self):
        self.assertTrue(wire.is_for_gateway(call("launchpad.time_snapshot")))
        self.assertTrue(wire.is_for_gateway(b"<methodName>\n launchpad.x</methodName>"))
        self.assertFalse(wire.is_for_gateway(call("ticket.get", 1)))
        self.assertFalse(wire.is_for_gateway(call("ticket.create", "launchpad.x")))

    def test_answers_carry_any_text(self):
        text = u"a\x1b\x00\ud800\ufffe<&]]>\r\n\u65e5\U0001f41b"
        (value,), _ = xmlrpc.client.loads(wire.answer([1, {"t": text}, [text], True]))
        clean = u"a\ufffd\ufffd\ufffd\ufffd<&]]>\n\u65e5\U0001f41b"
        self.assertEqual(value, [1, {"t": clean}, [clean], True])

    def test_faults_carry_code_and_text(self):
        with self.assertRaises(xmlrpc.client.Fault) as caught:
            xmlrpc.client.loads(wire.fault(wire.Fault(1001, u"\x1b<&")))
        self.assertEqual((caught.exception.faultCode, caught.exception.faultString), (1001, u"\ufffd<&"))

    def test_criteria(self):
        for level, criteria, want in (
            (0, {}, (0, None, [], None)),
            (3, {"bugs": []}, (3, [], [], None)),
            (2, {"bugs": ["1", 999, "007", 7, "nonsense", "-1", "9" * 20, "", "", True], "modified_since": 5},
             (2, [1, 999, 7], ["nonsense", "-1", "9" * 20, "", "True"], 5)),
            (1, {"modified_since": 1.5}, (1, None, [], 1.5)),
        ):
            with self.subTest(criteria):
                self.assertEqual(wire.read_criteria(level, criteria), want)
        for level, criteria in ((4, {}), (-1, {}), ("1", {}), (True, {}), (1, []), (1, None), (1, {"bugs": "1"}),
                                (1, {"bugs": {}}), (1, {"modified_since": "now"}), (1, {"modified_since": True}),
                                (1, {"modified_since": -1}), (1, {"modified_since": 1e30}),
                                (1, {"modified_since": float("nan")})):
            with self.subTest((level, criteria)):
                self.refuse(wire.INVALID_PARAMS, wire.read_criteria, level, criteria)

    def test_links(self):
        self.assertEqual([wire.link(sent) for sent in (0, "0", 5, "5", 2 ** 31 - 1)], [0, 0, 5, 5, 2 ** 31 - 1])
        for sent in (-1, "abc", "", None, 2 ** 31, 1.5, True, False, [], "lp:5"):
            with self.subTest(sent):
                self.refuse(wire.INVALID_PARAMS, wire.link, sent)

    def test_comment_ids_and_numbers(self):
        self.assertEqual(wire.parse_comment_id("12-3"), (12, 3))
        for sent in ("12", "12-", "-3", "a-b", "1-2-3", 12, None, ["1-2"], "1-2\n", "0-1", "1-0", "2147483648-1"):
            self.assertIsNone(wire.parse_comment_id(sent), sent)
        numbers = [wire.comment_number(old) for old in ("3", "1.3", "", None, "x", "1.x")]
        self.assertEqual(numbers, [3, 3, None, None, None, None])

    def test_levels(self):
        row = {"id": 7, "status": "closed", "resolution": "fixed", "priority": None, "severity": None,
               "component": "core", "owner": "bob", "summary": "S", "time": 1710061200999999,
               "changetime": 1710061201000000}
        comments = [wire.comment(7, 2, "bob", "Hello", 1710061201500000)]
        self.assertEqual(wire.bug(row, 0, comments), {"id": "7"})
        metadata = {"id": "7", "status": "closed", "resolution": "fixed", "priority": "", "severity": "",
                    "component": "core", "assignee": "bob", "summary": "S", "timestamp": 1710061200,
                    "last_modified": 1710061201}
        self.assertEqual(wire.bug(row, 1, comments), metadata)
        self.assertEqual(wire.bug(row, 2, comments), dict(metadata, comments=["7-2"]))
        full = {"id": "7-2", "type": "comment", "user": "bob", "comment": "Hello", "timestamp": 1710061201}
        self.assertEqual(wire.bug(row, 3, comments), dict(metadata, comments=[full]))

    def test_users(self):
        for author, name, address, shown, hidden in (
            ("bob", None, "bob@example.org", "bob@example.org", "bob"),
            ("alice", "Alice Å", "alice@example.com", "Alice Å <alice@example.com>", "alice"),
            ("carol", "Carol", None, "carol", "carol"),
            ("Dave <dave@example.net>", None, None, "Dave <dave@example.net>", "Dave"),
            ("<dave@example.net>", None, None, "<dave@example.net>", "anonymous"),
            ("eve@example.net", None, None, "eve@example.net", "eve"),
            ("", None, None, "anonymous", "anonymous"),
            (None, None, None, "anonymous", "anonymous"),
        ):
            with self.subTest(author):
                self.assertEqual(wire.format_user(author, name, address, True), shown)
                self.assertEqual(wire.format_user(author, name, address, False), hidden)

    def test_batches_fit_a_statement(self):
        self.assertEqual([len(some) for some in wire.batches(range(1200))], [500, 500, 200])
        self.assertEqual(list(wire.batches([])), [])


if __name__ == "__main__":
    unittest.main()
