"""The tracker of Roundup's classic template, in memory.

Items start as the captures show them (roundup_seed.json). An item is a dictionary of its
properties; dates are seconds since 1970, UTC. Where the captures show nothing, the choice is
named in a comment.
"""

import calendar
import datetime
import json
import pathlib
import re
import threading

SEED = pathlib.Path(__file__).with_name("roundup_seed.json")

# When the seed's items were last changed: the minute before the captures.
SEEDED = calendar.timegm((2026, 11, 21, 20, 15, 56))

LONG_LINE = "line %04d: the quick brown fox jumps over the lazy dog, größer & <weiter>\n"
LONG_MESSAGE = "".join(LONG_LINE % n for n in range(1, 400))[:20480]

STRING, NUMBER, DATE, PASSWORD = "String", "Number", "Date", "Password"

CLASSES = {
    "priority": {"name": STRING, "order": NUMBER},
    "status": {"name": STRING, "order": NUMBER},
    "keyword": {"name": STRING},
    "query": {"klass": STRING, "name": STRING, "private_for": 'Link to "user"', "url": STRING},
    "user": {"address": STRING, "alternate_addresses": STRING, "organisation": STRING,
             "password": PASSWORD, "phone": STRING, "queries": 'Multilink to "query"',
             "realname": STRING, "roles": STRING, "timezone": STRING, "username": STRING},
    "msg": {"author": 'Link to "user"', "content": STRING, "date": DATE,
            "files": 'Multilink to "file"', "inreplyto": STRING, "messageid": STRING,
            "recipients": 'Multilink to "user"', "summary": STRING, "type": STRING},
    "file": {"content": STRING, "name": STRING, "type": STRING},
    "issue": {"assignedto": 'Link to "user"', "files": 'Multilink to "file"',
              "keyword": 'Multilink to "keyword"', "messages": 'Multilink to "msg"',
              "nosy": 'Multilink to "user"', "priority": 'Link to "priority"',
              "status": 'Link to "status"', "superseder": 'Multilink to "issue"',
              "title": STRING},
}

# Properties that every class has, which schema does not tell.
ALWAYS = {"creation": DATE, "activity": DATE, "creator": 'Link to "user"',
          "actor": 'Link to "user"'}

KEYS = {"priority": "name", "status": "name", "keyword": "name", "user": "username"}

UNREAD, CHATTING, RESOLVED = "1", "3", "8"

DATE_SPEC = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:\.(\d\d):(\d\d):(\d\d(?:\.\d+)?))?")


class Database:
    """All items. Every method may be called from several threads."""

    def __init__(self, clock, generated=0, link_property=None, zone_offset=0):
        self.lock = threading.RLock()
        self.zone_offset = zone_offset
        self._clock = clock
        self.classes = {name: dict(properties) for name, properties in CLASSES.items()}
        if link_property:
            self.classes["issue"][link_property] = STRING
        self.items = {name: {} for name in self.classes}
        self.retired = {name: set() for name in self.classes}
        self._fill(json.loads(SEED.read_text(encoding="utf-8")))
        for n in range(1, generated + 1):
            self._seed("issue", {"title": "Generated %d" % n, "status": "3", "priority": "3"})

    def _fill(self, seed):
        for order, name in enumerate(seed["statuses"], 1):
            self._seed("status", {"name": name, "order": float(order)})
        for order, name in enumerate(seed["priorities"], 1):
            self._seed("priority", {"name": name, "order": float(order)})
        for name in seed["keywords"]:
            self._seed("keyword", {"name": name})
        for user in seed["users"]:
            self._seed("user", user)
        for message in seed["messages"]:
            content = LONG_MESSAGE if message["content"] is None else message["content"]
            self._seed("msg", {**message, "content": content, "summary": summary(content),
                               "date": read_date(message["date"], 0)})
        for issue in seed["issues"]:
            self._seed("issue", {**issue, "nosy": ["4"]})

    def _seed(self, classname, values):
        # Each a little later than the one before, so that sorting by activity is by id.
        identity = len(self.items[classname]) + 1
        self.items[classname][str(identity)] = {
            **self._empty(classname), **values, "creator": "4", "actor": "4",
            "creation": SEEDED + identity / 1000, "activity": SEEDED + identity / 1000}

    def _empty(self, classname):
        return {name: [] if kind.startswith("Multilink") else None
                for name, kind in self.classes[classname].items()}

    def now(self):
        return self._clock.now()

    def properties(self, classname):
        """The properties that schema tells, by name; KeyError when there is no such class."""
        if classname not in self.classes:
            raise KeyError('There is no class called "%s"' % classname)
        return self.classes[classname]

    def kind(self, classname, name):
        """The type of a property; KeyError when there is none."""
        properties = self.properties(classname)
        if name == "id":
            return STRING
        return properties[name] if name in properties else ALWAYS[name]

    def item(self, classname, identity):
        self.properties(classname)
        if identity not in self.items[classname]:
            raise IndexError("no such %s %s" % (classname, identity))
        return self.items[classname][identity]

    def get(self, classname, identity, name):
        item = self.item(classname, identity)
        self.kind(classname, name)
        return identity if name == "id" else item[name]

    def listed(self, classname):
        """The ids that are not retired, in the order of their making."""
        self.properties(classname)
        return [i for i in self.items[classname] if i not in self.retired[classname]]

    def find(self, classname, key):
        """The id of the item with this key."""
        self.properties(classname)
        if classname not in KEYS:
            raise TypeError("No key property set for class %s" % classname)
        for identity in self.listed(classname):
            if self.items[classname][identity][KEYS[classname]] == key:
                return identity
        raise KeyError('No key (%s) value "%s" for "%s"' % (KEYS[classname], key, classname))

    def create(self, classname, values, user):
        now = self.now()
        identity = str(len(self.items[classname]) + 1)
        item = {**self._empty(classname), **values, "creator": user, "actor": user,
                "creation": now, "activity": now}
        if classname == "msg" and item["content"] and not item["summary"]:
            item["summary"] = summary(item["content"])
        if classname == "issue" and item["status"] is None:
            item["status"] = UNREAD
        self.items[classname][identity] = item
        return identity

    def set(self, classname, identity, values, user):
        """Changes an item and returns what really changed."""
        item = self.item(classname, identity)
        changed = {name: value for name, value in values.items() if item[name] != value}
        if (classname == "issue" and "status" not in changed
                and set(changed.get("messages", ())) - set(item["messages"])
                and item["status"] in (None, UNREAD, RESOLVED)):
            changed["status"] = CHATTING
        if changed:
            item.update(changed)
            item["activity"], item["actor"] = self.now(), user
        return changed


def summary(content):
    """The first line, as the template's detector has it."""
    return content.splitlines()[0] if content else None


def read_date(text, zone_offset):
    """Seconds since 1970 of a date in a user's local time; ValueError when it is none."""
    match = DATE_SPEC.fullmatch(text.strip())
    if match is None:
        raise ValueError("Not a date spec: %r (\"yyyy-mm-dd\", \"mm-dd\", \"HH:MM\", \"HH:MM:SS\" "
                         "or \"yyyy-mm-dd.HH:MM:SS.SSS\")" % text)
    year, month, day = (int(part) for part in match.groups()[:3])
    hour, minute, second = (float(part or 0) for part in match.groups()[3:])
    midnight = datetime.datetime(year, month, day, tzinfo=datetime.timezone.utc).timestamp()
    return midnight + hour * 3600 + minute * 60 + second - zone_offset


def show_date(seconds):
    """A date as the service shows it: in UTC."""
    milliseconds = round(seconds * 1000)
    at = datetime.datetime.fromtimestamp(milliseconds // 1000, datetime.timezone.utc)
    return at.strftime("<Date %Y-%m-%d.%H:%M:%S.") + "%03d>" % (milliseconds % 1000)
