"""Who may do what: accounts, log-ins with tokens or cookies, API keys, and the lock-out.

A session is a pair of user id and secret. User.login hands it out as the token "ID-SECRET";
the two halves also work as the cookies Bugzilla_login and Bugzilla_logincookie (captures
008-user.login-ok, 017-bug.get-login-cookies).
"""

import datetime
import re
import secrets
import string
import threading

from bugzilla_wire import Fault

ATTEMPTS = 5
LOCKED_SECONDS = 30 * 60
SECRET_LENGTH = 10

CLEARED = ["%s=X; path=/; expires=Tue, 15-Sep-1998 21:49:00 GMT" % name
           for name in ("Bugzilla_login", "Bugzilla_logincookie", "sudo")]

LETTERS = string.ascii_letters + string.digits


class Account:
    def __init__(self, number, login, real_name, password, insider=False):
        self.id = number
        self.login = login
        self.real_name = real_name
        self.password = password
        self.insider = insider
        self.disabled = ""


class Accounts:
    """The people of the captures. Every method may be called from several threads.

    Of the captures' site only the administrator's password is not known; this one is made up,
    as the others are."""

    def __init__(self, clock):
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions = {}
        self._failures = {}
        self._accounts = {account.login: account for account in (
            Account(1, "admin@bugs.example", "Ada Admin", "fake-admin-Pass1", insider=True),
            Account(2, "rene@bugs.example", "René Müller-Østergård", "fake-rene-Pass1"),
            Account(3, "launchpad@bugs.example", "Launchpad bridge", "fake-launchpad-Pass1"),
            Account(4, "gone@bugs.example", "Gone Away", "fake-gone-Pass1"))}
        self._accounts["gone@bugs.example"].disabled = "left the project"
        self._keys = {
            "FAKEAPIKEY0000000000000000000000RENE0001": ("rene@bugs.example", False),
            "FAKEAPIKEY0000000000000000000000LAUNCH01": ("launchpad@bugs.example", False),
            "FAKEAPIKEY0000000000000000000000REVOKED1": ("rene@bugs.example", True)}

    def all(self):
        return list(self._accounts.values())

    def find(self, login):
        """The account of this name, or None."""
        return self._accounts.get(login)

    def by_password(self, login, password, address):
        """The account that name and password belong to; a Fault for any other."""
        account = self.find(login)
        if account is None:
            raise wrong_password()
        now = self._clock.now()
        with self._lock:
            failures = [at for at in self._failures.get(login, []) if now - at < LOCKED_SECONDS]
            self._failures[login] = failures
            if len(failures) < ATTEMPTS and account.password == password:
                failures.clear()
            elif len(failures) < ATTEMPTS:
                failures.append(now)
                if len(failures) < ATTEMPTS:
                    raise wrong_password()
            if failures:
                raise locked_out(address, failures[-ATTEMPTS] + LOCKED_SECONDS)
        return account

    def by_key(self, key):
        login, revoked = self._keys.get(key, ("", False))
        if not login:
            raise Fault(306, "The API key you specified is invalid. Please check that you typed "
                             "it correctly.")
        if revoked:
            raise Fault(306, "The API key you specified has been revoked by the user that "
                             "created it.")
        return self.find(login)

    def begin(self, account):
        """Starts a session; returns (user id, secret), both as strings."""
        secret = "".join(secrets.choice(LETTERS) for _ in range(SECRET_LENGTH))
        with self._lock:
            self._sessions[secret] = account
        return str(account.id), secret

    def by_session(self, user, secret):
        """The account of a session; the Fault of a stale one otherwise."""
        with self._lock:
            account = self._sessions.get(secret)
        if account is None or str(account.id) != user:
            raise Fault(32000, "The cookies or token provide were not valid or have expired. You "
                               "may login again to get new cookies or a new token.")
        return account

    def end(self, account):
        """Ends a user's sessions."""
        with self._lock:
            self._sessions = {secret: owner for secret, owner in self._sessions.items()
                              if owner is not account}

    def end_session(self, secret):
        with self._lock:
            self._sessions.pop(secret, None)

    def end_all(self, _kind=None):
        """Ends every session. Bugzilla knows no difference between too old and forgotten."""
        with self._lock:
            self._sessions.clear()

    def count(self):
        with self._lock:
            return len(self._sessions)


def wrong_password():
    return Fault(300, "The login or password you entered is not valid.")


def locked_out(address, until):
    at = datetime.datetime.fromtimestamp(until, datetime.timezone.utc)
    return Fault(32000, at.strftime(
        "Your IP (" + address + ") has been locked out of this account until %Y-%m-%d %H:%M UTC, "
        "as you have exceeded the maximum number of login attempts."))


def disabled_fault(account):
    return Fault(301, "Account closed (%s). If you believe your account should be restored, "
                      "please send email to admin@bugs.example explaining why." % account.disabled)


class Visit:
    """One call's view of who makes it.

    `user` is the account, or None for an anonymous caller; `session` says how it was shown:
    "password", "api_key", "cookies", "token" or "". `secret` is that of the session used.
    `cookies` is what the answer sets; `cleared` that the log-in cookies are among it.
    """

    def __init__(self, accounts, parameter, cookies, address):
        self._accounts = accounts
        self._cookies = cookies
        self._address = address
        self.user = None
        self.session = ""
        self.secret = ""
        self.cookies = []
        self.cleared = False
        self.looked = False
        self.credentials = take_credentials(parameter)

    def log_in(self):
        """Finds out who calls. A name with a password is asked first, then the API key, and
        cookies before a token (captures 182-bug.get-token-and-wrong-cookies)."""
        self.looked = True
        given = self.credentials
        halves = re.fullmatch(r"(\d+)-(.+)", str(given.get("token", "")))
        if "login" in given and "password" in given:
            self.session = "password"
            self._is(self._accounts.by_password(
                str(given["login"]), str(given["password"]), self._address))
        elif "api_key" in given:
            self.session = "api_key"
            self._is(self._accounts.by_key(str(given["api_key"])))
        elif self._cookies.get("Bugzilla_login") and self._cookies.get("Bugzilla_logincookie"):
            self._by_session("cookies", self._cookies["Bugzilla_login"],
                             self._cookies["Bugzilla_logincookie"])
        elif halves:
            # A token without a dash is no token (capture 021-bug.get-malformed-token-ignored).
            self._by_session("token", halves[1], halves[2])

    def _by_session(self, session, user, secret):
        self.session, self.secret = session, secret
        self._is(self._accounts.by_session(user, secret))

    def _is(self, account):
        if account.disabled:
            self.clear()
            raise disabled_fault(account)
        self.user = account

    def clear(self):
        """Drops the log-in cookies (captures 012 and 029)."""
        self.cookies, self.cleared = list(CLEARED), True

    def shown(self):
        """How a session was shown, whether it was looked at or not; for the ledger."""
        if self.looked:
            return self.session
        if self._cookies.get("Bugzilla_logincookie"):
            return "cookies"
        return next((name for name in ("password", "api_key", "token")
                     if name in self.credentials), "")

    def required(self):
        """The user, or the Fault that asks for a log-in."""
        if self.user is None:
            raise Fault(410, "You must log in before using this part of Bugzilla.")
        return self.user


def take_credentials(parameter):
    """Removes the credentials from a call's parameter, whichever way they are spelt. A method
    never sees a parameter "token" of its own (capture 016-bug.get-short-token-param)."""
    given = {}
    if {"login", "password"} <= set(parameter):
        given["login"], given["password"] = parameter.pop("login"), parameter.pop("password")
    for name in ("api_key", "token"):
        if name in parameter:
            given[name] = parameter.pop(name)
    for name in ("login", "password", "api_key", "token"):
        if "Bugzilla_" + name in parameter:
            given[name] = parameter.pop("Bugzilla_" + name)
    return given
