package trac

import (
	"context"

	"github.com/trackgate/trackgate/bridge"
)

// ProxyRules allow what reads, and what changes tickets. Trac itself decides what
// the account may do. Nothing logs in or out by XML-RPC, and no parameter holds
// credentials.
func (n *native) ProxyRules(ctx context.Context) (bridge.ProxyRules, error) {
	rpc, err := n.rpc(ctx)
	if err != nil {
		return bridge.ProxyRules{}, err
	}
	return bridge.ProxyRules{
		Endpoint: rpc,
		Allow: []string{"ticket.get*", "ticket.query", "ticket.create", "ticket.update", "ticket.changeLog", "ticket.listAttachments", "ticket.putAttachment",
			"ticket.*.get", "ticket.*.getAll", "wiki.get*", "wiki.listLinks", "wiki.listAttachments", "wiki.wikiToHtml", "search.*",
			"system.listMethods", "system.methodHelp", "system.methodSignature", "system.getAPIVersion"},
		Reads: []string{"ticket.get*", "ticket.query", "ticket.changeLog", "ticket.listAttachments", "ticket.*.get", "ticket.*.getAll",
			"wiki.get*", "wiki.listLinks", "wiki.listAttachments", "wiki.wikiToHtml", "search.*",
			"system.listMethods", "system.methodHelp", "system.methodSignature", "system.getAPIVersion"},
	}, nil
}
