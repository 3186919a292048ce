# -*- coding: utf-8 -*-
"""The Trac component: log-in with a token, and the launchpad.* methods over XML-RPC."""

import calendar
import io
import time

from trac import __version__ as TRAC_VERSION
from trac.config import IntOption, Option
from trac.core import Component, implements
from trac.notification.api import NotificationSystem
from trac.resource import ResourceNotFound
from trac.ticket.model import Ticket
from trac.ticket.notification import TicketChangeEvent
from trac.util import hex_entropy
from trac.util.datefmt import datetime_now, utc
from trac.web.api import IRequestFilter, IRequestHandler
from trac.web.chrome import Chrome
from trac.web.main import RequestDispatcher

from trackgate_trac import gateway, wire

API_VERSION = "1.0"
#: Bytes of a call; an XML-RPC call of the gateway is at most as long.
LONGEST_REQUEST = 1 << 20
#: The name under which links stand in Trac's table of custom fields. A field of that name in
#: [ticket-custom] shows them; none is needed.
LINK_FIELD = "launchpad_bug"
COLUMNS = ("id", "status", "resolution", "priority", "severity", "component", "owner", "summary",
           "time", "changetime")

#: The methods of the launchpad namespace, and how many parameters each has.
METHODS = {"bugtracker_version": 0, "time_snapshot": 0, "bug_info": 2, "get_comments": 1,
           "add_comment": 2, "get_launchpad_bug": 1, "set_launchpad_bug": 2}


class TrackgateModule(Component):
    """Lets a Trackgate gateway log in with tokens of its own, read tickets and comment on them."""

    implements(IRequestFilter, IRequestHandler)

    is_valid_default_handler = False

    callback_root = Option("trackgate", "callback_root", "",
        """URL below which the gateway confirms its tokens, `https://gate.example.org/for/NAME`.
        Without it nobody can log in.""")
    ca_file = Option("trackgate", "ca_file", "",
        """File with the certificates that the gateway's is verified against, when it is not one
        of the system's.""")
    callback_timeout = IntOption("trackgate", "callback_timeout", gateway.DEFAULT_TIMEOUT,
        """Seconds that the gateway has to confirm a token.""")
    account = Option("trackgate", "account", "trackgate",
        """User as which the gateway reads and writes. It needs no password.""")
    session_lifetime = IntOption("trackgate", "session_lifetime", 86400,
        """Seconds after which the gateway has to log in again.""")

    # IRequestFilter

    def pre_process_request(self, req, handler):
        """Decides who gets a call at /xmlrpc, where the XmlRpcPlugin may be at home as well:
        which of two handlers Trac finds first is a matter of luck."""
        if req.path_info != "/xmlrpc":
            return handler
        if wire.is_for_gateway(self._body(req) or b""):
            return self
        if handler is self:
            for other in RequestDispatcher(self.env).handlers:
                if other is not self and other.match_request(req):
                    return other
        return handler

    def post_process_request(self, req, template, data, metadata):
        return template, data, metadata

    # IRequestHandler

    def match_request(self, req):
        return req.path_info == "/xmlrpc" or (req.path_info + "/").startswith("/launchpad-auth/")

    def process_request(self, req):
        if req.path_info == "/xmlrpc":
            self._serve_call(req)
        else:
            self._serve_login(req, req.path_info[len("/launchpad-auth/"):])

    # Log-in

    def _serve_login(self, req, token):
        if req.method != "GET":
            self._body(req)
            req.send_header("Allow", "GET")
            self._refuse(req, 405, "Method not allowed")
        if self._from_browser(req):
            # A page could otherwise make a visitor's browser log in as the gateway.
            self._refuse(req, 401, "Unauthorized")
        try:
            gateway.confirm(self.callback_root, token, self.callback_timeout, self.ca_file)
        except gateway.NotConfirmed as reason:
            self.log.warning("trackgate: log-in refused: %s", reason)
            self._refuse(req, 401, "Unauthorized")
        cookie, now = hex_entropy(32), int(time.time())
        with self.env.db_transaction as db:
            db("DELETE FROM auth_cookie WHERE name=%s AND time<%s",
               (self.account, now - self.session_lifetime))
            db("INSERT INTO auth_cookie (cookie, name, ipnr, time) VALUES (%s, %s, %s, %s)",
               (cookie, self.account, req.remote_addr, now))
        # The attributes are those that Trac's own log-in gives its cookie.
        req.outcookie["trac_auth"] = cookie
        attributes = req.outcookie["trac_auth"]
        attributes["path"] = self.config.get("trac", "auth_cookie_path") or req.base_path or "/"
        attributes["httponly"] = True
        if self.config.get("trac", "auth_cookie_domain"):
            attributes["domain"] = self.config.get("trac", "auth_cookie_domain")
        if self.env.secure_cookies:
            attributes["secure"] = True
        self.log.info("trackgate: the gateway logged in as %s", self.account)
        req.send(b"OK\n", "text/plain", 200)

    def _has_session(self, req):
        account = self.account
        if self.config.getbool("trac", "ignore_auth_case"):
            account = account.lower()
        if "trac_auth" not in req.incookie or req.authname != account:
            return False
        for name, since in self.env.db_query("SELECT name, time FROM auth_cookie WHERE cookie=%s",
                                             (req.incookie["trac_auth"].value,)):
            return name == self.account and since > time.time() - self.session_lifetime
        return False

    @staticmethod
    def _from_browser(req):
        """Tells whether a web page may have sent this, with the cookies of whoever looks at it."""
        return bool(req.get_header("Origin") or req.get_header("Sec-Fetch-Site"))

    # XML-RPC

    def _serve_call(self, req):
        if req.method != "POST":
            req.send_header("Allow", "POST")
            self._refuse(req, 405, "Method not allowed")
        body = self._body(req)
        kind = (req.get_header("Content-Type") or "").partition(";")[0].strip().lower()
        if kind not in ("text/xml", "application/xml"):
            # Besides, these are types that no page can send to another site unasked.
            self._refuse(req, 415, "Send text/xml")
        if self._from_browser(req) or not self._has_session(req):
            self._refuse(req, 403, "Log in first")
        if body is None:
            self._refuse(req, 413, "Send a Content-Length of at most %d" % LONGEST_REQUEST)
        try:
            document = wire.answer(self._call(req, *wire.parse(body)))
        except wire.Fault as error:
            document = wire.fault(error)
        req.send(document, "text/xml", 200)

    def _call(self, req, name, params):
        namespace, _, method = name.partition(".")
        if namespace != "launchpad" or method not in METHODS:
            raise wire.Fault(wire.NO_SUCH_METHOD, "No such method: %s" % name)
        if len(params) != METHODS[method]:
            raise wire.Fault(wire.INVALID_PARAMS,
                             "%s: wrong number of arguments (%d)" % (name, len(params)))
        try:
            return getattr(self, method)(req, *params)
        except wire.Fault:
            raise
        except Exception:
            self.log.exception("trackgate: %s failed", name)
            raise wire.Fault(wire.INTERNAL_ERROR, "%s failed; Trac's log says why" % name)

    def _body(self, req):
        """Returns the request's body, or None when its length is not known or too much. It can be
        read again afterwards, by whoever handles the request in the end."""
        try:
            length = int(req.get_header("Content-Length") or "")
        except ValueError:
            return None
        if not 0 <= length <= LONGEST_REQUEST:
            return None
        body = req.environ["wsgi.input"].read(length)
        req.environ["wsgi.input"] = io.BytesIO(body)
        return body

    @staticmethod
    def _refuse(req, status, text):
        req.send(text.encode("ascii") + b"\n", "text/plain", status)

    # What the methods do. Each gets the request, for the permissions of its user.

    def bugtracker_version(self, req):
        return [TRAC_VERSION, API_VERSION, False]

    def time_snapshot(self, req):
        now = int(time.time())
        local = time.localtime(now)
        return [time.tzname[local.tm_isdst > 0], calendar.timegm(local), now]

    def bug_info(self, req, level, criteria):
        started = int(time.time())
        level, numbers, missing, since = wire.read_criteria(level, criteria)
        self._require(req.perm, "TICKET_VIEW")
        found = [row for row in self._tickets(numbers, since)
                 if "TICKET_VIEW" in req.perm("ticket", row["id"])]
        if numbers is not None:
            seen = set(row["id"] for row in found)
            missing = [number for number in sorted(numbers) if number not in seen] + missing
        if since is not None:
            found = [row for row in found if (row["changetime"] or 0) >= since * 1000000]
        comments = {}
        if level >= wire.COMMENT_IDS:
            for ticket, comment in self._comments(req, [row["id"] for row in found]):
                comments.setdefault(ticket, []).append(comment)
        bugs = [wire.bug(row, level, comments.get(row["id"], [])) for row in found]
        return [started, bugs + [wire.missing_bug(sent) for sent in missing]]

    def get_comments(self, req, ids):
        started = int(time.time())
        if not isinstance(ids, (list, tuple)):
            raise wire.Fault(wire.INVALID_PARAMS, "the comment ids must be an array")
        self._require(req.perm, "TICKET_VIEW")
        tickets = sorted(set(parsed[0] for parsed in map(wire.parse_comment_id, ids) if parsed))
        known = dict((comment["id"], comment) for ticket, comment in self._comments(req, tickets)
                     if "TICKET_VIEW" in req.perm("ticket", ticket))
        wanted = list(dict.fromkeys(u"%s" % (sent,) for sent in ids))
        return [started, [known[sent] for sent in wanted if sent in known] +
                [wire.missing_comment(sent) for sent in wanted if sent not in known]]

    def add_comment(self, req, bug_id, text):
        started = int(time.time())
        if not isinstance(text, (str, type(u""))) or not text.strip():
            raise wire.Fault(wire.INVALID_PARAMS, "the comment is empty")
        longest = self.config.getint("ticket", "max_comment_size", 262144)
        if 0 < longest < len(text):
            raise wire.Fault(wire.INVALID_PARAMS, "the comment is longer than %d characters" % longest)
        ticket = self._ticket(req, bug_id, "TICKET_APPEND")
        when = datetime_now(utc)
        numbered = ticket.save_changes(self.account, text, when)
        try:
            NotificationSystem(self.env).notify(
                TicketChangeEvent("changed", ticket, when, self.account, text))
        except Exception:  # The comment is there, whatever becomes of the mail.
            self.log.exception("trackgate: no notification for ticket %d", ticket.id)
        return [started, u"%d-%d" % (ticket.id, numbered)]

    def get_launchpad_bug(self, req, bug_id):
        started = int(time.time())
        ticket = self._ticket(req, bug_id, "TICKET_VIEW")
        for value, in self.env.db_query("SELECT value FROM ticket_custom WHERE ticket=%s AND name=%s",
                                        (ticket.id, LINK_FIELD)):
            return [started, wire.number(value) or 0]
        return [started, 0]

    def set_launchpad_bug(self, req, bug_id, linked):
        started, linked = int(time.time()), wire.link(linked)
        ticket = self._ticket(req, bug_id, "TICKET_APPEND")
        with self.env.db_transaction as db:
            db("DELETE FROM ticket_custom WHERE ticket=%s AND name=%s", (ticket.id, LINK_FIELD))
            if linked:
                db("INSERT INTO ticket_custom (ticket, name, value) VALUES (%s, %s, %s)",
                   (ticket.id, LINK_FIELD, u"%d" % linked))
        return [started]

    # The database

    def _tickets(self, numbers, since):
        """Returns tickets by number; None is all that changed since then. Of tickets that were
        asked for by number, those that did not change count too: they are not missing."""
        select = "SELECT %s FROM ticket" % ", ".join(COLUMNS)
        if numbers is None:
            rows = self.env.db_query(select + " WHERE changetime >= %s ORDER BY id",
                                     (int((since or 0) * 1000000),))
        else:
            rows = [row for some in wire.batches(sorted(numbers)) for row in self.env.db_query(
                "%s WHERE id IN (%s) ORDER BY id" % (select, ",".join(["%s"] * len(some))), some)]
        return [dict(zip(COLUMNS, row)) for row in rows]

    def _comments(self, req, tickets):
        """Returns pairs of ticket and comment, in order. A change without a text is no comment."""
        rows = [row for some in wire.batches(tickets) for row in self.env.db_query(
            "SELECT ticket, time, author, oldvalue, newvalue FROM ticket_change"
            " WHERE field='comment' AND ticket IN (%s) ORDER BY ticket, time" %
            ",".join(["%s"] * len(some)), some)]
        users, show = self._users(row[2] for row in rows), self._shows_addresses(req)
        result = []
        for ticket, when, author, oldvalue, text in rows:
            numbered = wire.comment_number(oldvalue)
            if numbered is not None and text and text.strip():
                user = wire.format_user(author, *(users.get(author, (None, None)) + (show,)))
                result.append((ticket, wire.comment(ticket, numbered, user, text, when)))
        return result

    def _users(self, authors):
        """Returns name and address of those who have set them in their preferences."""
        attributes = {}
        for some in wire.batches(set(author for author in authors if author)):
            for sid, name, value in self.env.db_query(
                    "SELECT sid, name, value FROM session_attribute WHERE authenticated=1"
                    " AND name IN ('name', 'email') AND sid IN (%s)" % ",".join(["%s"] * len(some)), some):
                attributes.setdefault(sid, {})[name] = value
        return dict((sid, (of.get("name"), of.get("email"))) for sid, of in attributes.items())

    def _shows_addresses(self, req):
        return bool(Chrome(self.env).show_email_addresses or "EMAIL_VIEW" in req.perm)

    def _ticket(self, req, bug_id, action):
        number = wire.number(bug_id)
        try:
            if number is None or "TICKET_VIEW" not in req.perm("ticket", number):
                raise ResourceNotFound("Ticket does not exist")
            ticket = Ticket(self.env, number)
        except ResourceNotFound:
            raise wire.Fault(wire.NO_SUCH_TICKET, "Ticket does not exist")
        self._require(req.perm("ticket", number), action)
        return ticket

    def _require(self, perm, action):
        if action not in perm:
            raise wire.Fault(wire.FORBIDDEN, "%s has no permission %s here" % (self.account, action))

