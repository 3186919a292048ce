package bugzilla

import "github.com/trackgate/trackgate/bridge"

// credentialMembers are the members of parameters that authenticate, in the spelling
// that every method takes and in the short one of Bugzilla 5 (captures 016, 198).
var credentialMembers = []string{
	"Bugzilla_login", "Bugzilla_password", "Bugzilla_token", "Bugzilla_api_key", "Bugzilla_api_token",
	"login", "password", "token", "api_key",
}

// sessionMembers are the members of answers that are good for a session.
var sessionMembers = []string{
	"token", "update_token", "Bugzilla_token", "Bugzilla_api_token", "Bugzilla_login", "Bugzilla_logincookie", "Bugzilla_api_key", "api_key",
}

// proxyRules are those of Bugzilla's own methods, but for what changes products
// and accounts.
func (s *site) proxyRules() bridge.ProxyRules {
	return bridge.ProxyRules{
		Endpoint: s.rpc,
		Allow: []string{
			"Bug.*", "Bugzilla.*", "Product.get*", "Component.get", "Classification.get", "Group.get", "User.get",
		},
		Reads: []string{
			"Bug.get", "Bug.get_bugs", "Bug.get_history", "Bug.history", "Bug.search", "Bug.comments", "Bug.fields",
			"Bug.legal_values", "Bug.attachments", "Bug.possible_duplicates", "Bug.search_comment_tags", "Bug.render_comment",
			"Bugzilla.*", "Product.get*", "Component.get", "Classification.get", "Group.get", "User.get",
		},
		Refuse: []string{
			"User.login", "User.logout", "User.create", "User.update", "User.offer_account_by_email", "User.valid_login",
		},
		Aliases:     map[string]string{"Bug.get_bugs": "Bug.get", "Bug.get_history": "Bug.history", "Product.get_products": "Product.get"},
		Credentials: credentialMembers,
		Hide:        sessionMembers,
	}
}
