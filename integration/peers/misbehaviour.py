"""Misbehaviour on demand: which requests misbehave, and how answers do.

A rule says where ("login", "write", "xmlrpc", "callback" or "other"), what kind, for how
many requests, and the kind's own options. The first rule of a place is used up
before the second; a rule without a number stays until everything is reset.
"""

import inspect
import secrets
import struct
import threading
import xmlrpc.client
import zlib

MEBIBYTE = 1 << 20
ENDLESS_BYTES = 10 << 30
BOMB_BYTES = 1 << 30

# The first bytes of an answer that could become a good one, were it ever to end.
ANSWER_BEGINS = (b"<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><string>")

# The head of a gzip member without name or time (RFC 1952), and an empty last deflate block.
GZIP_BEGINS = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
DEFLATE_ENDS = b"\x03\x00"


class BadRule(Exception):
    """The control interface was asked for something that does not exist."""


class Rule:
    def __init__(self, kind, options, times):
        self.kind = kind
        self.options = options
        self.times = times


class Kinds:
    """The misbehaviours of one sort: functions under their own names."""

    def __init__(self, name):
        self.name = name
        self._functions = {}

    def kind(self, function):
        """Decorator: adds a function. Its keyword-only parameters are the options of its kind."""
        self._functions[function.__name__] = function
        return function

    def check(self, kind, options):
        """Raises BadRule for a kind that does not exist, or with options that are not its own."""
        if kind not in self._functions:
            raise BadRule("there is no %s misbehaviour %r; there are: %s"
                          % (self.name, kind, ", ".join(sorted(self._functions))))
        known = [p for p in inspect.signature(self._functions[kind]).parameters.values()
                 if p.kind is p.KEYWORD_ONLY]
        strange = set(options) - {p.name for p in known}
        lacking = {p.name for p in known if p.default is p.empty} - set(options)
        if strange or lacking:
            raise BadRule("%s: options that it has not: %s; options that it needs: %s"
                          % (kind, sorted(strange), sorted(lacking)))

    def run(self, rule, *arguments):
        return self._functions[rule.kind](*arguments, **rule.options)


class Rules:
    """The rules in force, by place. `release` grows with every reset: what is held looks at it."""

    def __init__(self, kinds_by_place):
        self._kinds = kinds_by_place
        self._lock = threading.Lock()
        self._queues = {place: [] for place in kinds_by_place}
        self.release = 0

    def add(self, place, kind, times, options):
        """Adds a rule for the next `times` requests; 0 means until reset."""
        if place not in self._kinds:
            raise BadRule("there is no place %r; there are: %s"
                          % (place, ", ".join(sorted(self._kinds))))
        if not isinstance(times, int) or times < 0:
            raise BadRule("times must be a number from 0 on")
        self._kinds[place].check(kind, options)
        with self._lock:
            self._queues[place].append(Rule(kind, options, times))

    def take(self, place):
        """The rule for the next request at this place, or None."""
        with self._lock:
            queue = self._queues[place]
            if not queue:
                return None
            rule = queue[0]
            if rule.times == 1:
                queue.pop(0)
            elif rule.times > 1:
                rule.times -= 1
            return rule

    def any(self, place):
        """Whether a rule waits for a request at this place."""
        with self._lock:
            return bool(self._queues[place])

    def reset(self):
        """Removes every rule and lets go what is held."""
        with self._lock:
            for queue in self._queues.values():
                queue.clear()
            self.release += 1


# The ways in which an answer misbehaves. `exchange` is the request's handler: `execute` does
# what an honest tracker does and returns its answer, `send` sends one.
ANSWERS = Kinds("answer")


@ANSWERS.kind
def slow(exchange, *, seconds=None):
    """Answers as it should, but late: after so many seconds, or when everything is reset."""
    if exchange.hold(seconds):
        exchange.send(exchange.execute())
    else:
        exchange.close_connection = True


@ANSWERS.kind
def stall(exchange, *, after=0):
    """Executes the request, sends the head and so many bytes of the body, and then nothing."""
    answer = exchange.execute()
    answer.framing = "Content-Length: %d" % len(answer.body)
    exchange.write(exchange.head(answer) + answer.body[:after])
    exchange.hold(None)
    exchange.close_connection = True


@ANSWERS.kind
def wrong_length(exchange, *, delta):
    """Says a Content-Length that is `delta` too long or, below zero, too short."""
    answer = exchange.execute()
    answer.framing = "Content-Length: %d" % max(0, len(answer.body) + delta)
    exchange.write(exchange.head(answer) + answer.body)
    exchange.close_connection = True


@ANSWERS.kind
def half(exchange):
    """Sends the first half of the document in a well-formed HTTP answer."""
    answer = exchange.execute()
    answer.body = answer.body[:len(answer.body) // 2]
    exchange.send(answer)


@ANSWERS.kind
def html200(exchange):
    """Answers every request with Trac's HTML, status 200, and does nothing else."""
    exchange.send(exchange.page(200, "Welcome to Trac", "Nothing to see here."))


@ANSWERS.kind
def html500(exchange):
    """Answers with Trac's HTML and status 500."""
    exchange.send(exchange.page(500, "Error: Internal Server Error",
                                "Trac detected an internal error."))


@ANSWERS.kind
def status(exchange, *, status=503, text="Service unavailable\n", headers=None):
    """Answers with a status and a text of choice, and executes nothing."""
    answer = exchange.text(status, text)
    answer.headers = list((headers or {}).items())
    exchange.send(answer)


@ANSWERS.kind
def endless(exchange, *, limit=ENDLESS_BYTES):
    """Writes one string without end: until the peer hangs up, or `limit` bytes were written."""
    answer = exchange.document(ANSWER_BEGINS)
    exchange.write(exchange.head(answer) + chunk(ANSWER_BEGINS))
    piece = chunk(b"x" * MEBIBYTE)
    for _ in range(limit // MEBIBYTE):
        exchange.write(piece)
    exchange.close_connection = True


@ANSWERS.kind
def gzip_bomb(exchange, *, size=BOMB_BYTES):
    """A gzip body of about a thousandth of `size` that unpacks to one string of `size` bytes."""
    answer = exchange.document(b"")
    answer.headers = [("Content-Encoding", "gzip")]
    exchange.write(exchange.head(answer) + chunk(GZIP_BEGINS + deflated(ANSWER_BEGINS)))
    checksum, length = zlib.crc32(ANSWER_BEGINS), len(ANSWER_BEGINS)
    plain = b"x" * MEBIBYTE
    packed = chunk(deflated(plain))
    for _ in range(size // MEBIBYTE):
        exchange.write(packed)
        checksum, length = zlib.crc32(plain, checksum), length + len(plain)
    trailer = struct.pack("<LL", checksum, length & 0xffffffff)
    exchange.write(chunk(DEFLATE_ENDS + trailer) + b"0\r\n\r\n")


def deflated(data):
    """Data as deflate blocks that can stand anywhere in a stream, any number of times."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)


@ANSWERS.kind
def redirect(exchange, *, to=None, status=302):
    """Redirects: to another URL, or by default to another path of this tracker."""
    answer = exchange.text(status, "Moved\n")
    answer.headers = [("Location", to or exchange.server.base + "/moved")]
    exchange.send(answer)


@ANSWERS.kind
def fault(exchange, *, code=1, text="The tracker is out of order"):
    """Answers with a fault, whose code may also be a string, and executes nothing."""
    exchange.send(exchange.document(xmlrpc.client.dumps(
        xmlrpc.client.Fault(code, text), methodresponse=True).encode("utf-8")))


@ANSWERS.kind
def document(exchange, *, body):
    """Answers with a document of choice as text/xml, and executes nothing."""
    exchange.send(exchange.document(body.encode("utf-8")))


@ANSWERS.kind
def garbage(exchange):
    """Answers with bytes that are not HTTP."""
    exchange.write(b"\x00\x01 this is no HTTP \xff\xfe\r\n\r\n" + secrets.token_bytes(512))
    exchange.close_connection = True


@ANSWERS.kind
def garbage_body(exchange):
    """Answers with random bytes as text/xml."""
    exchange.send(exchange.document(secrets.token_bytes(512)))


@ANSWERS.kind
def reset(exchange):
    """Resets the connection without doing anything."""
    exchange.reset_connection()


@ANSWERS.kind
def reset_after(exchange):
    """Does what was asked, and resets the connection instead of answering."""
    exchange.execute()
    exchange.reset_connection()


@ANSWERS.kind
def refuse(exchange):
    """Refuses a log-in (401) without asking the gateway, or a call (403)."""
    exchange.send(exchange.refusal())


@ANSWERS.kind
def no_cookie(exchange):
    """Answers as it should, but sets no cookie."""
    answer = exchange.execute()
    answer.cookies = []
    exchange.send(answer)


@ANSWERS.kind
def honest(exchange):
    """Answers as it should: for rules that begin with a later request."""
    exchange.send(exchange.execute())


@ANSWERS.kind
def expire(exchange):
    """Ends all sessions, and then answers."""
    exchange.server.sessions.end_all("expired")
    exchange.send(exchange.execute())


@ANSWERS.kind
def expire_after(exchange):
    """Answers, and ends all sessions before the answer is sent."""
    answer = exchange.execute()
    exchange.server.sessions.end_all("expired")
    exchange.send(answer)


def chunk(data):
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""
