"""The bugs of the site, in memory.

They start as the captures show them (bugzilla_seed.json), and stand here as the database
holds them: times are those of the site's own clock, without a zone. What differs from UTC is
added where times go in and taken off where they come out (capture 185-site-timezone-bug.get).
"""

import datetime
import json
import pathlib
import re
import threading

from bugzilla_wire import Fault

SEED = pathlib.Path(__file__).with_name("bugzilla_seed.json")
STORED_TIME = "%Y%m%dT%H:%M:%S"

# What the site of the captures has where no capture says otherwise.
DEFAULTS = {
    "product": "Widgets", "version": "1.0", "classification": "Unclassified", "op_sys": "Linux",
    "platform": "PC", "target_milestone": "---", "qa_contact": "", "url": "", "whiteboard": "",
    "keywords": [], "groups": [], "flags": [], "blocks": [], "depends_on": [], "cc": [],
    "see_also": [], "alias": [], "dupe_of": None, "is_confirmed": True, "resolution": "",
    "is_cc_accessible": True, "is_creator_accessible": True}

FIRST_GENERATED = datetime.datetime(2026, 7, 1)

# "The first number that no comment of the captures has" (078-bug.add_comment-ok).
FIRST_NEW_COMMENT = 117


class Bugs:
    """All bugs, each a dictionary by the names of Bug.get. May be called from several threads."""

    def __init__(self, generated=0):
        self.lock = threading.RLock()
        seed = json.loads(SEED.read_text(encoding="utf-8"))
        self.products = seed["products"]
        self.status_field = seed["status_field"]
        self._bugs = {bug["id"]: stored_bug(bug) for bug in seed["bugs"]}
        self._comments = {c["id"]: c for bug in self._bugs.values() for c in bug["comments"]}
        self._next_comment = FIRST_NEW_COMMENT
        self.hidden = set()
        self.links = {}
        for n in range(1, generated + 1):
            self._generate(n)

    def _generate(self, n):
        """The n-th generated bug: the same at every start, with one to three comments."""
        at = FIRST_GENERATED + datetime.timedelta(minutes=n)
        bug = self.create({"summary": "Generated bug %d" % n, "component": "core",
                           "severity": "normal", "priority": "Normal",
                           "assigned_to": "rene@bugs.example"},
                          "rene@bugs.example", "Description of generated bug %d." % n, at)
        for k in range(1, n % 3 + 1):
            self.add_comment(bug, "admin@bugs.example", "Comment %d on generated bug %d." % (k, n),
                             at + datetime.timedelta(seconds=k))

    def all(self):
        """Every bug, in order of number."""
        with self.lock:
            return [self._bugs[number] for number in sorted(self._bugs)]

    def find(self, reference, user):
        """The bug that a number or an alias names; a Fault when there is none that the user
        may see."""
        text = "" if reference is None else str(reference).strip()
        if not text:
            raise Fault(100, "You must enter a valid bug number!")
        if not re.fullmatch(r"\d{1,32}", text):
            found = [bug for bug in self.all() if text in bug["alias"]]
            if not found:
                raise Fault(100, "'%s' is not a valid bug number nor an alias to a bug." % text)
            bug = found[0]
        else:
            bug = self._bugs.get(int(text))
        if bug is None:
            raise Fault(101, "Bug #%d does not exist." % int(text))
        if not self.visible(bug, user):
            hint = "" if user else (" To see this bug, you must first log in to an account with "
                                    "the appropriate permissions.")
            raise Fault(102, "You are not authorized to access bug #%d.%s" % (bug["id"], hint))
        return bug

    def visible(self, bug, user):
        return bug["id"] not in self.hidden or (user is not None and user.insider)

    def comment(self, number):
        """(the bug, the comment) with this id, or (None, None)."""
        with self.lock:
            comment = self._comments.get(number)
            return (None, None) if comment is None else (self._bugs[comment["bug_id"]], comment)

    def add_comment(self, bug, user, text, at, is_private=False):
        """Appends a comment and returns its id. CRs and blanks at the end are lost (capture
        083-bug.comments-after-adds)."""
        text = text.replace("\r\n", "\n").replace("\r", "\n").rstrip()
        with self.lock:
            comment = {"id": self._next_comment, "bug_id": bug["id"], "creator": user,
                       "time": at, "text": text, "is_private": is_private,
                       "count": len(bug["comments"])}
            self._next_comment += 1
            self._comments[comment["id"]] = comment
            bug["comments"].append(comment)
            bug["last_change_time"] = at
        return comment["id"]

    def create(self, members, user, description, at):
        """Files a bug; `members` by the names of Bug.create."""
        with self.lock:
            number = max(self._bugs) + 1
            bug = {**DEFAULTS, "status": "CONFIRMED", **members, "id": number, "creator": user,
                   "creation_time": at, "last_change_time": at, "comments": [], "history": []}
            self._bugs[number] = bug
            self.add_comment(bug, user, description, at)
        return bug


def stored_bug(seed):
    """A bug as the seed has it, completed."""
    bug = {**DEFAULTS, **seed, "history": []}
    for name in ("creation_time", "last_change_time"):
        bug[name] = stored_time(bug[name])
    for count, comment in enumerate(bug["comments"]):
        text = comment["text"]
        if isinstance(text, dict):
            text = numbered_lines(text["format"], text["length"])
        comment.update(bug_id=bug["id"], count=count, text=text, time=stored_time(comment["time"]),
                       is_private=comment.get("is_private", False))
    return bug


def numbered_lines(line, length):
    """So many characters of lines that differ in their number only."""
    text = ""
    while len(text) < length:
        text += line % (text.count("\n") + 1)
    return text[:length]


def stored_time(text):
    return datetime.datetime.strptime(text, STORED_TIME)


def lenient_time(value):
    """What a "last_change_time" of a search means, in UTC: a typed date, or a text of any usual
    spelling (capture 053-bug.search-last-change-time-dashed). None for what is no date."""
    if isinstance(value, datetime.datetime):
        return value
    text = re.sub(r"^(\d{4})(\d\d)(\d\d)T", r"\1-\2-\3T", str(value).strip())
    try:
        moment = datetime.datetime.fromisoformat(re.sub(r"Z$", "+00:00", text))
    except ValueError:
        return None
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return moment
