package hook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/handshake"
)

// problems are what is wrong with a request, all of it.
type problems struct {
	// at has the texts by field or header.
	at map[string][]string
	// detail is what is wrong with the body as a whole.
	detail string
	// mismatched are the methods by which there was an AuthenticationTokenMismatch.
	mismatched []Method
	// expected names the token that would have been right; zero for signatures and
	// when none is set.
	expected handshake.Fingerprint
}

func (p *problems) add(at, text string) {
	if p.at == nil {
		p.at = map[string][]string{}
	}
	p.at[at] = append(p.at[at], text)
}

// err returns the catalogue's error for them, nil when there are none.
func (p *problems) err() error {
	if len(p.at) == 0 && p.detail == "" && len(p.mismatched) == 0 {
		return nil
	}
	name := apierror.InvalidData
	if len(p.mismatched) > 0 {
		name = apierror.TokenMismatch
	}
	e := apierror.New(name)
	for at, texts := range p.at {
		e = e.WithExtra(at, texts)
	}
	if p.detail != "" {
		// A field that is called "detail" cannot be among the errors: the body could
		// not be read.
		e = e.WithDetail(p.detail)
	}
	return e
}

// proof is by what a request proved itself. Its zero value proves nothing.
type proof struct {
	methods []Method
	// token names the stored token that was given.
	token handshake.Fingerprint
	// id is the webhook-id, as far as it can be trusted.
	id string
	// body is the digest of the body that a signature without a time covers; "" when
	// there was none.
	body string
}

// authentication is a request on its way to being proved.
type authentication struct {
	hook     *Hook
	tokens   *Tokens
	problems *problems
	proof    proof
	// stored is read once, and only when the request has a token.
	stored *slots
	// carried is whether there is anything that could prove the request.
	carried bool
}

// settle takes down what one method came to.
func (a *authentication) settle(m Method, f finding) {
	if f.verdict == absent {
		return
	}
	a.carried = true
	switch f.verdict {
	case right:
		a.proof.methods = append(a.proof.methods, m)
	case wrong:
		a.problems.mismatched = append(a.problems.mismatched, m)
		a.problems.add(f.at, f.text)
	default:
		a.problems.add(f.at, f.text)
	}
}

// authenticate checks all that a request carries of what its hook accepts. What
// the hook does not accept proves nothing and is not looked at. One proof is needed;
// everything that is carried must be right, so that nobody can add a second way in
// to a request of somebody else. An error means that the store failed.
func (h *Handler) authenticate(ctx context.Context, r *http.Request, k *Hook, b body, s submitted, p *problems, now time.Time) (proof, error) {
	a := &authentication{hook: k, tokens: h.tokens, problems: p}
	if err := a.field(ctx, s); err != nil {
		return proof{}, err
	}
	if err := a.bearer(ctx, r.Header); err != nil {
		return proof{}, err
	}
	if k.accepts(MethodWebhook) {
		a.settle(MethodWebhook, checkWebhook(r.Header, b.raw, k.keys.webhook, now))
	}
	if k.accepts(MethodHub) {
		a.settle(MethodHub, checkHub(r.Header, b.raw, k.keys.hub))
	}
	a.identify(r.Header, b)
	if !a.carried && p.detail == "" {
		p.add(a.missing(), flawMissing)
	}
	return a.proof, nil
}

const flawMissing = "This is required: the request does not prove who sent it."

// missing returns the field or header that the hook expects first.
func (a *authentication) missing() string {
	switch a.hook.spec.Accept[0] {
	case MethodField:
		return a.hook.spec.Fields[a.hook.token].Name
	case MethodBearer:
		return headerAuthorization
	case MethodWebhook:
		return headerSignature
	default:
		return headerHub
	}
}

// field checks the token in the hook's field.
func (a *authentication) field(ctx context.Context, s submitted) error {
	if !a.hook.accepts(MethodField) {
		return nil
	}
	f := &a.hook.spec.Fields[a.hook.token]
	value, flaw := f.read(s.inputs[f.Name], MaxJSONDepth)
	switch text, given := value.(string); {
	case flaw != "":
		a.settle(MethodField, finding{malformed, f.Name, flaw})
		return nil
	case !given:
		return nil
	default:
		return a.token(ctx, MethodField, f.Name, text)
	}
}

func (a *authentication) bearer(ctx context.Context, header http.Header) error {
	if !a.hook.accepts(MethodBearer) {
		return nil
	}
	text, f := bearer(header)
	if f.verdict != right {
		a.settle(MethodBearer, f)
		return nil
	}
	return a.token(ctx, MethodBearer, headerAuthorization, text)
}

// token compares a text with what is stored.
func (a *authentication) token(ctx context.Context, m Method, at, text string) error {
	if a.stored == nil {
		stored, err := a.tokens.slotsOf(ctx, a.hook.Name())
		if err != nil {
			return err
		}
		a.stored = &stored
		a.problems.expected = stored.current()
	}
	found, which := a.stored.match(text)
	if !found {
		a.settle(m, finding{wrong, at, flawMismatch})
		return nil
	}
	a.proof.token = which
	a.settle(m, finding{verdict: right, at: at})
	return nil
}

// identify finds what tells the request from others. A webhook-id counts unless
// the only proof is a signature of the body alone: whoever has seen such a request
// could send it again with another.
func (a *authentication) identify(header http.Header, b body) {
	if slices.Contains(a.proof.methods, MethodHub) {
		a.proof.body = digestOf(b.raw)
		if len(a.proof.methods) == 1 {
			return
		}
	}
	id, f := webhookID(header)
	if f.verdict == malformed && a.problems.at[headerID] == nil {
		a.problems.add(f.at, f.text)
	}
	a.proof.id = id
}

// digestOf names a text by its SHA-256.
func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// methodNames joins methods for people.
func methodNames(methods []Method) string {
	names := make([]string, 0, len(methods))
	for _, m := range methods {
		names = append(names, string(m))
	}
	return strings.Join(names, " ")
}
