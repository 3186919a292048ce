# -*- coding: utf-8 -*-
"""What the calls and their answers look like. Needs no Trac.

The code keeps to what Python 2.7 has as well, on which Trac 1.4 runs.
"""

import re

try:
    from xmlrpc.client import Fault, dumps, loads
except ImportError:
    from xmlrpclib import Fault, dumps, loads

#: Fault codes: the first is the plugin's own, as is 403; the others are those of the
#: specification for fault code interoperability.
NO_SUCH_TICKET = 1001
FORBIDDEN = 403
NOT_WELL_FORMED = -32700
NO_SUCH_METHOD = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603

#: Levels of bug_info.
IDS, METADATA, COMMENT_IDS, EVERYTHING = range(4)

#: The largest ticket number, link and time that an XML-RPC int can carry.
LARGEST_INT = 2 ** 31 - 1

#: How many ids one SQL statement gets: SQLite has a limit of 999 in its older versions.
BATCH = 500

_FORBIDDEN_IN_XML = re.compile(
    u"[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\U00010000-\U0010ffff]")
_OF_THE_GATEWAY = re.compile(br"<methodName>\s*launchpad\.")
_DIGITS = re.compile(r"\s*[0-9]{1,20}\s*\Z")
_COMMENT_ID = re.compile(r"([0-9]{1,10})-([0-9]{1,10})\Z")
_NAME_AND_ADDRESS = re.compile(r"\s*(.*?)\s*<([^<>@\s]+@[^<>\s]+)>\s*\Z")
_ADDRESS = re.compile(r"[^<>@\s]+@[^<>@\s]+\Z")


def is_for_gateway(body):
    """Tells whether a request's body calls a method of the launchpad namespace."""
    return bool(_OF_THE_GATEWAY.search(body))


def parse(body):
    """Returns the name and the parameters of a call; raises Fault."""
    # No entity is ever needed, and some cost any amount of memory. A NUL is UTF-16, in which a
    # document type would be written in other bytes.
    if b"<!DOCTYPE" in body or b"\0" in body:
        raise Fault(NOT_WELL_FORMED, "Not an XML-RPC call: a document type or an encoding that is not read")
    try:
        params, method = loads(body)
    except Exception as error:  # Anything: expat's, int()'s, unicode's.
        raise Fault(NOT_WELL_FORMED, "Not an XML-RPC call: %s" % error)
    if method is None:
        raise Fault(NOT_WELL_FORMED, "Not an XML-RPC call: it has no methodName")
    return method, params


def answer(value):
    """Returns the bytes of an answer."""
    text = dumps((clean(value),), methodresponse=True)
    return text if isinstance(text, bytes) else text.encode("utf-8")


def fault(error):
    """Returns the bytes of a fault."""
    text = dumps(Fault(error.faultCode, clean(u"%s" % error.faultString)), methodresponse=True)
    return text if isinstance(text, bytes) else text.encode("utf-8")


def clean(value):
    """Returns a value whose strings have U+FFFD for what XML cannot carry."""
    if isinstance(value, dict):
        return dict((name, clean(member)) for name, member in value.items())
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    if isinstance(value, type(u"")):
        return _FORBIDDEN_IN_XML.sub(u"\ufffd", value)
    return value


def number(sent):
    """Returns the positive number that was sent as an int or a string, or None."""
    if isinstance(sent, bool):
        return None
    if not isinstance(sent, int):
        if not isinstance(sent, (str, type(u""))) or not _DIGITS.match(sent):
            return None
        sent = int(sent)
    return sent if 0 < sent <= LARGEST_INT else None


def link(sent):
    """Returns the number of a linked bug, or 0 for none; raises Fault."""
    if sent == 0 and not isinstance(sent, bool) or sent == "0":
        return 0
    linked = number(sent)
    if linked is None:
        raise Fault(INVALID_PARAMS, "not a Launchpad bug number")
    return linked


def read_criteria(level, criteria):
    """Returns level, numbers or None for all, what is missing for sure, and since or None."""
    if isinstance(level, bool) or level not in (IDS, METADATA, COMMENT_IDS, EVERYTHING):
        raise Fault(INVALID_PARAMS, "level must be 0, 1, 2 or 3")
    if not isinstance(criteria, dict):
        raise Fault(INVALID_PARAMS, "criteria must be a struct")
    since = criteria.get("modified_since")
    if since is not None and (isinstance(since, bool) or not isinstance(since, (int, float))
                              or not 0 <= since <= LARGEST_INT):
        raise Fault(INVALID_PARAMS, "criteria.modified_since must be a number of seconds since 1970")
    if "bugs" not in criteria:
        return level, None, [], since
    if not isinstance(criteria["bugs"], (list, tuple)):
        raise Fault(INVALID_PARAMS, "criteria.bugs must be an array")
    numbers, missing = [], []
    for sent in criteria["bugs"]:
        wanted = number(sent)
        into, item = (missing, u"%s" % (sent,)) if wanted is None else (numbers, wanted)
        if item not in into:
            into.append(item)
    return level, numbers, missing, since


def batches(items):
    """Yields the items in lists that one SQL statement can take."""
    items = list(items)
    for start in range(0, len(items), BATCH):
        yield items[start:start + BATCH]


def seconds(microseconds):
    """Returns one of Trac's times as epoch seconds."""
    return int(microseconds or 0) // 1000000


def bug(row, level, comments):
    """Returns a ticket as the gateway reads it; comments are structs, in their order."""
    result = {"id": u"%d" % row["id"]}
    if level >= METADATA:
        for name in ("status", "resolution", "priority", "severity", "component", "summary"):
            result[name] = row[name] or u""
        result["assignee"] = row["owner"] or u""
        result["timestamp"] = seconds(row["time"])
        result["last_modified"] = seconds(row["changetime"])
    if level == COMMENT_IDS:
        result["comments"] = [comment["id"] for comment in comments]
    elif level == EVERYTHING:
        result["comments"] = comments
    return result


def missing_bug(sent):
    """Returns what stands for a ticket that does not exist."""
    return {"id": u"%s" % (sent,), "status": "missing"}


def missing_comment(sent):
    """Returns what stands for a comment that does not exist."""
    return {"id": u"%s" % (sent,), "type": "missing"}


def comment(ticket, numbered, user, text, time):
    """Returns a comment as the gateway reads it."""
    return {"id": u"%d-%d" % (ticket, numbered), "type": "comment", "user": user,
            "comment": text, "timestamp": seconds(time)}


def comment_number(oldvalue):
    """Returns the number of a comment: "3", or "1.3" for the third, a reply to the first."""
    last = (oldvalue or "").rsplit(".", 1)[-1]
    return int(last) if _DIGITS.match(last) else None


def parse_comment_id(sent):
    """Returns the ticket and the number of a comment id, or None."""
    match = _COMMENT_ID.match(sent) if isinstance(sent, (str, type(u""))) else None
    ticket, numbered = (number(match.group(1)), number(match.group(2))) if match else (None, None)
    return (ticket, numbered) if ticket and numbered else None


def format_user(author, name, address, show_addresses):
    """Returns "Name <address>", an address, or whatever the author is called.

    name and address are what a known user has set in Trac's preferences. Trac lets visitors
    type what they like as author, an address too.
    """
    author = author or u"anonymous"
    typed = _NAME_AND_ADDRESS.match(author)
    if not show_addresses:
        if typed:
            return typed.group(1) or u"anonymous"
        return author.split("@")[0] if _ADDRESS.match(author) else author
    if address and not typed:
        return u"%s <%s>" % (name, address) if name else address
    return author
