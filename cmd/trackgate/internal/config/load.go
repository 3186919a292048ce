package config

import (
	"encoding"
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// EnvPrefix begins the names of environment variables that are configuration.
const EnvPrefix = "TRACKGATE_"

// maxFile bounds the configuration file, in bytes.
const maxFile = 4 << 20

var (
	errNotADuration = errors.New(`not a duration: write it as "90s", "10m" or "24h"`)
	errNotANetwork  = errors.New(`not a network: write it as "192.0.2.0/24", "2001:db8::/32" or one address`)
	errNotASetting  = errors.New("--set: write it as section.key=value")
	errPassword     = errors.New("a password does not belong here, where others can read it: put the URL into the environment, as TRACKGATE_STORE_URL")
)

// holdsPassword tells whether a store's URL has a password in it.
func holdsPassword(s Secret) bool {
	if !strings.HasPrefix(s.Reveal(), "redis") {
		return false
	}
	// Several hosts are no URL that could be parsed whole.
	address, query, _ := strings.Cut(s.Reveal(), "?")
	options, err := url.ParseQuery(query)
	if err != nil || options.Has("sentinel_password") || options.Has("password") {
		return true
	}
	_, rest, _ := strings.Cut(address, "://")
	authority, _, _ := strings.Cut(rest, "/")
	user, _, has := strings.Cut(authority, "@")
	return has && strings.Contains(user, ":")
}

// Source says where configuration comes from, in the order in which it is read.
type Source struct {
	File    string   // path of a TOML file, "" for none
	Environ []string // "NAME=value" as of os.Environ; only TRACKGATE_ names count
	Sets    []string // "section.key=value"
	// Command is whether it is for a command beside the gateway, which need not be
	// given the secrets of hooks.
	Command bool
}

// Load reads the sources over the defaults and checks the result. An error
// says in one line where it is and what to do.
func Load(src Source) (*Config, error) {
	c := Default()
	if src.File != "" {
		if err := c.readFile(src.File); err != nil {
			return nil, err
		}
		if holdsPassword(c.Store.URL) {
			return nil, fmt.Errorf("%s: store.url: %w", src.File, errPassword)
		}
	}
	if err := c.readEnviron(src.Environ); err != nil {
		return nil, err
	}
	for _, s := range src.Sets {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, errNotASetting
		}
		if err := c.set(key, value); err != nil {
			return nil, fmt.Errorf("--set %s: %w", key, err)
		}
		if key == "store.url" && holdsPassword(c.Store.URL) {
			return nil, fmt.Errorf("--set store.url: %w", errPassword)
		}
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	if err := c.readCredentials(src.Environ); err != nil {
		return nil, err
	}
	if err := c.readHookSecrets(src.Environ, src.Command); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Config) readFile(path string) error {
	text, err := readBounded(path)
	if err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	dec := toml.NewDecoder(strings.NewReader(text)).DisallowUnknownFields()
	err = dec.Decode(c)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown) && len(unknown.Errors) > 0:
		first := unknown.Errors[0]
		line, _ := first.Position()
		return fmt.Errorf("%s:%d: %w", path, line, unknownKey(strings.Join(first.Key(), "."), allKeys()))
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		where := strings.Join(wrong.Key(), ".")
		if where != "" {
			where += ": "
		}
		return fmt.Errorf("%s:%d: %s%s", path, line, where, strings.TrimPrefix(wrong.Error(), "toml: "))
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func readBounded(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Size() > maxFile {
		return "", fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return string(text), nil
}

func (c *Config) readEnviron(environ []string) error {
	byVariable := map[string]string{}
	for _, key := range scalarKeys() {
		byVariable[variable(key)] = key
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, EnvPrefix) {
			continue
		}
		key, known := byVariable[name]
		if !known && (serviceLink.MatchString(name) || strings.HasPrefix(name, credentialPrefix) || strings.HasPrefix(name, hookPrefix)) {
			continue
		}
		if !known {
			names := make([]string, 0, len(byVariable))
			for v := range byVariable {
				names = append(names, v)
			}
			return fmt.Errorf("environment: %w", unknownKey(name, names))
		}
		if err := c.set(key, value); err != nil {
			return fmt.Errorf("environment: %s: %w", name, err)
		}
	}
	return nil
}

// serviceLink are the variables that Kubernetes sets in every pod beside services
// called trackgate or trackgate-redis; they are not meant for the gateway.
var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)$`)

// variable gives the environment variable of a key: private.listen is
// TRACKGATE_PRIVATE_LISTEN.
func variable(key string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// set gives one key the value that text says. A list is written with commas.
func (c *Config) set(key, text string) error {
	field, ok := find(reflect.ValueOf(c).Elem(), strings.Split(key, "."))
	if !ok {
		for _, table := range inFile {
			if key == table.key || strings.HasPrefix(key, table.key+".") {
				return fmt.Errorf("%s are configured in the file, under [[%s]]", table.what, table.key)
			}
		}
		return unknownKey(key, scalarKeys())
	}
	return assign(field, text)
}

// inFile are the lists of tables, which have no other place.
var inFile = []struct{ key, what string }{
	{"tracker", "trackers"},
	{"hook", "web hooks"},
	{"limits.also", "more policies"},
}

func find(v reflect.Value, path []string) (reflect.Value, bool) {
	if v.Kind() != reflect.Struct || isText(v) {
		return reflect.Value{}, false
	}
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("toml") != path[0] {
			continue
		}
		if len(path) > 1 {
			return find(v.Field(i), path[1:])
		}
		f := v.Field(i)
		return f, !isSection(f)
	}
	return reflect.Value{}, false
}

func isText(v reflect.Value) bool {
	_, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	return ok
}

// isSection tells a table, or a list of tables, from a value.
func isSection(v reflect.Value) bool {
	if v.Kind() == reflect.Struct {
		return !isText(v)
	}
	return isTables(v.Type())
}

// isTables tells whether a type is a list of tables.
func isTables(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct &&
		!reflect.PointerTo(t.Elem()).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func assign(v reflect.Value, text string) error {
	if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return t.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(b)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(int64(n))
	case reflect.Slice:
		return assignList(v, text)
	default:
		return fmt.Errorf("a %s cannot be set this way", v.Kind())
	}
	return nil
}

func assignList(v reflect.Value, text string) error {
	list := reflect.MakeSlice(v.Type(), 0, strings.Count(text, ",")+1)
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		item := reflect.New(v.Type().Elem()).Elem()
		if err := assign(item, part); err != nil {
			return fmt.Errorf("%q: %w", part, err)
		}
		list = reflect.Append(list, item)
	}
	v.Set(list)
	return nil
}
