package roundup

import (
	"context"
	"strings"
	"time"

	"github.com/trackgate/trackgate/bridge"
)

// Classes of Roundup that the dialect knows. All templates have them.
const (
	issueClass   = "issue"
	messageClass = "msg"
	userClass    = "user"
)

// schema is the tracker's classes by name, and their properties by name.
// Properties that every class has (id, creation, creator, activity, actor) are not
// in it.
type schema map[string]map[string]property

// property is the type of a property.
type property struct {
	kind string // String, Link, Multilink, Date, Number, ...
	to   string // the class that a Link or Multilink leads to
}

// Kinds of properties.
const (
	kindString    = "String"
	kindLink      = "Link"
	kindMultilink = "Multilink"
)

// schemaTime is how long the schema is kept. It changes when an administrator changes
// the tracker.
const schemaTime = 5 * time.Minute

// schema returns the tracker's schema, asked for at most once in schemaTime.
func (d *dialect) schema(ctx context.Context) (schema, error) {
	return d.schemas.Get(ctx, func() (schema, error) { return d.fetchSchema(ctx) })
}

func (d *dialect) fetchSchema(ctx context.Context) (schema, error) {
	value, err := d.one(ctx, call("schema"))
	if err != nil {
		return nil, err
	}
	return readSchema(value)
}

// readSchema reads a struct of classes, each an array of [property, Python's
// representation of its type].
func readSchema(value any) (schema, error) {
	classes, ok := value.(map[string]any)
	if !ok {
		return nil, bridge.BadShape("schema", "it is no struct")
	}
	s := make(schema, len(classes))
	for class, v := range classes {
		properties, ok := v.([]any)
		if !ok {
			return nil, bridge.BadShape("schema", "a class is no array")
		}
		s[class] = make(map[string]property, len(properties))
		for _, v := range properties {
			pair, ok := v.([]any)
			if !ok || len(pair) != 2 {
				return nil, bridge.BadShape("schema", "a property is no pair")
			}
			s[class][textOf(pair[0])] = parseProperty(textOf(pair[1]))
		}
	}
	return s, nil
}

// parseProperty reads <roundup.hyperdb.Link to "user">. The module in front
// differs between versions.
func parseProperty(text string) property {
	text = strings.TrimSuffix(strings.TrimPrefix(text, "<"), ">")
	text, to, _ := strings.Cut(text, ` to "`)
	return property{kind: text[strings.LastIndexByte(text, '.')+1:], to: strings.TrimSuffix(to, `"`)}
}

// issues returns the properties of issues.
func (s schema) issues() map[string]property { return s[issueClass] }

// label is the property that names an item of a class, "" when there is none.
func (s schema) label(class string) string {
	if class == userClass {
		return "username"
	}
	for _, name := range []string{"name", "title"} {
		if _, ok := s[class][name]; ok {
			return name
		}
	}
	return ""
}
