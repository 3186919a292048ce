"""The tickets of a Trac without the Launchpad plugin, in memory: their changes as the change log
tells them, queries, and comma-separated values.

Times are microseconds since 1970, UTC, as Trac keeps them.
"""

import csv
import datetime
import io
import json
import pathlib
import re
import threading

from trac_tickets import CSV_COLUMNS, generated_ticket

SEED = pathlib.Path(__file__).with_name("trac_native_seed.json")

PRIORITIES = ["blocker", "critical", "major", "minor", "trivial"]
NAMES = {"alice": "Alice Ångström"}  # what CSV shows in place of a login
LABELS = {"id": "id", "time": "Created", "changetime": "Modified"}
DEFAULT_COLUMNS = ["id", "summary", "owner", "type", "status", "priority", "milestone"]
PAGE = 20
UTC = datetime.timezone.utc


class TicketError(Exception):
    """Trac refuses: `title` is what system.multicall shows beside the text."""

    title = "Trac Error"


class MissingTicket(TicketError):
    title = "Invalid ticket number"


class NativeTickets:
    """All tickets. Every method may be called from several threads."""

    def __init__(self, generated=0, custom=()):
        self.lock = threading.RLock()
        self.custom = list(custom)
        seed = json.loads(SEED.read_text(encoding="utf-8"))
        self._tickets = {ticket["id"]: ticket for ticket in seed["tickets"]}
        for n in range(1, generated + 1):
            ticket = native_form(generated_ticket(len(self._tickets) + 1, n))
            self._tickets[ticket["id"]] = ticket
        for ticket in self._tickets.values():
            ticket["fields"].update(dict.fromkeys(self.custom, ""))
            ticket["attachments"] = {}

    def find(self, reference):
        """The ticket that an int, or a string of digits, names."""
        number = str(reference)
        # Twelve digits are beyond any ticket; int() of a longer text would only cost time.
        if re.fullmatch(r"[0-9]{1,12}", number) and int(number) in self._tickets:
            return self._tickets[int(number)]
        raise MissingTicket("Ticket %s does not exist." % number)

    def create(self, reporter, summary, description, attributes, now):
        if not summary:
            raise TicketError("Tickets must contain a summary.")
        fields = dict.fromkeys(CSV_COLUMNS[1:] + self.custom, "")
        fields.update({"type": "defect", "priority": "major", "component": "component1",
                       "owner": "< default >"})
        fields.update({name: value for name, value in attributes.items() if name in fields})
        fields.update({"summary": summary.strip(), "description": crlf(description),
                       "reporter": reporter, "status": "new", "resolution": ""})
        with self.lock:
            number = max(self._tickets) + 1
            self._tickets[number] = {"id": number, "created": now, "changed": now,
                                     "fields": fields, "changes": [], "attachments": {}}
        return number

    def change(self, ticket, author, comment, changes, now):
        """Adds a change, and its comment, to a ticket. Nothing is no change (capture 067)."""
        with self.lock:
            fields = ticket["fields"]
            rows = [[now, author, name, fields[name], value] for name, value in sorted(changes.items())
                    if name in fields and fields[name] != value]
            if not rows and not comment:
                return
            number = 1 + sum(1 for row in ticket["changes"] if row[2] == "comment")
            ticket["changes"].append([now, author, "comment", str(number), crlf(comment)])
            ticket["changes"].extend(rows)
            fields.update({row[2]: row[4] for row in rows})
            ticket["changed"] = now

    def log(self, ticket):
        """The change log, in the order of its times (capture 066)."""
        return sorted(ticket["changes"], key=lambda row: row[0])

    def changed_since(self, moment):
        return [t["id"] for t in self._sorted() if t["changed"] >= moment]

    def _sorted(self):
        return [self._tickets[number] for number in sorted(self._tickets)]

    def query(self, text, paged=True):
        """The tickets that match a query, in its order."""
        with self.lock:
            return Query(text, paged, self._sorted()[0]["fields"]).run(self._sorted())


class Query:
    """A query: conditions with & between them, alternatives with | or the same field again."""

    def __init__(self, text, paged, fields):
        self.conditions = {}
        self.order, self.max, self.page = "priority", PAGE if paged else 0, 1
        for part in re.split(r"(?<!\\)&", text) if text else []:
            part = part.replace("\\&", "&")
            field, equals, value = part.partition("=")
            if not equals:
                raise TicketError('Query filter requires field and constraints separated by a "="')
            mode = field[-1] if field[-1:] in "~^$!" else ""
            field = field.rstrip("~^$!")
            if field in ("order", "max", "page"):
                setattr(self, field, value if field == "order" else int(value))
                continue
            field = {"modified": "changetime", "created": "time"}.get(field, field)
            # A field that Trac does not have is passed over (capture 015).
            if field in fields or field in ("id", "time", "changetime"):
                alternatives = [mode + v for v in re.split(r"(?<!\\)\|", value)]
                self.conditions.setdefault(field, []).extend(alternatives)

    def run(self, tickets):
        found = [t for t in tickets if all(any(matches(t, field, value) for value in values)
                                           for field, values in self.conditions.items())]
        found.sort(key=lambda t: (self.key(t), t["id"]))
        if not self.max:
            return found
        start = (self.page - 1) * self.max
        if self.page > 1 and start >= len(found):
            raise TicketError("Page %d is beyond the number of pages in the query" % self.page)
        return found[start:start + self.max]

    def key(self, ticket):
        value = column(ticket, self.order)
        if self.order == "priority":
            return (value not in PRIORITIES, PRIORITIES.index(value) if value in PRIORITIES else 0, "")
        return (value == "", value if isinstance(value, int) else 0, str(value))


def matches(ticket, field, value):
    if field == "id":
        return any(int(low or 0) <= ticket["id"] <= int(high if dash else low or 0)
                   for low, dash, high in (part.partition("-") for part in value.split(",")))
    if field in ("time", "changetime"):
        start, _, end = value.partition("..")
        moment = column(ticket, field)
        return (not start or moment >= parse_time(start)) and (not end or moment < parse_time(end))
    is_not = value.startswith("!")
    value = value.removeprefix("!")
    held, mode = ticket["fields"][field], value[:1] if value[:1] in tuple("~^$") else ""
    test = {"": held.__eq__, "~": lambda v: v.lower() in held.lower(),
            "^": held.startswith, "$": held.endswith}[mode]
    return test(value.removeprefix(mode)) != is_not


def parse_time(text):
    """A date, or a time in UTC with a Z. What has no zone is in the account's own, here UTC."""
    try:
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise TicketError('"%s" is an invalid date' % text) from None
    return round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000000)


def column(ticket, name):
    return {"id": ticket["id"], "time": ticket["created"], "changetime": ticket["changed"],
            **ticket["fields"]}.get(name, "")


def moment(microseconds):
    """A time as the plugin sends it: whole seconds, no zone."""
    return datetime.datetime.fromtimestamp(microseconds // 1000000, UTC).replace(tzinfo=None)


def crlf(text):
    """Line ends are stored as CR LF (capture 060)."""
    return text.replace("\r\n", "\n").replace("\n", "\r\n")


def native_form(ticket):
    changes = [[c["time"] * 1000000, c["user"], "comment", str(c["number"]), c["text"]]
               for c in ticket["changes"]]
    return {"id": ticket["id"], "created": ticket["created"] * 1000000,
            "changed": ticket["modified"] * 1000000, "changes": changes,
            "fields": {name: ticket[name] for name in CSV_COLUMNS[1:]}}


def ticket_csv(ticket):
    """One ticket: names of fields, the reporter by full name (capture 105)."""
    values = [ticket["id"]] + [ticket["fields"][name] for name in CSV_COLUMNS[1:]]
    values[2] = NAMES.get(values[2], values[2])
    return written([CSV_COLUMNS, values])


def query_csv(tickets, columns, order, fields):
    """Many tickets: labels in place of names, and the columns of the query (captures 110 to 115)."""
    known = [c for c in columns if c in fields or c in ("id", "time", "changetime")]
    if not known:
        known = list(DEFAULT_COLUMNS)
        if order in fields and order not in known:
            known[-1] = order
    if "id" not in known:
        known.insert(0, "id")
    rows = [[shown(column(t, c), c) for c in known] for t in tickets]
    return written([[LABELS.get(c, c.capitalize()) for c in known]] + rows)


def shown(value, name):
    if name in ("time", "changetime"):
        at = moment(value)
        return "%s %d, %d, %d:%02d:%02d %s" % (at.strftime("%b"), at.day, at.year, at.hour % 12 or 12,
                                              at.minute, at.second, "AM" if at.hour < 12 else "PM")
    return NAMES.get(value, value) if name == "reporter" else value


def written(rows):
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return ("\ufeff" + text.getvalue()).encode("utf-8")
