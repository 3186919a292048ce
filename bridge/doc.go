// Package bridge reads and writes the bugs of remote trackers on behalf of
// callers who hold no password for any of them.
//
// A [Bridge] knows a fixed set of trackers, each configured by a [Config] and
// each behind walls of its own: connections, session and back-off of one are
// never shared with another, so that one tracker's trouble stays its own. How a
// tracker speaks is the business of a [Dialect], which is small; what it can do
// beyond logging in is found by type assertion on the capability interfaces
// ([BugReader], [CommentWriter], ...).
//
// Every call of a dialect goes through its [Remote]. It gives the call the
// tracker's session, logs in when there is none, and when the tracker says that
// the session is over logs in anew and repeats the call once. All callers of a
// tracker share one session, and of any number that meet an expired one exactly
// one logs in while the others wait, each no longer than its own context
// allows. No lock is held while the log-in is under way, because the tracker
// calls the gateway back before it answers.
//
// Only the hosts of the configuration are ever called, and only at addresses
// that belong to the public Internet unless the tracker's entry says otherwise.
//
// Every failure is an error of package apierror. Text that comes from a tracker
// is cut short, made printable and freed of session values before it stands in
// one.
package bridge
