package integration

import (
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// bugzillaAnswer is an HTTP answer taken apart: the head with that of an interim answer before
// it, the sizes of the chunks, and the body without chunks and compression.
type bugzillaAnswer struct {
	head   string
	chunks []int
	body   string
}

func parseBugzillaAnswer(t *testing.T, raw []byte) bugzillaAnswer {
	t.Helper()
	var answer bugzillaAnswer
	const end = "\r\n\r\n"
	head, body, _ := strings.Cut(string(raw), end)
	if strings.HasPrefix(head, "HTTP/1.1 100 ") {
		interim := head
		head, body, _ = strings.Cut(body, end)
		head = interim + end + head
	}
	answer.head = head
	if strings.Contains(head, "Transfer-Encoding: chunked") {
		body = answer.dechunk(t, body)
	}
	if strings.Contains(head, "Content-Encoding: gzip") {
		body = gunzip(t, body)
	}
	answer.body = body
	return answer
}

func (a *bugzillaAnswer) dechunk(t *testing.T, body string) string {
	t.Helper()
	var whole strings.Builder
	for {
		size, rest, _ := strings.Cut(body, "\r\n")
		length, err := strconv.ParseInt(size, 16, 32)
		if err != nil || int(length)+2 > len(rest) {
			t.Fatalf("a chunk of size %q is followed by %d bytes (%v)", size, len(rest), err)
		}
		a.chunks = append(a.chunks, int(length))
		if length == 0 {
			return whole.String()
		}
		whole.WriteString(rest[:length])
		body = rest[length+2:]
	}
}

func gunzip(t *testing.T, packed string) string {
	t.Helper()
	reader, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

// xmlPieces cuts a document into tags and the text between them. Bugzilla escapes every < in a
// text, so that this also works where an XML parser would not take the document.
var xmlPieces = regexp.MustCompile(`<[^>]*>|[^<]+`)

// tokens returns the pieces of the body, the members of every struct in order of their names. A
// body that is not XML-RPC is one piece, with its random token covered.
func (a bugzillaAnswer) tokens() []string {
	if !strings.HasPrefix(a.body, "<?xml") {
		return []string{pageToken.ReplaceAllString(a.body, `value="TOKEN"`)}
	}
	body := updateToken.ReplaceAllString(a.body, "<string>UPDATE TOKEN</string>")
	body = sessionSecret.ReplaceAllString(body, "<string>SESSION</string>")
	sorted, _ := sortMembers(xmlPieces.FindAllString(body, -1))
	return sorted
}

// sortMembers sorts the members of every struct in the pieces up to the end tag of the element
// that they are in, and returns them and what follows.
func sortMembers(pieces []string) (sorted, rest []string) {
	var members [][]string
	for len(pieces) > 0 {
		piece := pieces[0]
		switch {
		case strings.HasPrefix(piece, "</"):
			slices.SortStableFunc(members, func(a, b []string) int { return strings.Compare(a[2], b[2]) })
			return append(slices.Concat(members...), sorted...), pieces
		case strings.HasPrefix(piece, "<") && !strings.HasSuffix(piece, "/>") && !strings.HasPrefix(piece, "<?"):
			inner, after := sortMembers(pieces[1:])
			element := slices.Concat([]string{piece}, inner, after[:1])
			if piece == "<member>" {
				members = append(members, element)
			} else {
				sorted = append(sorted, element...)
			}
			pieces = after[1:]
		default:
			sorted = append(sorted, piece)
			pieces = pieces[1:]
		}
	}
	return sorted, nil
}

// What the stand-in for the gateway does with a callback.
const (
	gatewayAnswers = iota
	gatewaySilent
	gatewayHangsUp
)

// scriptedGateway is the gateway of the captures: it answers callbacks with recorded bytes.
type scriptedGateway struct {
	url, host string
	next      chan gatewayScript
	heads     chan string
}

type gatewayScript struct {
	manner int
	answer []byte
}

func startScriptedGateway(t *testing.T) *scriptedGateway {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gateway := &scriptedGateway{
		url: "http://" + listener.Addr().String(), host: listener.Addr().String(),
		next: make(chan gatewayScript, 1), heads: make(chan string, 1),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			gateway.serve(connection)
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-ended
	})
	return gateway
}

// script says what happens to the next callback; nil bytes are a plain 200.
func (g *scriptedGateway) script(manner int, answer []byte) {
	select {
	case <-g.next: // The last one was not needed.
	default:
	}
	select {
	case <-g.heads:
	default:
	}
	g.next <- gatewayScript{manner, answer}
}

// received returns the head of the last callback, "" when there was none.
func (g *scriptedGateway) received() string {
	select {
	case head := <-g.heads:
		return head
	default:
		return ""
	}
}

func (g *scriptedGateway) serve(connection net.Conn) {
	defer connection.Close()
	var script gatewayScript
	select {
	case script = <-g.next:
	default: // Nobody expects a callback: the log-in fails, and the replay shows it.
		return
	}
	if script.manner == gatewayHangsUp {
		return
	}
	_ = connection.SetDeadline(time.Now().Add(startUpLimit)) // A closed connection fails below.
	var head bytes.Buffer
	buffer := make([]byte, 4096)
	for !bytes.Contains(head.Bytes(), []byte("\r\n\r\n")) {
		n, err := connection.Read(buffer)
		if err != nil {
			return
		}
		head.Write(buffer[:n])
	}
	if script.manner == gatewaySilent {
		_, _ = connection.Read(buffer) // Until the peer gives up.
		return
	}
	g.heads <- head.String()
	if script.answer == nil {
		script.answer = []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	}
	_, _ = connection.Write(script.answer) // The peer tells when it did not come.
}
