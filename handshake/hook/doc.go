// Package hook answers web hooks: POST /hooks/{name}, by which programs tell the
// gateway that something happened, and prove who they are with a shared token.
//
// # Hooks
//
// A hook declares its fields, one of which is its token: at run time with
// [Declare], and then its requests become events of the feed; or in Go as a struct
// with a handler, with [New]. [Handler] answers the requests of some hooks.
//
// A body is application/x-www-form-urlencoded, multipart/form-data without files, or
// a JSON object. Fields that the hook does not have are ignored, and counted in the
// answer, since senders add to what they send. The answer is JSON:
//
//	{"status":"ok","after":"...","ignored":0}
//
// where after is the position of the event in the feed, and left out for a hook
// with a handler of its own. Otherwise it is an error of the catalogue, with what is
// wrong with all fields at once:
//
//	{"code":"INVALID_DATA",...,"extra":{"bug":["This field is required."]},...}
//
// # Proof
//
// A request proves itself in one of the ways that its hook accepts ([Method]). What
// it carries of these must all be right. A token or a signature that is wrong is an
// AuthenticationTokenMismatch: the answer is TOKEN_MISMATCH, of the same shape, and
// the audit trail has an entry before it is given. Nothing else is recorded there. A
// token that is missing is an ordinary error. What was sent as a token is never
// stored, logged or sent back.
//
// [Tokens] makes, lists and revokes tokens. Only their digests are stored, and every
// request reads them.
//
// # Once
//
// Senders repeat what they got no answer to. A request is recognised by the field
// that its hook names for it, by its webhook-id, or by its body when only a signature
// of the body proves it, in this order. It is then answered like the first one, and
// nothing is stored again. Without any of these a repeated request is another event.
// Where a field is named and a signature of Standard Webhooks proves the request, its
// webhook-id is recognised, too, for as long as the signature is valid.
//
// A signature of the body alone has no time, so that whoever has seen a request could
// send it again. Such a request is not refused, since the sender's own repetition
// looks the same, but remembered for the replay window: two events whose bodies are
// the same, byte for byte, are one event within it.
package hook
