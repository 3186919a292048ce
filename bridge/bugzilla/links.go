package bugzilla

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/trackgate/trackgate/bridge"
)

// MaxLinkLength bounds the address of a link in bytes: the column that holds it
// has no more.
const MaxLinkLength = 255

// launchpadURL is how Bugzilla writes the address of a bug on Launchpad, whatever it
// was given (capture 089).
const launchpadURL = "https://launchpad.net/bugs/"

// launchpadBug finds the number of a bug on Launchpad in an address.
var launchpadBug = regexp.MustCompile(`^https?://(?:bugs\.)?launchpad\.net/(?:.*/)?(?:\+bug|bugs)/0*([1-9]\d*)/?$`)

// linkOf finds the link of a bug: what the plugin keeps, or else in See Also the
// first bug on Launchpad, or else the first bug of another tracker.
func (s *site) linkOf(m map[string]any) bridge.Link {
	if internals, ok := m["internals"].(map[string]any); ok {
		if n, ok := numberOf(internals["launchpad_id"]); ok && n > 0 {
			return bridge.Link{ID: strconv.Itoa(n)}
		}
	}
	var first bridge.Link
	for _, address := range wordsOf(m["see_also"]) {
		if number := launchpadNumber(address); number != "" {
			return bridge.Link{ID: number, URL: address}
		}
		if first.ID == "" && !strings.HasPrefix(address, s.remote.URL("show_bug.cgi")) {
			first = bridge.Link{ID: address, URL: address}
		}
	}
	return first
}

// launchpadNumber is "" for an address that is none of a bug on Launchpad.
func launchpadNumber(address string) string {
	if found := launchpadBug.FindStringSubmatch(address); found != nil {
		return found[1]
	}
	return ""
}

// addressOf returns the address that is put into See Also for a link: its URL, or
// its id where that is a URL or the number of a bug on Launchpad.
func addressOf(link bridge.Link) (string, error) {
	number, isNumber := bridge.Digits(link.ID)
	address := link.URL
	switch {
	case address != "":
	case isNumber:
		address = launchpadURL + number
	default:
		address = link.ID
	}
	parsed, err := url.Parse(address)
	switch {
	case err != nil, parsed.Scheme != "http" && parsed.Scheme != "https", parsed.Host == "", strings.ContainsAny(address, " \t\r\n"):
		return "", invalid("A link needs the number of a bug on Launchpad as its id, or an http or https address as its url.")
	case len(address) > MaxLinkLength:
		return "", invalid("The address of a link may have 255 bytes in Bugzilla.")
	case isNumber && launchpadNumber(address) != "" && launchpadNumber(address) != number:
		return "", invalid("The id and the url of the link name different bugs.")
	}
	return address, nil
}

// sameLink tells whether two addresses are of the same bug.
func sameLink(a, b string) bool {
	number := launchpadNumber(a)
	return a == b || number != "" && number == launchpadNumber(b)
}

// sameHost tells whether two addresses are of the same tracker.
func sameHost(a, b string) bool {
	first, err := url.Parse(a)
	if err != nil {
		return false
	}
	second, err := url.Parse(b)
	return err == nil && strings.EqualFold(first.Host, second.Host)
}
