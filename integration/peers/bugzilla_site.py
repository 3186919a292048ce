"""The site: its settings, the way a call takes to its method, and the methods of the
namespaces Bugzilla, User and Product.

A method is a function of (site, visit, parameter); its result is what Bugzilla returns.
"""

import datetime

from bugzilla_accounts import Accounts, Visit
from bugzilla_bugs import Bugs
from bugzilla_wire import CLIENT, NOTHING, Fault

PERL_LIBRARIES = (
    "./extensions . lib /etc/perl /usr/local/lib/x86_64-linux-gnu/perl/5.36.0 "
    "/usr/local/share/perl/5.36.0 /usr/lib/x86_64-linux-gnu/perl5/5.36 /usr/share/perl5 "
    "/usr/lib/x86_64-linux-gnu/perl-base /usr/lib/x86_64-linux-gnu/perl/5.36 "
    "/usr/share/perl/5.36 /usr/local/lib/site_perl")

TIME_ZONES = {0: "UTC", 330: "IST", 60: "CET", -300: "EST"}


class Namespace:
    """Methods under one name. An open one runs without a look at who calls."""

    def __init__(self):
        self.methods = {}
        self.open = set()

    def method(self, name, is_open=False):
        """Decorator: adds a function as the method of this name."""
        def add(function):
            self.methods[name] = function
            if is_open:
                self.open.add(name)
            return function
        return add


BUGZILLA, USER, PRODUCT = Namespace(), Namespace(), Namespace()


class Settings:
    """What an administrator of the site, or a test, may change while it runs."""

    def __init__(self):
        # Whether nothing but the log-in is open to anonymous callers.
        self.requirelogin = False
        # Whether the site is closed for maintenance: 503 to everything.
        self.shutdown = False
        # What is broken: "database", "configuration" or "script"; "" is nothing.
        self.trouble = ""
        # How many minutes the server's local time is ahead of UTC.
        self.timezone = 0
        # Whether anonymous readers see addresses only up to the @.
        self.email_filter = False
        # Whether the Launchpad extension is installed, and whom it asks; "" is nobody.
        self.launchpad = False
        self.callback_root = ""
        # How long it waits for an answer, in seconds.
        self.callback_timeout = 30.0
        # Bugs that only insiders see; accounts that are closed.
        self.hidden = []
        self.disabled = []
        self.maxcommentlength = 65535


class Shape:
    """The version and the shapes that older versions have. alias_string: `alias` is a string;
    comment_author: a comment's `creator` is called `author`; local_time: Bugzilla.time is in
    the server's time zone, as before 5.1.1."""

    def __init__(self, version="5.2+", alias_string=False, comment_author=False, local_time=False):
        self.version = version
        self.alias_string = alias_string
        self.comment_author = comment_author
        self.local_time = local_time


class Site:
    """Everything that outlives a call."""

    def __init__(self, clock, ledger, shape, callback_for, generated):
        self.clock = clock
        self.ledger = ledger
        self.shape = shape
        self._callback_for = callback_for
        self.settings = Settings()
        self.accounts = Accounts(clock)
        self.bugs = Bugs(generated)
        self.namespaces = {"Bugzilla": BUGZILLA, "User": USER, "Product": PRODUCT}

    def change(self, **settings):
        """Changes settings; TypeError for one that does not exist."""
        for name, value in settings.items():
            if isinstance(value, int) and name == "callback_timeout":
                value = float(value)
            if type(getattr(self.settings, name, None)) is not type(value):
                raise TypeError("there is no setting %s of this type" % name)
            setattr(self.settings, name, value)
        self.bugs.hidden = set(self.settings.hidden)
        for account in self.accounts.all():
            if account.login != "gone@bugs.example":
                account.disabled = "closed" * (account.login in self.settings.disabled)

    def call(self, call, exchange, cookies):
        """Runs a call. Returns its result, or a Fault, and the Visit."""
        parameter = dict(call.parameter) if isinstance(call.parameter, dict) else {}
        visit = Visit(self.accounts, parameter, cookies, exchange.client_address[0])
        try:
            namespace, method = self.method(call.name)
            if call.name.rpartition(".")[2] not in namespace.open:
                visit.log_in()
                if self.settings.requirelogin:
                    visit.required()
            if isinstance(call.parameter, list):
                # Anything else that is no struct counts as none (capture 157-params-positional).
                raise Fault(-32000,
                            "Not a HASH reference at Bugzilla/WebService/Util.pm line 235.\n")
            visit.exchange = exchange
            result = method(self, visit, parameter)
        except Fault as fault:
            result = fault
        except (AttributeError, TypeError, ValueError) as error:
            # Perl, too, answers what it cannot make sense of with an internal error.
            result = Fault(-32000, "%s at Bugzilla/WebService/Server/XMLRPC.pm line 235.\n" % error)
        self.ledger.received(call.name, ids_in(call.parameter), visit)
        return result, visit

    def callback(self, token, exchange):
        """Asks the gateway about a token: (whether it is its own, the status of its answer)."""
        callback = self._callback_for(self.settings.callback_root, self.settings.callback_timeout)
        return callback.confirm(token, exchange)

    def method(self, name):
        """The namespace and the function of a method, or the Fault of one that is not there
        (captures 114-fault-unknown-method-in-namespace, 115-fault-unknown-namespace)."""
        first, _, last = name.rpartition(".")
        namespace = self.namespaces.get(first)
        if first == "Launchpad" and not self.settings.launchpad:
            namespace = None
        if namespace is None:
            raise Fault(CLIENT, "Can't locate .pm in @INC (@INC contains: %s) at "
                                "Bugzilla/WebService/Server/XMLRPC.pm line 115.\n" % PERL_LIBRARIES)
        if last not in namespace.methods:
            raise Fault(-32601, "The requested method '%s' was not found." % name)
        return namespace, namespace.methods[last]

    # Times: stored ones are the server's local time, those on the wire UTC.

    def offset(self):
        return datetime.timedelta(minutes=self.settings.timezone)

    def utc_now(self):
        now = datetime.datetime.fromtimestamp(int(self.clock.now()), datetime.timezone.utc)
        return now.replace(tzinfo=None)

    def stored_now(self):
        return self.utc_now() + self.offset()

    def to_utc(self, stored):
        return stored - self.offset()

    def to_stored(self, utc):
        return utc + self.offset()

    def offset_text(self):
        minutes = self.settings.timezone
        return "%s%02d%02d" % ("-" if minutes < 0 else "+", *divmod(abs(minutes), 60))

    # People.

    def shown_login(self, login, visit):
        """A login name as this caller may see it (capture 169-site-email-filter-anonymous)."""
        if self.settings.email_filter and visit.user is None:
            return login.partition("@")[0]
        return login

    def person(self, login, visit):
        """The struct that describes a user in a bug."""
        account = self.accounts.find(login)
        name = self.shown_login(login, visit)
        return {"id": account.id, "name": name, "email": name, "real_name": account.real_name}


def ids_in(parameter):
    """How many bugs or comments a call names."""
    if not isinstance(parameter, dict):
        return 0
    return sum(len(as_list(parameter[name])) for name in ("ids", "id", "bug_ids", "comment_ids")
               if parameter.get(name) is not None)


def as_list(value):
    """A lone value stands for a list of one (capture 040-bug.get-scalar-ids-not-array)."""
    return value if isinstance(value, list) else [value]


def wants(parameter, name):
    """Whether include_fields and exclude_fields let a member through."""
    return name in chosen(parameter, {name: None})


def chosen(parameter, members):
    """The members of a struct that include_fields and exclude_fields let through."""
    include, exclude = parameter.get("include_fields"), parameter.get("exclude_fields") or []
    if include is not None:
        members = {name: members[name] for name in as_list(include) if name in members}
    return {name: value for name, value in members.items() if name not in as_list(exclude)}


def argument(parameter, name, function=""):
    """An argument that has to be there and not be empty."""
    value = parameter.get(name)
    if value is None or value == "" or (isinstance(value, str) and not value.strip()):
        raise missing_argument(name, function)
    return value


def missing_argument(name, function=""):
    return Fault(50, "The function %srequires a %s argument, and that argument was not set." % (
        function + " " if function else "", name))


@BUGZILLA.method("version", is_open=True)
def version(site, _visit, _parameter):
    return {"version": site.shape.version}


@BUGZILLA.method("timezone", is_open=True)
def timezone(site, _visit, _parameter):
    return {"timezone": site.offset_text() if site.shape.local_time else "+0000"}


@BUGZILLA.method("parameters", is_open=True)
def parameters(site, _visit, _parameter):
    return {"parameters": {"maintainer": "admin@bugs.example",
                           "requirelogin": "%d" % site.settings.requirelogin}}


@BUGZILLA.method("time")
def time(site, _visit, _parameter):
    utc = site.utc_now()
    local = site.stored_now() if site.shape.local_time else utc
    minutes = site.settings.timezone if site.shape.local_time else 0
    name = TIME_ZONES.get(minutes, "local")
    return {"db_time": local, "web_time": local, "web_time_utc": utc, "tz_name": name,
            "tz_short_name": name,
            "tz_offset": site.offset_text() if site.shape.local_time else "+0000"}


@BUGZILLA.method("extensions")
def extensions(site, _visit, _parameter):
    there = {"Launchpad": {"version": "1.0"}} if site.settings.launchpad else {}
    return {"extensions": there}


@USER.method("login", is_open=True)
def login(site, visit, parameter):
    for name in ("login", "password"):
        if name not in visit.credentials:
            argument(parameter, name)
    visit.log_in()
    number, secret = site.accounts.begin(visit.user)
    return {"id": int(number), "token": number + "-" + secret}


@USER.method("logout")
def logout(site, visit, _parameter):
    if visit.user is not None:
        site.accounts.end_session(visit.secret)
        visit.clear()
    return NOTHING


@USER.method("valid_login")
def valid_login(_site, visit, parameter):
    name = argument(parameter, "login")
    return visit.user is not None and visit.user.login == name


@USER.method("get")
def get_users(site, visit, parameter):
    """By names, ids or match; ids and match are only for those who are logged in."""
    if visit.user is None and ("ids" in parameter or "match" in parameter):
        raise Fault(505, "You must log in to use this function with ids or match.")
    names, ids = as_list(parameter.get("names", [])), as_list(parameter.get("ids", []))
    patterns = [str(pattern).lower() for pattern in as_list(parameter.get("match", []))]
    known = {str(account.id) for account in site.accounts.all()}
    for name in names:
        if site.accounts.find(name) is None:
            raise Fault(51, "There is no user named '%s'. Either you mis-typed the name or that "
                            "user has not yet registered for a Bugzilla account." % name)
    for number in ids:
        if str(number) not in known:
            raise Fault(51, "There is no user with the id '%s'." % number)
    found = [account for account in site.accounts.all()
             if account.login in names or str(account.id) in map(str, ids)
             or any(p in (account.login + " " + account.real_name).lower() for p in patterns)]
    return {"users": [chosen(parameter, {**site.person(account.login, visit),
                                         "can_login": not account.disabled}) for account in found]}


@PRODUCT.method("get")
def get_products(site, _visit, parameter):
    """By names or ids; an unknown one is left out (capture 112-product.get-unknown-name)."""
    if not {"ids", "names", "type"} & set(parameter):
        raise Fault(50, "The function Product.get requires that you set one of the following "
                        "parameters: ids, names, type")
    names = as_list(parameter.get("names", []))
    ids = [str(number) for number in as_list(parameter.get("ids", []))]
    return {"products": [chosen(parameter, product) for product in site.bugs.products
                         if "type" in parameter or product["name"] in names
                         or str(product["id"]) in ids]}


@PRODUCT.method("get_accessible_products")
@PRODUCT.method("get_selectable_products")
@PRODUCT.method("get_enterable_products")
def get_accessible_products(_site, _visit, _parameter):
    # Number 1 is the product that an installation begins with.
    return {"ids": [1, 2]}
