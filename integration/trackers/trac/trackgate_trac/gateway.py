# -*- coding: utf-8 -*-
"""The callback: asks the gateway whether a token is its own. Needs no Trac.

The code keeps to what Python 2.7 has as well, on which Trac 1.4 runs.
"""

import ssl
import threading

try:
    from http.client import HTTPConnection, HTTPException, HTTPSConnection
    from urllib.parse import quote, urlsplit
except ImportError:
    from httplib import HTTPConnection, HTTPException, HTTPSConnection
    from urllib import quote
    from urlparse import urlsplit

#: Seconds that a callback may take in all.
DEFAULT_TIMEOUT = 10
#: No token of a gateway is nearly as long, in UTF-8.
LONGEST_TOKEN = 256


class NotConfirmed(Exception):
    """The gateway did not say that the token is its own. The text says why, without the token."""


def check_root(root):
    """Returns a callback root without the slash at its end, or raises ValueError."""
    root = (root or "").strip().rstrip("/")
    parts = urlsplit(root)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("the callback root must be an http or https URL")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("the callback root must have no user, no query and no fragment")
    parts.port  # Raises ValueError when it is none.
    return root


def callback_path(root, token):
    """Returns the path to POST to. Whatever the token is, it stays one segment of it."""
    raw = token.encode("utf-8")
    if token in ("", ".", ".."):
        # Clients and proxies take dots out of a path, however they are written.
        raise NotConfirmed("no token")
    if len(raw) > LONGEST_TOKEN:
        raise NotConfirmed("the token is longer than %d bytes" % LONGEST_TOKEN)
    return "%s/token/%s/+bugtracker-handshake" % (urlsplit(root).path, quote(raw, safe=""))


def confirm(root, token, timeout=DEFAULT_TIMEOUT, ca_file=None):
    """Returns when the gateway has said 200, and raises NotConfirmed otherwise.

    Certificates are verified, against ca_file if there is one. Redirects are not followed and
    proxies not used. Nothing takes longer than timeout, resolving the name included.
    """
    try:
        root = check_root(root)
    except ValueError as error:
        raise NotConfirmed("this Trac is not set up: %s" % error)
    path = callback_path(root, token)
    outcome = []

    def ask():
        try:
            outcome.append(_post(urlsplit(root), path, timeout, ca_file))
        except (EnvironmentError, HTTPException, ValueError) as error:
            # The texts of some of these quote addresses and paths; the types say enough.
            outcome.append("the gateway could not be reached (%s)" % type(error).__name__)

    # Time limits of sockets hold for each read alone. The thread cannot outlive its last one.
    asking = threading.Thread(target=ask)
    asking.daemon = True
    asking.start()
    asking.join(timeout)
    if not outcome:
        raise NotConfirmed("the gateway gave no answer within %g seconds" % timeout)
    if outcome[0] != 200:
        status = outcome[0]
        raise NotConfirmed(status if isinstance(status, str) else "HTTP status %d" % status)


def _post(parts, path, timeout, ca_file):
    if parts.scheme == "https":
        # A default context verifies certificates and names.
        connection = HTTPSConnection(parts.hostname, parts.port, timeout=timeout,
                                     context=ssl.create_default_context(cafile=ca_file or None))
    else:
        connection = HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        connection.request("POST", path, body=b"", headers={
            "Content-Length": "0", "User-Agent": "trackgate-trac/1.0", "Connection": "close"})
        return connection.getresponse().status
    finally:
        connection.close()
