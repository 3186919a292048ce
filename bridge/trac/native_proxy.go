package trac

import (
	"context"

	"github.com/trackgate/trackgate/bridge"
)

// allowed are the methods of Trac's XML-RPC plugin that read, and those that change
// tickets. Trac itself decides what the account may do.
var allowed = []string{
	"ticket.get*", "ticket.query", "ticket.create", "ticket.update", "ticket.changeLog", "ticket.listAttachments", "ticket.putAttachment",
	"ticket.*.get", "ticket.*.getAll", "wiki.get*", "wiki.listLinks", "wiki.listAttachments", "wiki.wikiToHtml", "search.*",
	"system.listMethods", "system.methodHelp", "system.methodSignature", "system.getAPIVersion",
}

// reads are those of them that change nothing.
var reads = []string{
	"ticket.get*", "ticket.query", "ticket.changeLog", "ticket.listAttachments", "ticket.*.get", "ticket.*.getAll",
	"wiki.get*", "wiki.listLinks", "wiki.listAttachments", "wiki.wikiToHtml", "search.*",
	"system.listMethods", "system.methodHelp", "system.methodSignature", "system.getAPIVersion",
}

// ProxyRules allow what reads, and what changes tickets. Nothing logs in or out by
// XML-RPC, and no parameter holds credentials.
func (n *native) ProxyRules(ctx context.Context) (bridge.ProxyRules, error) {
	rpc, err := n.rpc(ctx)
	if err != nil {
		return bridge.ProxyRules{}, err
	}
	return bridge.ProxyRules{Endpoint: rpc, Allow: allowed, Reads: reads}, nil
}
