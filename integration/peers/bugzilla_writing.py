"""The methods of the namespace Bug that write."""

import re

from bugzilla_reading import BUG, LEGAL, alias_of
from bugzilla_site import argument, as_list
from bugzilla_wire import Fault

# The trackers that See Also knows: what an address must look like, and how it is kept.
SEE_ALSO = (
    (re.compile(r"https?://(?:bugs\.)?launchpad\.net/(?:.+/\+bug|bugs)/(\d+)(?:[/?#].*)?"),
     r"https://launchpad.net/bugs/\1"),
    (re.compile(r"(https?://\S+/show_bug\.cgi\?id=\d+)"), r"\1"),
    (re.compile(r"https?://(code\.google\.com/p/\S+/issues/detail\?id=\d+)"), r"http://\1"),
    (re.compile(r"https?://bugs\.debian\.org/(?:cgi-bin/bugreport\.cgi\?bug=)?(\d+)"),
     r"https://bugs.debian.org/cgi-bin/bugreport.cgi?bug=\1"),
    (re.compile(r"(https?://\S+/browse/[A-Z][A-Z0-9]+-\d+)"), r"\1"),
    (re.compile(r"(https?://\S+/ticket/\d+)"), r"\1"),
    (re.compile(r"(https?://\S+/view\.php\?id=\d+)"), r"\1"),
    (re.compile(r"(https?://sourceforge\.net/\S*tracker/\S+)"), r"\1"),
    (re.compile(r"(https?://github\.com/[^/\s]+/[^/\s]+/(?:issues|pull)/\d+)"), r"\1"))
KNOWN_TRACKERS = (
    "show_bug.cgi in a Bugzilla installation. A bug on launchpad.net An issue on code.google.com. "
    "A bug on bugs.debian.org. An issue in a JIRA installation. A ticket in a Trac installation. "
    "A bug in a MantisBT installation. A bug on sourceforge.net. An issue/pull request on "
    "github.com.")
SEE_ALSO_LENGTH = 255

# Plain fields that Bug.update sets.
PLAIN_FIELDS = ("summary", "priority", "severity", "component", "version", "op_sys", "platform",
                "whiteboard", "url", "assigned_to", "target_milestone")


def see_also_address(text):
    """An address as See Also keeps it, or the Fault that refuses it."""
    for pattern, kept in SEE_ALSO:
        match = pattern.fullmatch(str(text))
        if match and len(text) <= SEE_ALSO_LENGTH:
            return match.expand(kept)
    raise Fault(112, "%s is not a valid URL to a bug. See Also URLs should point to one of: %s"
                % (text, KNOWN_TRACKERS))


@BUG.method("add_comment")
def add_comment(site, visit, parameter):
    user = visit.required()
    argument(parameter, "id")
    argument(parameter, "comment")
    bug = site.bugs.find(parameter["id"], user)
    return {"id": write_comment(site, user, bug, parameter["comment"],
                                bool(parameter.get("is_private")))}


def write_comment(site, user, bug, text, is_private=False):
    """Writes a comment within the site's limits; returns its id."""
    text = str(text)
    if len(text) > site.settings.maxcommentlength:
        raise Fault(114, "Comments cannot be longer than %d characters."
                    % site.settings.maxcommentlength)
    if is_private and not user.insider:
        raise Fault(113, "Sorry, but you are not allowed to (un)mark comments or attachments as "
                         "private.")
    number = site.bugs.add_comment(bug, user.login, text, site.stored_now(), is_private)
    site.ledger.comment_written(str(bug["id"]), str(number), text)
    return number


@BUG.method("update")
def update(site, visit, parameter):
    user = visit.required()
    if parameter.get("ids") is None:
        argument(parameter, "ids")
    found = [site.bugs.find(reference, user) for reference in as_list(parameter["ids"])]
    results = []
    for bug in found:
        with site.bugs.lock:
            changes = planned_changes(site, bug, parameter)
            apply_changes(site, user, bug, changes)
            comment = parameter.get("comment") or {}
            # bugzilla-cli calls the text by its older name.
            text = comment.get("body", comment.get("comment", ""))
            if text:
                write_comment(site, user, bug, text, bool(comment.get("is_private")))
        results.append({"id": bug["id"], "alias": alias_of(site, bug),
                        "last_change_time": site.to_utc(bug["last_change_time"]),
                        "changes": {name: {"removed": as_text(old, new), "added": as_text(new, old)}
                                    for name, (old, new) in changes.items()}})
    return {"bugs": results}


def planned_changes(site, bug, parameter):
    """The old and the new value of every field that changes; nothing is changed yet."""
    planned = {name: parameter[name] for name in PLAIN_FIELDS if name in parameter}
    planned.update(new_status(site, bug, parameter))
    for name, check in (("see_also", see_also_address), ("alias", str), ("cc", str),
                        ("keywords", str)):
        if name in parameter:
            planned[name] = new_list(bug[name], parameter[name], check)
    return {name: (bug[name], new) for name, new in planned.items() if bug[name] != new}


def new_status(site, bug, parameter):
    """Status, resolution and duplicate, as far as they go together."""
    status = parameter.get("status", bug["status"])
    resolution = parameter.get("resolution", bug["resolution"])
    duplicate_of = bug["dupe_of"]
    known = [value.get("name") for value in site.bugs.status_field["values"]]
    if status not in known:
        raise Fault(51, "There is no status named '%s'." % status)
    if resolution not in LEGAL["resolution"]:
        raise Fault(51, "There is no resolution named '%s'." % resolution)
    if parameter.get("dupe_of"):
        duplicate_of = int(parameter["dupe_of"])
        status, resolution = "RESOLVED", "DUPLICATE"
    if status in ("RESOLVED", "VERIFIED"):
        if not resolution:
            raise Fault(121, "A valid resolution is required to mark bugs as %s." % status)
    else:
        resolution, duplicate_of = "", None
    return {"status": status, "resolution": resolution, "dupe_of": duplicate_of}


def new_list(old, change, check):
    """A list after {"set"} or {"add", "remove"}; a lone list or value is a set."""
    if not isinstance(change, dict):
        change = {"set": change}
    if "set" in change:
        return [check(value) for value in as_list(change["set"]) if value]
    removed = {check(value) for value in as_list(change.get("remove", []))}
    new = [value for value in old if value not in removed]
    for value in as_list(change.get("add", [])):
        if check(value) not in new:
            new.append(check(value))
    return new


def apply_changes(site, user, bug, changes):
    if not changes:
        return
    for name, (_old, new) in changes.items():
        bug[name] = new
    bug["last_change_time"] = site.stored_now()
    bug["history"].append({"who": user.login, "when": bug["last_change_time"], "changes": [
        {"field_name": name, "removed": as_text(old, new), "added": as_text(new, old)}
        for name, (old, new) in changes.items()]})


def as_text(value, other):
    """A value as a change shows it; of a list what the other list has not."""
    if isinstance(value, list):
        return ", ".join(item for item in value if item not in other)
    return "" if value is None else str(value)


@BUG.method("update_see_also")
def update_see_also(site, visit, parameter):
    user = visit.required()
    if parameter.get("ids") is None:
        argument(parameter, "ids")
    found = [site.bugs.find(reference, user) for reference in as_list(parameter["ids"])]
    changed = {}
    for bug in found:
        with site.bugs.lock:
            new = new_list(bug["see_also"], {"add": parameter.get("add", []),
                                             "remove": parameter.get("remove", [])},
                           see_also_address)
            old = bug["see_also"]
            if new != old:
                apply_changes(site, user, bug, {"see_also": (old, new)})
                changed[str(bug["id"])] = {"see_also": {
                    "added": [address for address in new if address not in old],
                    "removed": [address for address in old if address not in new]}}
    return {"changes": changed}


@BUG.method("create")
def create(site, visit, parameter):
    """Files a bug. The order of the checks is that of captures 103 to 106; where they do not
    tell, product comes before component and the alias last."""
    user = visit.required()
    if not str(parameter.get("op_sys", "")):
        raise Fault(50, "You must select/enter a OS.")
    if not str(parameter.get("platform", "")):
        raise Fault(50, "You must select/enter a Hardware.")
    if not str(parameter.get("summary", "")).strip():
        raise Fault(107, "You must enter a summary for this bug.")
    products = [p for p in site.bugs.products if p["name"] == parameter.get("product")]
    if not products:
        raise Fault(51, "There is no product named '%s'." % parameter.get("product", ""))
    components = [c for c in products[0]["components"] if c["name"] == parameter.get("component")]
    if not components:
        raise Fault(51, "There is no component named '%s' in the '%s' product." % (
            parameter.get("component", ""), products[0]["name"]))
    argument(parameter, "version")
    aliases = [str(alias) for alias in as_list(parameter.get("alias", [])) if alias]
    for bug in site.bugs.all():
        for alias in aliases:
            if alias in bug["alias"]:
                raise Fault(103, "Bug %d has already taken the alias %s. Please choose another "
                                 "alias." % (bug["id"], alias))
    members = {name: str(parameter[name]) for name in PLAIN_FIELDS if name in parameter}
    members.update(product=products[0]["name"], alias=aliases,
                   priority=members.get("priority", "---"),
                   severity=members.get("severity", "normal"),
                   assigned_to=members.get("assigned_to", components[0]["default_assigned_to"]))
    bug = site.bugs.create(members, user.login, str(parameter.get("description", "")),
                           site.stored_now())
    return {"id": bug["id"]}
