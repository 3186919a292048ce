"""As much of Trac's API as the plugin uses, on SQLite, so that its tests run without a Trac.

It says nothing of whether the plugin uses that API rightly: only a real Trac does.
"""

import datetime
import io
import secrets
import sqlite3
import sys
import types

SCHEMA = """
CREATE TABLE auth_cookie (cookie TEXT, name TEXT, ipnr TEXT, time INTEGER, UNIQUE (cookie, ipnr, name));
CREATE TABLE ticket (id INTEGER PRIMARY KEY, time INTEGER, changetime INTEGER, component TEXT, severity TEXT,
    priority TEXT, owner TEXT, status TEXT, resolution TEXT, summary TEXT);
CREATE TABLE ticket_change (ticket INTEGER, time INTEGER, author TEXT, field TEXT, oldvalue TEXT,
    newvalue TEXT, UNIQUE (ticket, time, field));
CREATE TABLE ticket_custom (ticket INTEGER, name TEXT, value TEXT, UNIQUE (ticket, name));
CREATE TABLE session_attribute (sid TEXT, authenticated INTEGER, name TEXT, value TEXT);
"""

#: Epoch seconds at which the tickets were made, and the second was changed.
EARLY, LATE = 1710061200, 1710841020


def fill(env):
    """Makes three tickets; the second and the third have comments."""
    with env.db_transaction as db:
        for number, changed, status, resolution in (
                (1, EARLY, "new", None), (2, LATE, "closed", "fixed"), (16, EARLY, "new", None)):
            db("INSERT INTO ticket (id, time, changetime, status, resolution, summary, owner)"
               " VALUES (%s, %s, %s, %s, %s, %s, 'bob')",
               (number, EARLY * 1000000, changed * 1000000 + 5, status, resolution, "Ticket %d" % number))
        for ticket, author, number, text in (
                (2, "bob", "1", "First"), (2, "Eve <eve@example.net>", "1.2", "Second"),
                (16, "bob", "1", ""), (16, "bob", "2", "Text")):
            db("INSERT INTO ticket_change VALUES (%s, %s, %s, 'comment', %s, %s)",
               (ticket, (EARLY + int(number[-1])) * 1000000, author, number, text))
        db("INSERT INTO session_attribute VALUES ('bob', 1, 'email', 'bob@example.org')")


class ResourceNotFound(Exception):
    pass


class RequestDone(Exception):
    pass


class Option:
    def __init__(self, section, name, default=None, doc=""):
        self.place, self.default = (section, name), default

    def __get__(self, instance, owner):
        return self if instance is None else instance.config.values.get(self.place, self.default)


class Component:
    def __init__(self, env):
        self.env, self.config, self.log = env, env.config, env.log
        env.components.append(self)


class Config:
    def __init__(self):
        self.values = {}

    def get(self, section, name, default=""):
        return self.values.get((section, name), default)

    getint = get

    def getbool(self, section, name, default=False):
        return bool(self.get(section, name, default))


class Log(list):
    def warning(self, text, *args):
        self.append(text % args)

    info = exception = warning


class Environment:
    secure_cookies = False

    def __init__(self):
        self.config, self.log, self.components, self.notified = Config(), Log(), [], []
        self.database = sqlite3.connect(":memory:")
        self.database.executescript(SCHEMA)

    def db_query(self, sql, args=()):
        return self.database.execute(sql.replace("%s", "?"), tuple(args)).fetchall()

    @property
    def db_transaction(self):
        return Transaction(self)


class Transaction:
    def __init__(self, env):
        self.env = env

    def __enter__(self):
        return self.env.db_query

    def __exit__(self, kind, error, trace):
        (self.env.database.rollback if kind else self.env.database.commit)()


class Ticket:
    def __init__(self, env, number):
        if not env.db_query("SELECT id FROM ticket WHERE id=%s", (number,)):
            raise ResourceNotFound("Ticket %s does not exist." % number)
        self.env, self.id = env, number

    def save_changes(self, author, comment, when):
        stamp = int(when.timestamp() * 1000000)
        (number,), = self.env.db_query(
            "SELECT COUNT(*) FROM ticket_change WHERE field='comment' AND ticket=%s", (self.id,))
        with self.env.db_transaction as db:
            db("INSERT INTO ticket_change VALUES (%s, %s, %s, 'comment', %s, %s)",
               (self.id, stamp, author, str(number + 1), comment))
            db("UPDATE ticket SET changetime=%s WHERE id=%s", (stamp, self.id))
        return number + 1


class Permissions:
    """What somebody may do; "hidden" are tickets that nobody sees."""

    def __init__(self, granted, hidden=(), number=None):
        self.granted, self.hidden, self.number = granted, hidden, number

    def __call__(self, realm, number):
        return Permissions(self.granted, self.hidden, number)

    def __contains__(self, action):
        return action in self.granted and self.number not in self.hidden


class Cookies(dict):
    def __setitem__(self, name, value):
        super().__setitem__(name, Morsel(value))


class Morsel(dict):
    def __init__(self, value):
        super().__init__()
        self.value = value


class Request:
    remote_addr, base_path = "127.0.0.1", "/lp"

    def __init__(self, env, method, path, body=b"", headers=None, cookie=None, granted=(), hidden=()):
        self.method, self.path_info = method, path
        self.headers = {"content-length": str(len(body)), "content-type": "text/xml"}
        self.headers.update((name.lower(), value) for name, value in (headers or {}).items())
        self.environ = {"wsgi.input": io.BytesIO(body)}
        self.incookie, self.outcookie = Cookies(), Cookies()
        self.authname = "anonymous"
        if cookie:
            self.incookie["trac_auth"] = cookie
            for self.authname, in env.db_query("SELECT name FROM auth_cookie WHERE cookie=%s", (cookie,)):
                pass
        self.perm = Permissions(granted, hidden)
        self.sent_headers, self.status, self.content, self.content_type = {}, None, None, None

    def get_header(self, name):
        return self.headers.get(name.lower())

    def send_header(self, name, value):
        self.sent_headers[name] = value

    def send(self, content, content_type, status):
        assert isinstance(content, bytes)
        self.content, self.content_type, self.status = content, content_type, status
        raise RequestDone


class Chrome:
    show_email_addresses = False

    def __init__(self, env):
        pass


class RequestDispatcher:
    def __init__(self, env):
        self.handlers = env.components


class NotificationSystem:
    def __init__(self, env):
        self.env = env

    def notify(self, event):
        self.env.notified.append(event)


def install():
    """Makes "import trac..." find what is above."""
    utc = datetime.timezone.utc
    for name, content in {
        "trac": {"__version__": "1.6"},
        "trac.config": {"Option": Option, "IntOption": Option},
        "trac.core": {"Component": Component, "implements": lambda *interfaces: None},
        "trac.notification": {},
        "trac.notification.api": {"NotificationSystem": NotificationSystem},
        "trac.resource": {"ResourceNotFound": ResourceNotFound},
        "trac.ticket": {},
        "trac.ticket.model": {"Ticket": Ticket},
        "trac.ticket.notification": {"TicketChangeEvent": lambda *args: args},
        "trac.util": {"hex_entropy": lambda digits: secrets.token_hex(digits // 2)},
        "trac.util.datefmt": {"utc": utc, "datetime_now": datetime.datetime.now},
        "trac.web": {},
        "trac.web.api": {"IRequestFilter": object, "IRequestHandler": object},
        "trac.web.chrome": {"Chrome": Chrome},
        "trac.web.main": {"RequestDispatcher": RequestDispatcher},
    }.items():
        module = sys.modules.setdefault(name, types.ModuleType(name))
        vars(module).update(content)
