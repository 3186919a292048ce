package handshake

import (
	"net/url"
	"strings"
)

// callbackSegment is the last segment of every callback's path.
const callbackSegment = "+bugtracker-handshake"

// probeToken is what newly installed trackers are probed with.
const probeToken = "check"

// target is what a callback's path names.
type target struct {
	// root is the decoded name of the tracker under /for/; only when owned.
	root string
	// owned says that the path begins with /for/. A name may be empty and is
	// then one that no tracker has, not the common root.
	owned bool
	// token is the decoded text between the prefix and the last segment. What
	// could not be decoded stands as it came: it is no token either way.
	token string
}

// parsePath reads the path of a callback as it was sent, still escaped, and
// returns false for a path that is none. Trackers encode what they were given:
// everything between the prefix and the last segment is the token, slashes and
// dots included, so that no text in its place can name another resource.
func parsePath(escaped string) (target, bool) {
	var t target
	rest := escaped
	if after, ok := strings.CutPrefix(rest, "/for/"); ok {
		name, tail, ok := strings.Cut(after, "/")
		if !ok {
			return target{}, false
		}
		t.owned, t.root, rest = true, decode(name), "/"+tail
	}
	text, ok := strings.CutPrefix(rest, "/token/")
	if !ok {
		text, ok = strings.CutPrefix(rest, "/tokens/")
	}
	if !ok {
		return target{}, false
	}
	end := strings.LastIndexByte(text, '/')
	if decode(text[end+1:]) != callbackSegment {
		return target{}, false
	}
	if end > 0 {
		t.token = decode(text[:end])
	}
	return t, true
}

// decode undoes percent-encoding; what is not valid comes back as it is.
func decode(escaped string) string {
	if strings.IndexByte(escaped, '%') < 0 {
		return escaped
	}
	decoded, err := url.PathUnescape(escaped)
	if err != nil {
		return escaped
	}
	return decoded
}

// CallbackPath returns the canonical path of a token's callback below the
// public root: under the common root when tracker is "", else under the
// tracker's own.
func CallbackPath(tracker, token string) string {
	path := "/token/" + url.PathEscape(token) + "/" + callbackSegment
	if tracker == "" {
		return path
	}
	return RootPath(tracker) + path
}

// RootPath returns the path below the public root of a tracker's own callback
// root.
func RootPath(tracker string) string { return "/for/" + url.PathEscape(tracker) }
