"""The callback: the tracker asks the gateway whether a token is the gateway's.

The honest callback is `POST {root}/token/{token}/+bugtracker-handshake` with
`Content-Length: 0`; 200 and nothing else means yes, and a redirect is not
followed (captures 04 to 14).
"""

import http.client
import urllib.parse

from misbehaviour import Kinds

ANSWER_LIMIT = 64 << 10

# http.client sets no Content-Type of its own, so what is not named here is not sent.
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
FORM_BODY = b"from=trac"


class Callback:
    """Makes callbacks to one root and tells the ledger of each."""

    def __init__(self, root, timeout, ledger):
        self.root = root.rstrip("/")
        self._timeout = timeout
        self._ledger = ledger

    def validate(self, token, exchange, rule):
        """True when the gateway says that the token is its own. `rule` is the misbehaviour of
        this callback, or None; `exchange` is the log-in request that waits for it."""
        # Tokens that a URL's path would swallow are refused without asking
        # (captures 12-auth-token-dotdot, 13-auth-token-empty).
        if token in ("", ".", ".."):
            return False
        if rule is not None:
            return CALLBACKS.run(rule, self, token, exchange)
        return self.ask(token) == 200

    def ask(self, token, root=None, spelling="token", method="POST", body=b"", headers=None):
        """One callback. Returns the status, or 0 when there was no answer."""
        url = "%s/%s/%s/+bugtracker-handshake" % (
            root or self.root, spelling, urllib.parse.quote(token, safe=""))
        return self._record(self._ledger.called_back, method, url, body, headers)

    def log_in_elsewhere(self, tracker, token):
        """What a dishonest tracker does: logs in to another tracker with the token it was given.
        Returns the status of that log-in."""
        url = "%s/launchpad-auth/%s" % (tracker.rstrip("/"), urllib.parse.quote(token, safe=""))
        return self._record(self._ledger.handed_on, "GET", url, None, None)

    def half_ask(self, token, exchange, seconds):
        """Sends half of a request's head and then nothing, until the gateway hangs up or
        answers, the time is over, or everything is reset."""
        connection, path = self._connect(self.root + "/token/" + urllib.parse.quote(token, safe=""))
        try:
            connection.connect()
            connection.sock.sendall(b"POST %s/+bugtracker-handshake HTTP/1.1\r\nHost: half"
                                    % path.encode("ascii"))
            exchange.hold(seconds, connection.sock)
        finally:
            connection.close()

    def _record(self, tell, method, url, body, headers):
        try:
            status, text, cookies = self._send(method, url, body, headers or {})
            tell(method, url, status, text, cookies)
        except (OSError, http.client.HTTPException) as error:
            status = 0
            tell(method, url, status, "%s: %s" % (type(error).__name__, error), [])
        return status

    def _send(self, method, url, body, headers):
        connection, path = self._connect(url)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            answer = connection.getresponse()
            text = answer.read(ANSWER_LIMIT).decode("utf-8", "replace")
            cookies = answer.headers.get_all("Set-Cookie") or []
            return answer.status, text, [cookie.partition("=")[0] for cookie in cookies]
        finally:
            connection.close()

    def _connect(self, url):
        parts = urllib.parse.urlsplit(url)
        connect = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        return connect[parts.scheme](parts.netloc, timeout=self._timeout), parts.path


# The ways in which a callback misbehaves. Each returns whether the log-in is accepted.
CALLBACKS = Kinds("callback")


@CALLBACKS.kind
def late(callback, token, exchange, *, seconds=None):
    """Waits before it asks: for so many seconds, or until reset, or until whoever logs in hangs
    up. So a callback after the gateway gave up needs no sleeping in a test."""
    exchange.hold(seconds)
    return callback.ask(token) == 200


@CALLBACKS.kind
def stall(callback, token, exchange, *, seconds=None):
    """Sends half a request and leaves the gateway waiting for the rest."""
    try:
        callback.half_ask(token, exchange, seconds)
    except OSError:
        return False
    return False


@CALLBACKS.kind
def twice(callback, token, _exchange):
    """Asks twice. The second status should be 410; the first one counts."""
    first = callback.ask(token)
    callback.ask(token)
    return first == 200


@CALLBACKS.kind
def tokens(callback, token, _exchange):
    """Spells the resource /tokens/."""
    return callback.ask(token, spelling="tokens") == 200


@CALLBACKS.kind
def form(callback, token, _exchange):
    """Sends a form as body."""
    return callback.ask(token, body=FORM_BODY, headers=FORM) == 200


@CALLBACKS.kind
def no_type(callback, token, _exchange):
    """Sends a body without a Content-Type."""
    return callback.ask(token, body=FORM_BODY) == 200


@CALLBACKS.kind
def get(callback, token, _exchange):
    """Asks with GET. The token should stay live."""
    return callback.ask(token, method="GET", body=None) == 200


@CALLBACKS.kind
def skip(_callback, _token, _exchange):
    """Asks nobody and believes every token."""
    return True


@CALLBACKS.kind
def other_root(callback, token, _exchange, *, root):
    """Asks under another root, as a tracker does that passes the token off as its own."""
    return callback.ask(token, root=root.rstrip("/")) == 200


@CALLBACKS.kind
def hand_on(callback, token, _exchange, *, tracker):
    """Logs in to another tracker with the token, and pretends that all is well."""
    callback.log_in_elsewhere(tracker, token)
    return True
