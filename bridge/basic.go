package bridge

import (
	"encoding/base64"
	"strings"
)

// Basic is a session that carries the configured user and password as Basic
// authorization (RFC 7617), in UTF-8. Credentials that cannot be sent so are a
// [RefusedError].
func Basic(secrets Secrets) (*Session, error) {
	switch {
	case secrets.User == "":
		return nil, &RefusedError{Reason: "It is logged in to with user and password, and no user is configured: configure both, and no token or key."}
	case strings.Contains(secrets.User, ":"):
		return nil, &RefusedError{Reason: "The name of the configured user has a colon, which Basic authorization cannot carry."}
	}
	pair := base64.StdEncoding.EncodeToString([]byte(secrets.User + ":" + secrets.Password))
	return &Session{Header: map[string]string{"Authorization": "Basic " + pair}}, nil
}
