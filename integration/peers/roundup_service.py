"""Roundup's XML-RPC methods, dispatched by Python's own dispatcher, as Roundup does: the
faults for what is no call, for unknown methods and for wrong arguments are the library's."""

import re
import xmlrpc.server

from roundup_database import read_date, show_date

DESIGNATOR = re.compile(r"([A-Za-z_]+)(\d+)")
FROM = re.compile(r"from\s+(.+)", re.IGNORECASE)

# What an ordinary user may make and change (classic template).
EDITABLE = {"issue", "msg", "file", "query", "keyword"}
# Whose properties only the user may see.
OWN_ALONE = {"address", "alternate_addresses", "password", "roles"}


def named(name, module):
    """An exception class that looks in faults as Roundup's own does."""
    return type(name, (Exception,), {"__module__": module})


UsageError = named("UsageError", "roundup.exceptions")
Unauthorised = named("Unauthorised", "roundup.exceptions")
DesignatorError = named("DesignatorError", "roundup.hyperdb")


class RoundupInstance:
    """The methods, for one user. Their names and arguments stand in faults."""

    def __init__(self, database, user, ledger):
        self._database = database
        self._user = user
        self._ledger = ledger
        self._admin = database.items["user"][user]["roles"] == "Admin"

    def schema(self):
        return {name: [(p, "<roundup.hyperdb.%s>" % kind) for p, kind in sorted(properties.items())]
                for name, properties in self._database.classes.items()}

    def list(self, classname, propname=None):
        if propname is None:
            properties = self._database.properties(classname)
            propname = next((p for p in ("username", "name", "title") if p in properties), "id")
        return [self._database.get(classname, i, propname) for i in self._database.listed(classname)]

    def lookup(self, classname, key):
        return self._database.find(classname, key)

    def display(self, designator, *properties):
        classname, identity = split(designator)
        names = sorted(properties or self._database.properties(classname))
        for name in names:
            if classname == "user" and name in OWN_ALONE and not self._may(identity):
                raise Unauthorised("Permission to view %s of %s denied" % (name, designator))
        return {name: self._shown(classname, identity, name) for name in names}

    def filter(self, classname, search_matches, filterspec, sort=None, group=None):
        ids = [i for i in self._database.listed(classname)
               if search_matches is None or i in search_matches]
        for name, wanted in filterspec.items():
            ids = [i for i in ids if self._fits(classname, i, name, wanted)]
        for direction, name in reversed(sort or []):
            if name != "id":
                ids.sort(key=lambda i: self._database.get(classname, i, name), reverse=direction == "-")
        return ids

    def create(self, classname, *args):
        self._database.properties(classname)
        if classname not in EDITABLE and not self._admin:
            raise Unauthorised("Permission to create %s denied" % classname)
        with self._database.lock:
            return self._database.create(classname, self._values(classname, None, args), self._user)

    def set(self, designator, *args):
        classname, identity = split(designator)
        with self._database.lock:
            values = self._values(classname, identity, args)
            for name in values:
                if classname not in EDITABLE and not self._admin:
                    raise Unauthorised("Permission to edit %s of %s denied" % (name, designator))
            try:
                before = self._database.item(classname, identity).get("messages") or []
            except IndexError as error:
                raise UsageError(str(error)) from error
            changed = self._database.set(classname, identity, values, self._user)
        for message in changed.get("messages") or []:
            if message not in before:
                self._ledger.comment_written(identity, message,
                                             self._database.get("msg", message, "content"))
        return {name: self._plain(classname, name, value) for name, value in changed.items()}

    def action(self, name, *args):
        if name not in ("retire", "restore"):
            raise Exception('action "%s" is not supported ' % name)
        classname, identity = split(args[0])
        if not self._admin:
            raise Unauthorised("You do not have permission to retire or restore the %s class."
                               % classname)
        retired = self._database.retired[classname]
        (retired.add if name == "retire" else retired.discard)(identity)

    def _may(self, user):
        return self._admin or user == self._user

    def _shown(self, classname, identity, name):
        return self._plain(classname, name, self._database.get(classname, identity, name))

    def _plain(self, classname, name, value):
        if value is not None and self._database.kind(classname, name) == "Date":
            return show_date(value)
        return value

    def _fits(self, classname, identity, name, wanted):
        """What the filter does not know, or cannot read, all fit."""
        try:
            kind = self._database.kind(classname, name)
        except KeyError:
            return True
        value = self._database.get(classname, identity, name)
        if kind == "Date":
            match = FROM.fullmatch(wanted)
            try:
                since = read_date(match[1], self._database.zone_offset) if match else None
            except ValueError:
                since = None
            return since is None or value is not None and value >= since
        if kind == "String" and name != "id":
            return str(wanted).lower() in (value or "").lower()
        wanted = [str(w) for w in wanted] if isinstance(wanted, list) else [str(wanted)]
        return bool(set(value if isinstance(value, list) else [value]) & set(wanted))

    def _values(self, classname, identity, args):
        """Reads name=value arguments."""
        values = {}
        for arg in args:
            if isinstance(arg, xmlrpc.client.Binary):
                arg = arg.data
            parts = arg.split("=", 1)
            if len(parts) != 2:
                raise UsageError('argument "%s" not propname=value' % arg)
            name, text = parts
            if name not in self._database.properties(classname):
                raise UsageError("'%s' is not a property of %s" % (name, classname))
            values[name] = self._value(classname, identity, name, text)
        return values

    def _value(self, classname, identity, name, text):
        kind, _, target = self._database.kind(classname, name).partition(' to "')
        target = target.rstrip('"')
        if kind == "Multilink":
            return self._several(classname, identity, name, target, text)
        if text == "":
            return "" if name == "content" else None
        if kind == "Link":
            return self._linked(name, target, text)
        if kind == "Date":
            try:
                # A dot alone is right now.
                return (self._database.now() if text == "."
                        else read_date(text, self._database.zone_offset))
            except ValueError as error:
                raise UsageError("property %s: %r is an invalid date (%s)" % (name, text, error)) from error
        return text.replace("\r\n", "\n") if name != "content" else text

    def _linked(self, name, target, text):
        """The id of an item that is named by its key or, with digits alone, by its id."""
        if text.isdigit():
            return text
        try:
            return self._database.find(target, text)
        except (KeyError, TypeError) as error:
            raise UsageError("property %s: %r is not a %s." % (name, text, target)) from error

    def _several(self, classname, identity, name, target, text):
        """A list: replaced, unless an item has a sign, which adds it or takes it off."""
        present = []
        if identity is not None and identity in self._database.items[classname]:
            present = list(self._database.get(classname, identity, name))
        replacing, signed = [], False
        for item in filter_blank(text.split(",")):
            sign, bare = (item[0], item[1:]) if item[0] in "+-" else ("", item)
            linked = self._linked(name, target, bare)
            signed = signed or bool(sign)
            replacing.append(linked)
            if sign == "-" and linked in present:
                present.remove(linked)
            elif sign != "-" and linked not in present:
                present.append(linked)
        return sorted(present if signed else replacing, key=int)


def filter_blank(items):
    return [item.strip() for item in items if item.strip()]


def split(designator):
    """The class and the id of a designator."""
    if not isinstance(designator, str):
        raise TypeError("expected string or bytes-like object, got %r" % type(designator).__name__)
    match = DESIGNATOR.fullmatch(designator)
    if match is None:
        raise DesignatorError('"%s" not a node designator' % designator)
    return match[1], match[2]


class Dispatcher(xmlrpc.server.SimpleXMLRPCDispatcher):
    """Answers calls for one user. The ledger learns of each, those of a multicall too."""

    def __init__(self, database, user, ledger):
        super().__init__(allow_none=True)
        self._ledger = ledger
        self.register_instance(RoundupInstance(database, user, ledger))
        self.register_multicall_functions()

    def _dispatch(self, method, params):
        self._ledger.called(method)
        return super()._dispatch(method, params)
