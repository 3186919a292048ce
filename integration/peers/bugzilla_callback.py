"""The callback of Bugzilla's Launchpad extension, and what it can do wrong.

Honest: `POST {root}/token/{token}/+bugtracker-handshake`, the token percent-encoded strictly,
no body but a form's Content-Type (capture 009-handshake-confirmed-200). Only 200 means yes.
"""

import http.client
import urllib.parse
import xmlrpc.client

from callback import CALLBACKS, FORM, Callback

HONEST = {"TE": "deflate,gzip;q=0.3", "Connection": "TE, close", "User-Agent": "Bugzilla/5.2+",
          **FORM}


class BugzillaCallback(Callback):
    """The callbacks of one log-in. `rules` are the misbehaviours that were asked for."""

    def __init__(self, root, timeout, ledger, rules):
        super().__init__(root, timeout, ledger)
        self._rules = rules
        self._statuses = []

    def confirm(self, token, exchange):
        """Whether the gateway says that the token is its own, and the status with which it
        said so: 0 when it did not answer."""
        rule = self._rules.take("callback")
        if rule is not None:
            accepted = CALLBACKS.run(rule, self, token, exchange)
        else:
            accepted = self.ask(token) == 200
        return accepted, self._statuses[0] if self._statuses else 0

    def ask(self, token, root=None, spelling="token", method="POST", body=b"", headers=None):
        status = super().ask(token, root, spelling, method, body,
                             HONEST if headers is None and not body else headers)
        self._statuses.append(status)
        return status

    def log_in_elsewhere(self, tracker, token):
        """Logs in to another tracker with the token: to a Bugzilla when the address ends with
        that of its XML-RPC, else to a Trac."""
        if not tracker.endswith("/xmlrpc.cgi"):
            return super().log_in_elsewhere(tracker, token)
        parts = urllib.parse.urlsplit(tracker)
        connection = http.client.HTTPConnection(parts.netloc, timeout=self._timeout)
        document = xmlrpc.client.dumps(({"token": token},), "Launchpad.login")
        try:
            connection.request("POST", parts.path, document.encode("utf-8"),
                               {"Content-Type": "text/xml"})
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
            cookies = [cookie.partition("=")[0]
                       for cookie in answer.headers.get_all("Set-Cookie") or []]
            self._ledger.handed_on("POST", tracker, answer.status, text, cookies)
            return answer.status
        except (OSError, http.client.HTTPException) as error:
            self._ledger.handed_on("POST", tracker, 0, str(error), [])
            return 0
        finally:
            connection.close()
