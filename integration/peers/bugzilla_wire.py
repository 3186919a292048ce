"""What Bugzilla's XML-RPC looks like on the wire: SOAP::Lite reads requests with expat and
checks types by patterns; answers hold their members in a new order every time.

Text that must fit the captures of ../testdata/bugzilla to the letter stands here once.
"""

import base64
import binascii
import datetime
import hashlib
import json
import random
import re
from xml.parsers import expat
from xml.sax.saxutils import escape

XML_PARSER = "/usr/lib/x86_64-linux-gnu/perl5/5.36/XML/Parser.pm line 187.\n"
SOAP_LITE = "/usr/share/perl5/SOAP/Lite.pm line %d.\n"

# The code of a fault that SOAP::Lite made itself is this string, never a number.
CLIENT = "Client"

SCALARS = {
    "int": re.compile(r"[-+]?\d+"),
    "i4": re.compile(r"[-+]?\d+"),
    "double": re.compile(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?"),
    "boolean": re.compile(r"[01]"),
    "dateTime.iso8601": re.compile(r"\d{8}T\d\d:\d\d:\d\d"),
}
EMPTY_IS_NOTHING = {"int", "i4", "double", "boolean"}
ELEMENTS = {"methodCall", "methodResponse", "methodName", "params", "param", "value", "struct",
            "member", "name", "array", "data", "string", "base64", "nil", "fault"} | set(SCALARS)


class Fault(Exception):
    """A fault: a number, or the string "Client", and a text."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code
        self.text = text


class Nothing:
    """The result of a method that returns nothing: <value /> (capture 029-user.logout-token)."""


NOTHING = Nothing()


def client_fault(text):
    return Fault(CLIENT, "Application failed during request deserialization: " + text)


class Call:
    """One call as it was read. `parameter` is its first parameter, {} when there is none."""

    def __init__(self, name, parameters):
        self.name = name
        self.parameter = parameters[0] if parameters else {}


class Node:
    """An element while it is being read."""

    def __init__(self, tag):
        self.tag = tag
        self.text = []
        self.children = []


def parse_call(document):
    """Reads a methodCall document; the Fault that it raises instead has the code "Client"."""
    root = read_tree(document)
    if root.tag not in ELEMENTS:
        raise wrong_element(root)
    name = [child for child in root.children if child.tag == "methodName"]
    if root.tag != "methodCall" or not name:
        raise Fault(CLIENT, "Can't find method element in the message at " + SOAP_LITE % 2873)
    parameters = []
    for params in root.children:
        if params.tag == "params":
            parameters += [value_of(inner) for param in params.children
                           for inner in param.children]
    return Call("".join(name[0].text).strip(), parameters)


def read_tree(document):
    root = Node("")
    stack = [root]

    def start(tag, _attributes):
        node = Node(tag)
        stack[-1].children.append(node)
        stack.append(node)

    def end(_tag):
        stack.pop()

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = lambda text: stack[-1].text.append(text)
    # A default handler keeps expat from expanding entities (capture 155-value-doctype-entity).
    parser.DefaultHandler = lambda _text: None
    try:
        parser.Parse(document, True)
    except expat.ExpatError as error:
        raise client_fault("\n%s at line %d, column %d, byte %d at %s" % (
            expat.ErrorString(error.code), error.lineno, error.offset, parser.ErrorByteIndex,
            XML_PARSER)) from error
    return root.children[0]


def value_of(node):
    """The Python value of a <value>; None for what Perl reads as undefined."""
    if node.tag != "value":
        raise wrong_element(node)
    if not node.children:
        return "".join(node.text)
    inner = node.children[0]
    if inner.tag not in ELEMENTS:
        raise wrong_element(inner)
    return typed_value(inner, "".join(inner.text))


def typed_value(node, text):
    if node.tag == "string":
        return text
    if node.tag == "nil":
        return None
    if node.tag == "base64":
        # The bytes are taken for Latin-1 text (capture 083-bug.comments-after-adds).
        try:
            return base64.b64decode(text).decode("latin-1")
        except binascii.Error as error:
            raise bad_value(node, text) from error
    if node.tag == "array":
        return [value_of(value) for data in node.children for value in data.children]
    if node.tag == "struct":
        return dict(member_of(member) for member in node.children)
    if node.tag not in SCALARS:
        raise wrong_element(node)
    return scalar_value(node, text.strip())


def scalar_value(node, text):
    if not text and node.tag in EMPTY_IS_NOTHING:
        return None
    if not SCALARS[node.tag].fullmatch(text):
        raise bad_value(node, text)
    if node.tag in ("int", "i4"):
        return int(text[:32])
    if node.tag == "boolean":
        return text == "1"
    if node.tag == "dateTime.iso8601":
        try:
            return datetime.datetime.strptime(text, "%Y%m%dT%H:%M:%S")
        except ValueError as error:
            raise bad_value(node, text) from error
    # Perl keeps the spelling of a double: 2.0 is no bug number (capture 150-value-double).
    return text


def member_of(node):
    parts = {child.tag: child for child in node.children}
    if node.tag != "member" or set(parts) != {"name", "value"}:
        raise wrong_element(node)
    return "".join(parts["name"].text), value_of(parts["value"])


def wrong_element(node):
    return client_fault("wrong element '%s'\n" % node.tag)


def bad_value(node, text):
    return client_fault(
        '-32600: "%s" is not a valid value for a <%s> field. (See the XML-RPC specification for '
        "details.) at " % (text, node.tag) + SOAP_LITE % 2855)


def response(result):
    """The methodResponse document of a result or a Fault."""
    if isinstance(result, Fault):
        members = {"faultCode": result.code, "faultString": result.text}
        inner = "<fault>%s</fault>" % value_xml(members)
    elif result is NOTHING:
        inner = "<params><param><value /></param></params>"
    else:
        inner = "<params><param>%s</param></params>" % value_xml(result)
    return ('<?xml version="1.0" encoding="UTF-8"?><methodResponse>%s</methodResponse>'
            % inner).encode("utf-8")


def value_xml(value):
    return "<value>%s</value>" % WRITERS[type(value)](value)


def string_xml(value):
    # Control characters go out as they are (capture 166-bug.comments-control-characters).
    return "<string>%s</string>" % escape(value) if value else "<string />"


def array_xml(values):
    items = "".join(map(value_xml, values))
    return "<array><data>%s</data></array>" % items if items else "<array><data /></array>"


def struct_xml(members):
    """A struct; members without a value are left out, and the rest is shuffled."""
    there = ["<member><name>%s</name>%s</member>" % (escape(name), value_xml(value))
             for name, value in members.items() if value is not None]
    if not there:
        return "<struct />"
    random.shuffle(there)
    return "<struct>%s</struct>" % "".join(there)


def date_xml(value):
    return ("<dateTime.iso8601>%04d%02d%02dT%02d:%02d:%02d</dateTime.iso8601>"
            % value.timetuple()[:6])


WRITERS = {bool: "<boolean>%d</boolean>".__mod__, int: "<int>%d</int>".__mod__,
           float: "<double>%g</double>".__mod__, str: string_xml, list: array_xml,
           dict: struct_xml, datetime.datetime: date_xml}


def etag(result):
    """The ETag of a result as Bugzilla sends it, without quotes: the same for the same values,
    in whatever order their members come (captures 140-bug.get-for-etag, 141-http-if-none-match)."""
    text = json.dumps(result, default=str, sort_keys=True)
    digest = hashlib.md5(text.encode("ascii"), usedforsecurity=False).digest()
    return base64.b64encode(digest).rstrip(b"=").decode("ascii")
