"""The methods of the namespace Bug that read."""

from bugzilla_bugs import lenient_time
from bugzilla_site import Namespace, as_list, argument, chosen, wants
from bugzilla_wire import Fault

BUG = Namespace()

PLAIN = ("id", "summary", "status", "resolution", "severity", "priority", "product", "component",
         "version", "classification", "op_sys", "platform", "target_milestone", "qa_contact",
         "url", "whiteboard", "keywords", "groups", "flags", "blocks", "depends_on", "see_also",
         "dupe_of", "is_confirmed", "is_cc_accessible", "is_creator_accessible")

# The names that a search from Bugzilla's own forms uses.
FORM_NAMES = {"bug_id": "id", "bug_status": "status", "short_desc": "summary",
              "bug_severity": "severity", "rep_platform": "platform", "reporter": "creator",
              "status_whiteboard": "whiteboard", "bug_file_loc": "url"}

# Members of a search that are no criteria.
NO_CRITERIA = {"include_fields", "exclude_fields", "limit", "offset", "order", "query_format",
               "permissive"}

OPEN = {"UNCONFIRMED", "CONFIRMED", "IN_PROGRESS"}

FIELD_NAMES = ["bug_id", "short_desc", "product", "component", "bug_severity", "priority",
               "op_sys", "rep_platform", "assigned_to", "reporter", "alias", "resolution",
               "see_also", "creation_ts", "delta_ts", "longdesc"]

LEGAL = {"resolution": ["", "FIXED", "INVALID", "WONTFIX", "DUPLICATE", "WORKSFORME"],
         "priority": ["Highest", "High", "Normal", "Low", "Lowest", "---"],
         "severity": ["blocker", "critical", "major", "normal", "minor", "trivial", "enhancement"],
         "op_sys": ["All", "Windows", "Mac OS", "Linux", "Other"],
         "platform": ["All", "PC", "Macintosh", "Other"]}
INTERNAL_NAMES = {"bug_severity": "severity", "rep_platform": "platform"}


def is_open(bug):
    return bug["status"] in OPEN


def alias_of(site, bug):
    return "".join(bug["alias"][:1]) if site.shape.alias_string else bug["alias"]


def describe(site, visit, bug, parameter):
    """A bug as Bug.get returns it. The details of people come with their names and have no
    filter of their own (captures 049-bug.get-exclude-fields, 169-site-email-filter-anonymous)."""
    members = {name: bug[name] for name in PLAIN}
    members.update(
        alias=alias_of(site, bug), is_open=is_open(bug),
        cc=[site.shown_login(login, visit) for login in bug["cc"]],
        creation_time=site.to_utc(bug["creation_time"]),
        last_change_time=site.to_utc(bug["last_change_time"]))
    for role in ("creator", "assigned_to"):
        members[role] = site.shown_login(bug[role], visit)
    if visit.user is not None:
        members.update(update_token="%d-FAKE-UPDATE-TOKEN-%025d" % (site.clock.now(), bug["id"]),
                       actual_time=0.0, estimated_time=0.0, remaining_time=0.0)
    result = chosen(parameter, members)
    for role in ("creator", "assigned_to"):
        if wants(parameter, role):
            result[role + "_detail"] = site.person(bug[role], visit)
    if wants(parameter, "cc"):
        result["cc_detail"] = [site.person(login, visit) for login in bug["cc"]]
    return result


@BUG.method("get")
def get(site, visit, parameter):
    if parameter.get("ids") is None:
        argument(parameter, "ids")
    bugs, faults = [], []
    for reference in as_list(parameter["ids"]):
        try:
            bugs.append(site.bugs.find(reference, visit.user))
        except Fault as fault:
            if not parameter.get("permissive"):
                raise
            faults.append({"id": reference, "faultCode": fault.code, "faultString": fault.text})
    return {"bugs": [describe(site, visit, bug, parameter) for bug in bugs], "faults": faults}


@BUG.method("search")
def search(site, visit, parameter):
    found = [bug for bug in site.bugs.all()
             if site.bugs.visible(bug, visit.user)
             and all(matches(site, bug, FORM_NAMES.get(name, name), wanted)
                     for name, wanted in parameter.items() if name not in NO_CRITERIA)]
    first, limit = int(parameter.get("offset") or 0), int(parameter.get("limit") or 0)
    # A limit of 0 is no limit (capture 196-bug.search-limit-zero).
    found = found[first:first + limit] if limit else found[first:]
    return {"bugs": [describe(site, visit, bug, parameter) for bug in found]}


def matches(site, bug, name, wanted):
    """Whether a bug fulfils one criterion: any of the values that are given for it."""
    if name in ("last_change_time", "creation_time"):
        since = lenient_time(wanted)
        return since is not None and site.to_utc(bug[name]) >= since
    values = [str(value) for value in as_list(wanted)]
    if name == "id":
        return str(bug["id"]) in [v for value in values for v in value.replace(",", " ").split()]
    if name in ("summary", "quicksearch", "whiteboard", "url"):
        text = bug["summary" if name == "quicksearch" else name].lower()
        return any(all(word in text for word in value.lower().split()) for value in values)
    if name == "status" and "__open__" in values:
        return is_open(bug)
    there = bug.get(name)
    if there is None:
        raise Fault(108, "Can't use %s as a field name." % name)
    return any(str(value) in values for value in as_list(there))


@BUG.method("comments")
def comments(site, visit, parameter):
    if parameter.get("ids") is None and parameter.get("comment_ids") is None:
        raise Fault(50, "The function Bug.comments requires that you set one of the following "
                        "parameters: ids, comment_ids")
    since = parameter.get("new_since")
    if since is not None:
        since = lenient_time(since)
        if since is None:
            raise Fault(56, "'%s' is not a legal date." % parameter["new_since"])
    by_bug, by_number = {}, {}
    for reference in as_list(parameter.get("ids", [])):
        bug = site.bugs.find(reference, visit.user)
        by_bug[str(bug["id"])] = {"comments": [
            describe_comment(site, visit, comment, parameter) for comment in bug["comments"]
            if may_read(visit, comment)
            # Later than that second, not at it (capture 068-bug.comments-new-since).
            and (since is None or site.to_utc(comment["time"]) > since)]}
    for number in as_list(parameter.get("comment_ids", [])):
        comment = one_comment(site, visit, number)
        by_number[str(comment["id"])] = describe_comment(site, visit, comment, parameter)
    return {"bugs": by_bug, "comments": by_number}


def one_comment(site, visit, number):
    text = str(number)
    known = text.isascii() and text.isdigit() and len(text) < 12
    bug, comment = site.bugs.comment(int(text)) if known else (None, None)
    if comment is None:
        raise Fault(111, "%s is not a valid comment id." % text)
    site.bugs.find(bug["id"], visit.user)
    if not may_read(visit, comment):
        raise Fault(110, "Comment id %s is private." % text)
    return comment


def may_read(visit, comment):
    return not comment["is_private"] or (visit.user is not None and visit.user.insider)


def describe_comment(site, visit, comment, parameter):
    at = site.to_utc(comment["time"])
    who = "author" if site.shape.comment_author else "creator"
    return chosen(parameter, {
        "id": comment["id"], "bug_id": comment["bug_id"], "text": comment["text"], "time": at,
        who: site.shown_login(comment["creator"], visit), "creation_time": at, "tags": [],
        "is_private": comment["is_private"], "count": comment["count"]})


@BUG.method("history")
def history(site, visit, parameter):
    if parameter.get("ids") is None:
        argument(parameter, "ids")
    since = lenient_time(parameter.get("new_since", ""))
    found = [site.bugs.find(reference, visit.user) for reference in as_list(parameter["ids"])]
    return {"bugs": [{"id": bug["id"], "alias": alias_of(site, bug), "history": [
        {"who": site.shown_login(entry["who"], visit), "when": site.to_utc(entry["when"]),
         "changes": entry["changes"]} for entry in bug["history"]
        if since is None or site.to_utc(entry["when"]) >= since]} for bug in found]}


@BUG.method("fields")
def fields(site, _visit, parameter):
    """The field bug_status as captured, and of every other its name."""
    known = [site.bugs.status_field] + [
        {"name": name, "id": 20 + n, "type": 1, "is_custom": False, "display_name": name,
         "is_mandatory": False, "is_on_bug_entry": False, "visibility_values": []}
        for n, name in enumerate(FIELD_NAMES)]
    names = as_list(parameter.get("names", [field["name"] for field in known]))
    for name in names:
        if name not in [field["name"] for field in known]:
            raise Fault(51, "There is no field named '%s'." % name)
    return {"fields": [chosen(parameter, field) for field in known if field["name"] in names]}


@BUG.method("legal_values")
def legal_values(site, _visit, parameter):
    name = argument(parameter, "field")
    name = INTERNAL_NAMES.get(name, name)
    if name in ("status", "bug_status"):
        return {"values": [value["name"] for value in site.bugs.status_field["values"]
                           if "name" in value]}
    if name in LEGAL:
        return {"values": LEGAL[name]}
    products = [p for p in site.bugs.products if str(p["id"]) == str(parameter.get("product_id"))]
    plural = {"component": "components", "version": "versions",
              "target_milestone": "milestones"}.get(name)
    if plural is None or not products:
        raise Fault(108, "Can't use %s as a field name." % name)
    return {"values": [value["name"] for value in products[0][plural]]}
