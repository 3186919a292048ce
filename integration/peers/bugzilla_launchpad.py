"""The Launchpad extension: log-in by a one-time token, and its methods.

Fault codes 390 to 393 and everything else that was a choice are those of the extension in
the captures of ../testdata/bugzilla-launchpad.
"""

import re

from bugzilla_bugs import lenient_time
from bugzilla_reading import alias_of, is_open, may_read
from bugzilla_site import TIME_ZONES, Namespace, as_list, argument, chosen, missing_argument
from bugzilla_wire import Fault
from bugzilla_writing import write_comment

LAUNCHPAD = Namespace()
BRIDGE = "launchpad@bugs.example"


@LAUNCHPAD.method("plugin_version", is_open=True)
def plugin_version(_site, _visit, _parameter):
    return {"version": "1.0"}


@LAUNCHPAD.method("time", is_open=True)
def time(site, _visit, _parameter):
    return {"utc_time": site.utc_now(), "local_time": site.stored_now(),
            "tz_name": TIME_ZONES.get(site.settings.timezone, "local"),
            "tz_offset": site.offset_text()}


@LAUNCHPAD.method("login", is_open=True)
def login(site, visit, _parameter):
    """Asks the gateway whether the token is its own, and only then looks at the account
    (capture 064-launchpad.login-account-disabled)."""
    token = visit.credentials.get("token")
    if not isinstance(token, str) or not token:
        raise missing_argument("token", "Launchpad.login")
    if not site.settings.callback_root:
        raise Fault(393, "Token logins are not set up here.")
    accepted, status = site.callback(token, visit.exchange)
    if not accepted:
        site.ledger.count("refused")
        if not status:
            raise Fault(391, "The gateway that confirms tokens could not be reached.")
        raise Fault(390, "The gateway did not confirm the token (HTTP status %d)." % status)
    account = site.accounts.find(BRIDGE)
    if account.disabled:
        raise Fault(392, "The account for token logins does not exist here or is disabled.")
    site.ledger.count("accepted")
    visit.user = account
    number, visit.secret = site.accounts.begin(account)
    visit.cookies = ["Bugzilla_login=%s; path=/; HttpOnly" % number,
                     "Bugzilla_logincookie=%s; path=/; HttpOnly" % visit.secret]
    return {"id": account.id}


@LAUNCHPAD.method("get_bugs")
def get_bugs(site, visit, parameter):
    if all(parameter.get(name) is None for name in ("ids", "products", "changed_since")):
        raise Fault(50, "The function Launchpad.get_bugs requires that you set one of the "
                        "following parameters: ids, products, changed_since")
    since = parameter.get("changed_since")
    if since is not None:
        since = lenient_time(since)
        if since is None:
            raise Fault(56, "'%s' is not a legal date." % parameter["changed_since"])
    found, faults = choose(site, visit, parameter)
    products = [str(name) for name in as_list(parameter.get("products") or [])]
    result = {"bugs": [describe(site, visit, bug) for bug in found
                       if (not products or bug["product"] in products)
                       and (since is None or site.to_utc(bug["last_change_time"]) >= since)]}
    if parameter.get("permissive"):
        result["faults"] = faults
    return result


def choose(site, visit, parameter):
    """The bugs that are named, or all that the caller may see, and the faults of those that
    are not there."""
    if parameter.get("ids") is None:
        return [bug for bug in site.bugs.all() if site.bugs.visible(bug, visit.user)], []
    found, faults = [], []
    for reference in as_list(parameter["ids"]):
        try:
            found.append(site.bugs.find(reference, visit.user))
        except Fault as fault:
            if not parameter.get("permissive"):
                raise
            faults.append({"id": str(reference), "faultCode": fault.code,
                           "faultString": fault.text})
    return found, faults


def describe(site, visit, bug):
    members = {name: bug[name] for name in ("id", "summary", "status", "resolution", "priority",
                                            "severity", "product", "component")}
    return {**members, "alias": alias_of(site, bug), "is_open": is_open(bug),
            "assigned_to": site.shown_login(bug["assigned_to"], visit),
            "creation_time": site.to_utc(bug["creation_time"]),
            "last_change_time": site.to_utc(bug["last_change_time"]),
            "internals": {"launchpad_id": site.bugs.links.get(bug["id"], 0)}}


@LAUNCHPAD.method("comments")
def comments(site, visit, parameter):
    """Comments by bug number. Unknown comment ids are left out, missing bugs are faults
    (captures 057-launchpad.comments-unknown-comment-id, 058-launchpad.comments-missing-bug)."""
    if parameter.get("bug_ids") is None:
        raise missing_argument("bug_ids", "Launchpad.comments")
    numbers = parameter.get("ids")
    wanted = None if numbers is None else {str(number) for number in as_list(numbers)}
    result = {}
    for reference in as_list(parameter["bug_ids"]):
        bug = site.bugs.find(reference, visit.user)
        result[str(bug["id"])] = [
            chosen(parameter, {"id": comment["id"], "number": comment["count"],
                               "author": site.shown_login(comment["creator"], visit),
                               "text": comment["text"], "time": site.to_utc(comment["time"])})
            for comment in bug["comments"] if may_read(visit, comment)
            and (wanted is None or str(comment["id"]) in wanted)]
    return {"bugs": result}


@LAUNCHPAD.method("add_comment")
def add_comment(site, visit, parameter):
    user = visit.required()
    argument(parameter, "id")
    argument(parameter, "comment")
    bug = site.bugs.find(parameter["id"], user)
    return {"comment_id": write_comment(site, user, bug, parameter["comment"])}


@LAUNCHPAD.method("set_link")
def set_link(site, visit, parameter):
    """Links a bug; returns the previous link, 0 for none. The bug's time of change stays
    (capture 071-launchpad.get_bugs-after-clear)."""
    user = visit.required()
    argument(parameter, "id")
    argument(parameter, "launchpad_id")
    bug = site.bugs.find(parameter["id"], user)
    number = str(parameter["launchpad_id"])
    if not re.fullmatch(r"\d{1,9}", number):
        raise Fault(52, "The value '%s' in the field is not a numeric value." % number)
    with site.bugs.lock:
        previous = site.bugs.links.pop(bug["id"], 0)
        if int(number):
            site.bugs.links[bug["id"]] = int(number)
    return {"launchpad_id": previous}
