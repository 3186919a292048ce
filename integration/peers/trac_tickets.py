"""The tickets of the tracker, in memory.

Tickets start as the captures show them (trac_tickets.json). A ticket has
changes, numbered from 1; a change with a text is a comment, and its id is
"TICKET-NUMBER". Times are whole seconds since 1970, UTC.
"""

import csv
import io
import json
import pathlib
import re
import threading

SEED = pathlib.Path(__file__).with_name("trac_tickets.json")

# The columns of a ticket as CSV, in Trac's order (capture 75-csv-ticket).
CSV_COLUMNS = ["id", "summary", "reporter", "owner", "description", "type", "status", "priority",
               "milestone", "component", "version", "resolution", "keywords", "cc"]

FIRST_GENERATED = 1730000000
GENERATED_EVERY = 60


class Tickets:
    """All tickets. Every method may be called from several threads."""

    def __init__(self, generated=0):
        self._lock = threading.RLock()
        seed = json.loads(SEED.read_text(encoding="utf-8"))
        self._tickets = {ticket["id"]: ticket for ticket in seed["tickets"]}
        self._links = {}
        for n in range(1, generated + 1):
            ticket = generated_ticket(len(self._tickets) + 1, n)
            self._tickets[ticket["id"]] = ticket

    def find(self, reference):
        """The ticket that a bug id (string or int, leading zeros allowed) names, or None."""
        number = str(reference)
        # Twelve digits are beyond any ticket; int() of a longer text would only cost time.
        if not re.fullmatch(r"[0-9]{1,12}", number):
            return None
        return self._tickets.get(int(number))

    def all(self):
        """Every ticket, in order of number."""
        return [self._tickets[number] for number in sorted(self._tickets)]

    def comments(self, ticket):
        """The changes of a ticket that have a text, in order."""
        with self._lock:
            return [change for change in ticket["changes"] if change["text"]]

    def find_comment(self, reference):
        """The comment with this id ("17-2"), or None."""
        match = re.fullmatch(r"([0-9]{1,12})-([0-9]{1,12})", str(reference))
        ticket = self.find(match[1]) if match else None
        if ticket is None:
            return None
        found = [c for c in self.comments(ticket) if c["number"] == int(match[2])]
        return found[0] if found else None

    def add_comment(self, ticket, user, text, now):
        """Appends a comment and returns its id. Line ends are stored as CR LF, as Trac does
        with what a form sends (capture 46-get_comments-after-add)."""
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
        with self._lock:
            number = 1 + max((change["number"] for change in ticket["changes"]), default=0)
            ticket["changes"].append({"number": number, "user": user, "time": now, "text": text})
            ticket["modified"] = now
        return comment_id(ticket, number)

    def link(self, ticket):
        """The number of the linked Launchpad bug, 0 when there is none."""
        return self._links.get(ticket["id"], 0)

    def set_link(self, ticket, number):
        """Links the ticket; 0 removes the link. The ticket's time of change stays."""
        self._links[ticket["id"]] = number


def comment_id(ticket, number):
    return "%d-%d" % (ticket["id"], number)


def ticket_csv(ticket):
    """One ticket as Trac's CSV: a byte order mark, a line of names, a line of values."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    writer.writerow([ticket[column] for column in CSV_COLUMNS])
    return ("\ufeff" + text.getvalue()).encode("utf-8")


def generated_ticket(number, n):
    """The n-th generated ticket: the same at every start, with no, one or two comments."""
    created = FIRST_GENERATED + n * GENERATED_EVERY
    changes = [{"number": c, "user": "generator@example.org", "time": created + c,
                "text": "Comment %d of generated ticket %d." % (c, n)} for c in range(1, n % 3 + 1)]
    return {"id": number, "summary": "Generated ticket %d" % n, "reporter": "generator",
            "owner": "< default >", "description": "", "type": "defect", "status": "new",
            "priority": "major", "severity": "", "milestone": "", "component": "component1",
            "version": "", "resolution": "", "keywords": "", "cc": "",
            "created": created, "modified": created + len(changes), "changes": changes}
