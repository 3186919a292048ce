package xmlrpc

import (
	"html/template"
	"strings"
)

// methodsTemplate is the page that a GET gets. It asks for nothing from elsewhere.
var methodsTemplate = template.Must(template.New("methods").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>XML-RPC methods</title>
<style>
body { font-family: sans-serif; margin: 2em auto; max-width: 50em; padding: 0 1em; }
dt { margin-top: 1em; font-family: monospace; font-weight: bold; }
dd { margin: 0.3em 0 0 2em; }
</style>
</head>
<body>
<h1>XML-RPC methods</h1>
<p>This address takes XML-RPC calls, sent with POST. What stands in [brackets] may be left out.</p>
<dl>
{{range .}}<dt id="{{.Name}}">{{.Usage}} &rarr; {{.Result}}</dt>
<dd>{{.Help}}</dd>
{{end}}</dl>
</body>
</html>
`))

// methodsPage renders the page once, when the handler is made.
func methodsPage(methods []*registeredMethod) []byte {
	type row struct{ Name, Usage, Result, Help string }
	rows := make([]row, len(methods))
	for i, m := range methods {
		rows[i] = row{Name: m.name, Usage: m.usage(), Result: m.result, Help: m.help}
	}
	var b strings.Builder
	// The template takes these rows and a strings.Builder takes any text.
	_ = methodsTemplate.Execute(&b, rows)
	return []byte(b.String())
}
