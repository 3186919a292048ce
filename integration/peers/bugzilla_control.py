"""The control interface of the Bugzilla peer: that of control.py, and

    POST /site {setting: value, ...}    changes settings (bugzilla_site.Settings)
    POST /delay {"seconds": N}          how long every answer to a call takes; 0: no longer

The ledger has two figures more: "log", the calls received one by one, and "busiest", the
largest number of calls that were being answered at the same time.
"""

import collections

from control import LEDGER_ENTRIES, Control, Ledger
from misbehaviour import ANSWERS, BadRule


class BugzillaLedger(Ledger):
    """A ledger that knows each call: its method, how many bugs or comments it named, how a
    session was shown ("cookies", "token", "api_key", "password" or "") and whose it was."""

    def __init__(self):
        super().__init__()
        self._lists["log"] = collections.deque(maxlen=LEDGER_ENTRIES)
        self._busy = self._busiest = 0

    def received(self, method, ids, visit):
        self.called(method)
        self._append("log", {"method": method, "ids": ids, "session": visit.shown(),
                             "user": visit.user.login if visit.user else ""})

    def begun(self):
        with self._changed:
            self._busy += 1
            self._busiest = max(self._busiest, self._busy)

    def ended(self):
        with self._changed:
            self._busy -= 1

    def figures(self):
        with self._changed:
            return {**super().figures(), "busiest": self._busiest}


class BugzillaControl(Control):
    """Serves the control interface of one Bugzilla."""

    def __init__(self, tracker, end):
        super().__init__(tracker, end)
        self.posts.update({"/site": self.site, "/delay": self.delay})

    def site(self, **settings):
        self.tracker.site.change(**settings)

    def delay(self, seconds):
        if not isinstance(seconds, (int, float)) or seconds < 0:
            raise BadRule("a delay is a number of seconds from 0 on")
        self.tracker.delay = seconds


# Misbehaviours that only a Bugzilla has, added to those that all peers share.


@ANSWERS.kind
def closed(exchange):
    """Answers as a site that is closed for maintenance: 503, an HTML page, Retry-After."""
    exchange.send(exchange.closed())


@ANSWERS.kind
def control_characters(exchange):
    """Puts an escape and a vertical tab into every text of the answer, so that no XML parser
    takes it."""
    answer = exchange.execute()
    answer.body = answer.body.replace(b"</string>", b"\x1b\x0b</string>")
    exchange.send(answer)
