"""The XML-RPC plugin of a native Trac: its methods, its faults, and who may call it.

Texts that never change are those of the captures in ../testdata/trac.
"""

import pathlib
import re
import xmlrpc.client
from xml.parsers import expat

from trac_native_tickets import MissingTicket, TicketError, moment

CAPTURES = pathlib.Path(__file__).parent.parent / "testdata" / "trac"

# Methods whose answers are captured ones, by their first argument where there is one.
CAPTURED = {
    ("system.getAPIVersion", None): "001", ("system.listMethods", None): "002",
    ("system.methodHelp", "ticket.update"): "003", ("system.methodSignature", "ticket.update"): "004",
    ("ticket.status.getAll", None): "049", ("ticket.status.get", "new"): "050",
    ("ticket.resolution.getAll", None): "051", ("ticket.priority.getAll", None): "052",
    ("ticket.severity.getAll", None): "053", ("ticket.milestone.get", "milestone1"): "054",
    ("ticket.component.get", "component1"): "055",
}
CONSTANT = {name for name, _argument in CAPTURED}
ACTIONS = {"open": "047", "closed": "048"}

NO_SUCH_METHOD = -32601
NOT_A_CALL = -32700
GENERAL, FORBIDDEN, MISSING = 1, 403, 404

COLLISION = ("Your changes have not been saved because this ticket has been modified since you "
             "started editing.")

# What XML 1.0 cannot carry arrives as U+FFFD (capture 033).
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class NoPermission(Exception):
    """The caller lacks a permission."""


class ProtocolError(Exception):
    """Trac answers with a text and HTTP 500 in place of a fault."""


def captured(number):
    """The value of a captured answer."""
    file, = CAPTURES.glob(number + "-*.response.http")
    body = file.read_bytes().partition(b"\r\n\r\n")[2]
    return xmlrpc.client.loads(body, use_builtin_types=True)[0][0]


class RPC:
    """The methods. `ledger` learns of each call and of each comment written."""

    def __init__(self, tickets, clock, ledger):
        self.tickets, self.clock, self.ledger = tickets, clock, ledger
        self.constant = {key: captured(number) for key, number in CAPTURED.items()}
        self.actions = {state: captured(number) for state, number in ACTIONS.items()}
        self.fields = captured("056")
        for name in tickets.custom:
            self.fields.append({"name": name, "type": "text", "label": name, "custom": True,
                                "order": 0, "value": "", "format": "plain"})
        self.methods = {
            "ticket.get": self.get, "ticket.query": self.query, "ticket.changeLog": self.change_log,
            "ticket.getRecentChanges": self.recent, "ticket.update": self.update,
            "ticket.create": self.create, "ticket.delete": self.delete,
            "ticket.getActions": self.get_actions, "ticket.getTicketFields": lambda user: self.fields,
            "ticket.getAvailableActions": lambda user, number: [a[0] for a in self.get_actions(user, number)],
            "ticket.listAttachments": self.list_attachments,
            "ticket.putAttachment": self.put_attachment, "ticket.getAttachment": self.get_attachment,
            "system.multicall": self.multicall,
        }

    def answer(self, user, document):
        """The answer to a call, as a document. ProtocolError where Trac gives none."""
        try:
            arguments, name = xmlrpc.client.loads(document, use_builtin_types=True)
        except ValueError as error:
            if "does not match format" in str(error):
                raise ProtocolError("Unhandled protocol error calling '(undefined)': %s" % error) from error
            return dump(xmlrpc.client.Fault(NOT_A_CALL, str(error)))
        except (expat.ExpatError, xmlrpc.client.Error, TypeError) as error:
            return dump(xmlrpc.client.Fault(NOT_A_CALL, str(error)))
        try:
            if user is None:
                raise NoPermission("XML_RPC privileges are required to perform this operation. "
                                   "You don't have the required permissions.")
            if name is None:
                raise TicketError("Missing method name")
            return dump(self.call(user, name, arguments))
        except xmlrpc.client.Fault as fault:
            return dump(fault)
        except NoPermission as error:
            return dump(xmlrpc.client.Fault(FORBIDDEN, str(error)))
        except MissingTicket as error:
            return dump(xmlrpc.client.Fault(MISSING, str(error)))
        except (TicketError, TypeError, ValueError, KeyError) as error:
            return dump(xmlrpc.client.Fault(GENERAL, "'%s' while executing '%s()'" % (error, name)))

    def call(self, user, name, arguments):
        self.ledger.called(name)
        constant = (name, arguments[0] if arguments else None)
        if name in CONSTANT and constant in self.constant:
            return self.constant[constant]
        method = self.methods.get(name)
        if method is None:
            raise xmlrpc.client.Fault(NO_SUCH_METHOD, 'RPC method "%s" not found' % name)
        return method(user, *arguments)

    def multicall(self, user, calls):
        """Failed calls come back as what their exceptions hold (capture 005)."""
        answers = []
        for call in calls:
            try:
                answers.append([self.call(user, call["methodName"], call["params"])])
            except xmlrpc.client.Fault as fault:
                answers.append({"_message": fault.faultString, "title": "Trac Error", "show_traceback": False})
            except TicketError as error:
                answers.append({"_message": str(error), "title": error.title, "show_traceback": False})
            except TypeError as error:
                answers.append({"_message": str(error), "title": "Trac Error", "show_traceback": False})
        return answers

    def get(self, user, *arguments):
        # The text is that of capture 027.
        if not arguments:
            raise TypeError("TicketRPC.get() missing 1 required positional argument: 'id'")
        number, = arguments
        if number is None:  # capture 092
            return ["", "", "", {"owner": "< default >", "type": "defect", "priority": "major", "_ts": "0"}]
        with self.tickets.lock:
            ticket = self.tickets.find(number)
            created, changed = moment(ticket["created"]), moment(ticket["changed"])
            return [ticket["id"], created, changed, {**ticket["fields"], "time": created,
                                                     "changetime": changed, "_ts": str(ticket["changed"])}]

    def query(self, user, text="status!=closed"):
        return [ticket["id"] for ticket in self.tickets.query(text)]

    def change_log(self, user, number, when=0):
        with self.tickets.lock:
            ticket = self.tickets.find(number)
            return [[moment(row[0])] + row[1:] + [1] for row in self.tickets.log(ticket)]

    def recent(self, user, since):
        try:
            seconds = (since - moment(0)).total_seconds()
        except TypeError as error:
            raise TypeError("unsupported operand type(s) for -: '%s' and 'datetime.datetime'"
                            % type(since).__name__) from error
        return self.tickets.changed_since(round(seconds * 1000000))

    def get_actions(self, user, number):
        ticket = self.tickets.find(number)
        return self.actions["closed" if ticket["fields"]["status"] == "closed" else "open"]

    def create(self, user, summary, description, attributes=None, notify=False, when=None):
        return self.tickets.create(user, summary, description, attributes or {}, self.now())

    def delete(self, user, number):
        raise NoPermission("TICKET_ADMIN privileges are required to perform this operation on Ticket #%s. "
                           "You don't have the required permissions." % number)

    def update(self, user, number, comment, attributes=None, notify=False, author="", when=None):
        changes = dict(attributes or {})
        with self.tickets.lock:
            ticket = self.tickets.find(number)
            action, stamp = changes.pop("action", None), changes.pop("_ts", None)
            if stamp is not None and stamp != str(ticket["changed"]):
                raise TicketError(COLLISION)
            if action is not None and action not in [a[0] for a in self.get_actions(user, number)][:3]:
                raise TicketError("Rpc: Ticket %s by %s invalid action '%s'" % (number, user, action))
            if action == "resolve":
                changes = {"status": "closed", "resolution": changes["action_resolve_resolve_resolution"]}
            now = max(self.now(), ticket["changed"] + 1)  # a stamp is never the same twice
            if user == "admin" and when is not None:
                now = round((when - moment(0)).total_seconds() * 1000000)
            self.tickets.change(ticket, author if user == "admin" and author else user, comment, changes, now)
            if comment:
                count = sum(1 for row in ticket["changes"] if row[2] == "comment")
                self.ledger.comment_written(str(ticket["id"]), "%d-%d" % (ticket["id"], count), comment)
        return self.get(user, number)

    def list_attachments(self, user, number):
        return [[name, a["description"], len(a["data"]), moment(a["time"]), a["author"]]
                for name, a in self.tickets.find(number)["attachments"].items()]

    def put_attachment(self, user, number, name, description, data, replace=True):
        self.tickets.find(number)["attachments"][name] = {
            "description": description, "data": data, "time": self.now(), "author": user}
        return name

    def get_attachment(self, user, number, name):
        return self.tickets.find(number)["attachments"][name]["data"]

    def now(self):
        return round(self.clock.now() * 1000000)


def dump(result):
    document = xmlrpc.client.dumps(result if isinstance(result, xmlrpc.client.Fault) else (result,),
                                   methodresponse=True)
    return NOT_XML.sub("\ufffd", document).encode("utf-8")
