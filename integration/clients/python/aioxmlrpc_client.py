#!/usr/bin/python3
"""Calls a gateway with aioxmlrpc, all samples at the same time over its session."""

import asyncio
import sys

from aioxmlrpc.client import Fault, ServerProxy
from samples import SAMPLES, report, report_echo


async def echo(server, check, sent):
    try:
        report_echo(check, await server.bridge.echo(*sent), sent)
    except Exception as error:  # The test decides what it makes of it.
        report(check, "error %s" % error)


async def main():
    server = ServerProxy(sys.argv[1], allow_none=True)
    await asyncio.gather(*(echo(server, check, sent) for check, sent in SAMPLES.items()))
    for check, method, args in (("fault", "trackers.getLink", ["nowhere", "1"]), ("unknown", "no.such.method", [])):
        try:
            report(check, "got %r" % (await getattr(server, method)(*args),))
        except Fault as fault:
            report(check, fault.faultCode, fault.faultString)
    report("token", await server.bugs.newBugTrackerToken())
    report("methods", *(await server.system.listMethods()))


asyncio.run(main())
