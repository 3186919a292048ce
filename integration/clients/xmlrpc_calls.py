#!/usr/bin/env python3
"""Makes XML-RPC calls with Python's own xmlrpc.client, for tests.

Each line of standard input is one call, in JSON:

    {"id": 1, "url": "http://127.0.0.1:8087/RPC2", "method": "trackers.list", "params": []}

and each line of standard output is the end of one, in any order, since calls run at the
same time: {"id", "headers"} and one of "result", "fault" ({"code", "string"}) or "error" (the
text of whatever else went wrong). "headers" are those of the answer, in lower case. A dateTime
is {"$time": "20260102T03:04:05"} in both directions.

Ends when standard input does.
"""

import json
import sys
import threading
import xmlrpc.client

PRINTING = threading.Lock()


class Transport(xmlrpc.client.Transport):
    """Keeps the headers of the answer."""

    def __init__(self):
        super().__init__()
        self.answered = {}

    def parse_response(self, response):
        self.answered = {name.lower(): value for name, value in response.getheaders()}
        return super().parse_response(response)


def from_json(value):
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if isinstance(value, dict):
        if set(value) == {"$time"}:
            return xmlrpc.client.DateTime(value["$time"])
        return {name: from_json(item) for name, item in value.items()}
    return value


def to_json(value):
    """For json.dumps, of what JSON has no type for."""
    if isinstance(value, xmlrpc.client.DateTime):
        return {"$time": value.value}
    raise TypeError("a test got a %s" % type(value).__name__)


def call(question):
    transport = Transport()
    answer = {"id": question["id"]}
    try:
        server = xmlrpc.client.ServerProxy(question["url"], transport=transport)
        method = server
        for part in question["method"].split("."):
            method = getattr(method, part)
        answer["result"] = method(*from_json(question.get("params") or []))
    except xmlrpc.client.Fault as fault:
        answer["fault"] = {"code": fault.faultCode, "string": fault.faultString}
    except Exception as error:  # The test decides what it makes of it.
        answer["error"] = "%s: %s" % (type(error).__name__, error)
    answer["headers"] = transport.answered
    line = json.dumps(answer, default=to_json)
    with PRINTING:
        print(line, flush=True)


def main():
    for line in sys.stdin:
        threading.Thread(target=call, args=(json.loads(line),)).start()


if __name__ == "__main__":
    main()
