// Package bridge reads and writes the bugs of remote trackers on behalf of
// callers who hold no password for any of them.
//
// A [Bridge] knows a fixed set of trackers, each configured by a [Config] and
// each behind walls of its own: connections, session and back-off of one are
// never shared with another, so that one tracker's trouble stays its own.
//
// # Dialects
//
// How a tracker speaks is the business of a [Dialect], which is small; what it can
// do beyond logging in is found by type assertion on the capability interfaces
// ([BugReader], [CommentWriter], ...). The packages below this one hold the
// dialects: trac (with the Launchpad plugin, with the XML-RPC plugin, or with
// neither, by CSV), bugzilla (with and without the plugin), roundup, and generic,
// which knows nothing but calls. A tracker configured as [Auto] is asked which of
// them it speaks.
//
// Every call of a dialect goes through its [Remote], which reads the tracker's
// clock off each answer.
//
// # Sessions
//
// A call is given the tracker's session. [Remote] logs in when there is none, and
// when the tracker says that the session is over logs in anew and repeats the call
// once. All callers of a tracker share one session, and of any number that meet an
// expired one exactly one logs in while the others wait, each no longer than its
// own context allows. No lock is held while the log-in is under way, because the
// tracker may call the gateway back before it answers. Refused log-ins begin a
// back-off. With [WithSessionKeys] a session outlives a restart and is shared by
// the gateways that share the store; the back-off is without them too.
//
// # Trouble
//
// What a tracker asks for in Retry-After is kept to, and a circuit breaker spares
// one that is down. Reads are repeated where that is safe, writes never: one whose
// answer is lost is OUTCOME_UNKNOWN, and can be repeated with the caller's key.
//
// # The proxy
//
// [Bridge.Call] and the proxy hand on the tracker's own methods, with its session
// and within what the dialect's [ProxyRules] and the operator allow. Nobody logs in,
// logs out or sees anything of a session by that way.
//
// # Addresses
//
// Only the hosts of the configuration are ever called, and only at addresses
// that belong to the public Internet unless the tracker's entry says otherwise.
//
// # Errors
//
// Every failure is an error of package apierror. Text that comes from a tracker
// is cut short, made printable and freed of session values before it stands in
// one.
package bridge
