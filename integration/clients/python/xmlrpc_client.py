#!/usr/bin/python3
"""Calls a gateway with Python's own xmlrpc.client, whose URL is the argument."""

import sys
import xmlrpc.client

from samples import SAMPLES, report, report_echo


def main():
    server = xmlrpc.client.ServerProxy(sys.argv[1], allow_none=True)
    for check, sent in SAMPLES.items():
        try:
            report_echo(check, server.bridge.echo(*sent), sent)
        except (xmlrpc.client.Error, OverflowError) as error:
            report(check, "error %s" % error)
    for check, method, args in (("fault", "trackers.getLink", ["nowhere", "1"]), ("unknown", "no.such.method", [])):
        try:
            report(check, "got %r" % (getattr(server, method)(*args),))
        except xmlrpc.client.Fault as fault:
            report(check, fault.faultCode, fault.faultString)
    report("token", server.bugs.newBugTrackerToken())
    report("methods", *server.system.listMethods())


main()
