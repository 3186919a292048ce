"""Bodies that are those of the captures: pages of HTML, and two faults of a broken site."""

import pathlib
import re
import urllib.parse

CAPTURES = pathlib.Path(__file__).parent.parent / "testdata" / "bugzilla"


def shutdown_page(request_body):
    """The page of a site that is closed. It holds the whole request, whatever was in that
    (captures 176-site-shutdown-version, 177-site-shutdown-bug.get)."""
    page = captured_body("176-site-shutdown-version")
    captured = re.search(rb'POSTDATA=([^"?]*)', page)[1]
    return page.replace(captured, urllib.parse.quote(request_body, safe="").encode("ascii"))


def captured_body(name):
    """The body of a captured answer, whether it came in chunks or not."""
    head, _, body = (CAPTURES / (name + ".response.http")).read_bytes().partition(b"\r\n\r\n")
    if b"chunked" not in head:
        return body
    whole = b""
    while body:
        length, _, rest = body.partition(b"\r\n")
        whole, body = whole + rest[:int(length, 16)], rest[int(length, 16) + 2:]
    return whole
