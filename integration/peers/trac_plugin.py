"""The Launchpad plugin: its sessions and its launchpad.* methods.

Where the captures show nothing, the choice is named in a comment.
"""

import re
import secrets
import threading
import xmlrpc.client
from xml.parsers import expat

from trac_tickets import comment_id

NO_SUCH_TICKET = 1001
NO_SUCH_METHOD = -32601
BAD_ARGUMENTS = -32602
NOT_A_CALL = -32700

TRAC_VERSION = "1.6"
API_VERSION = "1.0"

# The user that the gateway is in this tracker (capture 46-get_comments-after-add).
GATEWAY_USER = "launchpad"

# What XML 1.0 cannot carry arrives as U+FFFD (capture 41-get_comments-control-chars).
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class Sessions:
    """The cookies that were handed out, and since when each is good."""

    def __init__(self, clock, lifetime):
        self._clock = clock
        self._lifetime = lifetime
        self._lock = threading.Lock()
        self._since = {}

    def begin(self):
        """A new session; returns the value of its trac_auth cookie."""
        cookie = secrets.token_hex(16)
        with self._lock:
            self._since[cookie] = self._clock.now()
        return cookie

    def state(self, cookie):
        """"live", "expired" or "unknown"."""
        with self._lock:
            since = self._since.get(cookie)
        if since is None:
            return "unknown"
        return "live" if self._clock.now() - since < self._lifetime else "expired"

    def end_all(self, kind):
        """Ends every session: "expired" (the cookie is too old) or "purged" (forgotten)."""
        with self._lock:
            if kind == "purged":
                self._since.clear()
            else:
                self._since = dict.fromkeys(self._since, float("-inf"))

    def count(self):
        with self._lock:
            return len(self._since)


class Plugin:
    """The launchpad.* methods. `ledger` learns of each call and each comment written."""

    def __init__(self, tickets, clock, zone, ledger):
        self._tickets = tickets
        self._clock = clock
        self._zone_name, self._zone_offset = zone
        self._ledger = ledger
        self._methods = {
            "launchpad.bugtracker_version": (self.bugtracker_version, (0,)),
            "launchpad.time_snapshot": (self.time_snapshot, (0,)),
            "launchpad.bug_info": (self.bug_info, (1, 2)),
            "launchpad.get_comments": (self.get_comments, (1,)),
            "launchpad.add_comment": (self.add_comment, (2,)),
            "launchpad.get_launchpad_bug": (self.get_launchpad_bug, (1,)),
            "launchpad.set_launchpad_bug": (self.set_launchpad_bug, (2,)),
        }

    def answer(self, document):
        """Executes a methodCall document and returns the methodResponse document."""
        try:
            name, arguments = parse_call(document)
            self._ledger.called(name)
            result = self._call(name, arguments)
        except xmlrpc.client.Fault as fault:
            return response(fault)
        return response(result)

    def _call(self, name, arguments):
        if name not in self._methods:
            raise xmlrpc.client.Fault(NO_SUCH_METHOD, "No such method: " + name)
        method, counts = self._methods[name]
        if len(arguments) not in counts:
            raise bad_arguments("%s: wrong number of arguments (%d)" % (name, len(arguments)))
        # Every answer is stamped with the time at which the call began.
        return method(int(self._clock.now()), *arguments)

    def bugtracker_version(self, _now):
        return [TRAC_VERSION, API_VERSION, False]

    def time_snapshot(self, now):
        return [self._zone_name, now + self._zone_offset, now]

    def bug_info(self, now, level, criteria=None):
        if level not in (0, 1, 2, 3):
            raise bad_arguments("level must be 0, 1, 2 or 3")
        criteria = {} if criteria is None else criteria
        if not isinstance(criteria, dict):
            raise bad_arguments("criteria must be a struct")
        since = criteria.get("modified_since", float("-inf"))
        if not isinstance(since, (int, float)):
            raise bad_arguments("criteria.modified_since must be a number")
        chosen, missing = self._choose(criteria)
        # A ticket changed in that very second counts as changed: better twice than never.
        bugs = [self._describe(t, level) for t in chosen if t["modified"] >= since]
        return [now, bugs + [{"id": reference, "status": "missing"} for reference in missing]]

    def _choose(self, criteria):
        """The tickets that the criteria name, in order of number and once each, and the ids
        that name none, as they were sent and in that order."""
        if "bugs" not in criteria:
            return self._tickets.all(), []
        if not isinstance(criteria["bugs"], list):
            raise bad_arguments("criteria.bugs must be an array")
        chosen, missing = {}, {}
        for reference in criteria["bugs"]:
            ticket = self._tickets.find(reference)
            if ticket is None:
                missing[str(reference)] = True
            else:
                chosen[ticket["id"]] = ticket
        return [chosen[number] for number in sorted(chosen)], list(missing)

    def _describe(self, ticket, level):
        bug = {"id": str(ticket["id"])}
        if level == 0:
            return bug
        bug.update({"status": ticket["status"], "resolution": ticket["resolution"],
                    "priority": ticket["priority"], "severity": ticket["severity"],
                    "component": ticket["component"], "assignee": ticket["owner"],
                    "summary": ticket["summary"], "timestamp": ticket["created"],
                    "last_modified": ticket["modified"]})
        comments = self._tickets.comments(ticket)
        if level == 2:
            bug["comments"] = [comment_id(ticket, c["number"]) for c in comments]
        elif level == 3:
            # Level 3 does not say who wrote a comment (capture 21-bug_info-level3).
            bug["comments"] = [{"id": comment_id(ticket, c["number"]), "type": "comment",
                                "comment": c["text"], "timestamp": c["time"]} for c in comments]
        return bug

    def get_comments(self, now, references):
        if not isinstance(references, list):
            raise bad_arguments("comments must be an array")
        found, missing = [], []
        for reference in references:
            comment = self._tickets.find_comment(reference)
            if comment is None:
                missing.append({"id": str(reference), "type": "missing"})
            else:
                found.append({"id": str(reference), "type": "comment", "user": comment["user"],
                              "comment": comment["text"], "timestamp": comment["time"]})
        return [now, found + missing]

    def add_comment(self, now, reference, text):
        ticket = self._ticket(reference)
        if not isinstance(text, str) or not text.strip():
            raise bad_arguments("the comment is empty")
        written = self._tickets.add_comment(ticket, GATEWAY_USER, text, now)
        self._ledger.comment_written(str(ticket["id"]), written, text)
        return [now, written]

    def get_launchpad_bug(self, now, reference):
        return [now, self._tickets.link(self._ticket(reference))]

    def set_launchpad_bug(self, now, reference, number):
        ticket = self._ticket(reference)
        if not re.fullmatch(r"[0-9]{1,9}", str(number)):
            raise bad_arguments("not a Launchpad bug number")
        self._tickets.set_link(ticket, int(number))
        return [now]

    def _ticket(self, reference):
        ticket = self._tickets.find(reference)
        if ticket is None:
            raise xmlrpc.client.Fault(NO_SUCH_TICKET, "Ticket does not exist")
        return ticket


def bad_arguments(text):
    return xmlrpc.client.Fault(BAD_ARGUMENTS, text)


def response(result):
    """A methodResponse document, formatted as Python's xmlrpc.client formats it: the plugin
    uses it too, and so the captures can be compared byte for byte."""
    document = xmlrpc.client.dumps(result if isinstance(result, xmlrpc.client.Fault) else (result,),
                                   methodresponse=True)
    return NOT_XML.sub("\ufffd", document).encode("utf-8")


def parse_call(document):
    """Returns the method's name and arguments; a Fault when the document is no call."""
    try:
        refuse_doctype(document)
        arguments, name = xmlrpc.client.loads(document, use_builtin_types=True)
        if not name:
            raise ValueError("there is no method name")
    except (expat.ExpatError, ValueError, TypeError, IndexError, AttributeError,
            xmlrpc.client.Error) as error:
        raise xmlrpc.client.Fault(NOT_A_CALL, "Not an XML-RPC call: %s" % error) from error
    return name, arguments


def refuse_doctype(document):
    def refuse(*_declaration):
        raise ValueError("a document type is not allowed")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(document, True)
