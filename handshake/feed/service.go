package feed

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/xmlrpc"
)

// Limits of the XML-RPC methods.
const (
	// DefaultLimit is how many events a call gets at most that says 0.
	DefaultLimit = 100
	// DefaultMaxWait is how long a call waits at most: less than the 35 seconds
	// that a handler has.
	DefaultMaxWait = 25 * time.Second
	// DefaultMaxWaiting is how many calls wait at the same time at most.
	DefaultMaxWaiting = 1000
	// retryWaiting is what a call is told to wait that is one too many.
	retryWaiting = time.Second
	// retryStore is what a caller is told to wait when the store has failed.
	retryStore = 2 * time.Second
)

// ServiceOption changes what [RegisterService] registers.
type ServiceOption func(*service)

// WithMaxWait sets how long a call waits at most, [DefaultMaxWait] by default. A
// call that asks for more waits for so long.
func WithMaxWait(d time.Duration) ServiceOption { return func(s *service) { s.maxWait = d } }

// WithMaxWaiting sets how many calls wait at the same time at most,
// [DefaultMaxWaiting] by default.
func WithMaxWaiting(n int) ServiceOption { return func(s *service) { s.maxWaiting = int64(n) } }

// RegisterService adds the XML-RPC methods of the endpoint /hooks:
//
//	events([after[, limit]])          -> {events, after, truncated}
//	wait([after[, limit[, seconds]]]) -> {events, after, truncated}
//
// Both return the events after a position, the oldest first, the position from
// which to go on, and whether events after the given one had been dropped already.
// A limit of 0 means [DefaultLimit], one above [MaxPage] MaxPage; there can be fewer
// events where they are large. Where there are none, wait waits for the next, for so
// many seconds, and returns no events when none has come, or the gateway stops.
//
// An event is a struct of after, time, source, kind, tracker, bug and data; members
// without a value are left out. What data holds is described at [Value].
//
// A position that is none, a limit or seconds below 0 are the fault INVALID_DATA, a
// call that would wait while [DefaultMaxWaiting] wait is TOO_MANY_REQUESTS, a store
// that fails STORE_UNAVAILABLE.
func RegisterService(registry *xmlrpc.Registry, store Store, opts ...ServiceOption) error {
	s := &service{store: store, maxWait: DefaultMaxWait, maxWaiting: DefaultMaxWaiting}
	for _, opt := range opts {
		opt(s)
	}
	if s.maxWait <= 0 || s.maxWaiting <= 0 {
		return errors.New("feed: calls must be allowed to wait, for more than no time")
	}
	return errors.Join(
		registry.Register("events", s.events,
			"Returns the events after a position (an empty string to begin), and the position from which to go on.", "after", "limit"),
		registry.Register("wait", s.wait,
			"Returns the events after a position like events does, and waits for the next where there are none, for so many seconds at most.", "after", "limit", "seconds"),
	)
}

type service struct {
	store      Store
	maxWait    time.Duration
	maxWaiting int64
	waiting    atomic.Int64
}

func (s *service) events(ctx context.Context, after *string, limit *int) (map[string]any, error) {
	page, err := s.page(ctx, given(after), given(limit))
	if err != nil {
		return nil, err
	}
	return pageValue(page), nil
}

func (s *service) wait(ctx context.Context, after *string, limit, seconds *int) (map[string]any, error) {
	if given(seconds) < 0 {
		return nil, invalid("seconds must not be negative")
	}
	page, err := s.page(ctx, given(after), given(limit))
	if err != nil || told(page, after) || given(seconds) == 0 {
		return pageValue(page), err
	}
	if s.waiting.Add(1) > s.maxWaiting {
		s.waiting.Add(-1)
		return nil, apierror.New(apierror.TooManyRequests).WithRetryAfter(retryWaiting).
			WithDetail(fmt.Sprintf("%d calls wait for events already; call events instead, or wait later", s.maxWaiting))
	}
	defer s.waiting.Add(-1)
	longest := s.maxWait
	if wanted := given(seconds); wanted < int(longest/time.Second)+1 {
		longest = min(longest, time.Duration(wanted)*time.Second)
	}
	waiting, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	for {
		err := s.store.Wait(waiting, given(after))
		if waiting.Err() != nil || errors.Is(err, context.Canceled) { // by whoever wraps the store, when the gateway stops
			return pageValue(page), nil
		}
		if err != nil {
			return nil, fault(err)
		}
		// Who waits may be woken for nothing.
		page, err = s.page(ctx, given(after), given(limit))
		if err != nil || told(page, after) {
			return pageValue(page), err
		}
	}
}

// told is whether a page tells something to who has read up to a position: events,
// or that he is to go on from elsewhere.
func told(page Page, after *string) bool { return len(page.Events) > 0 || page.After != given(after) }

func (s *service) page(ctx context.Context, after string, limit int) (Page, error) {
	if limit < 0 {
		return Page{}, invalid("limit must not be negative")
	}
	if limit == 0 {
		limit = DefaultLimit
	}
	page, err := s.store.Read(ctx, after, min(limit, MaxPage))
	if err != nil {
		return Page{}, fault(err)
	}
	return page, nil
}

// given is the value of a parameter that may be left out.
func given[T any](p *T) (value T) {
	if p != nil {
		value = *p
	}
	return value
}

func invalid(detail string) error { return apierror.New(apierror.InvalidData).WithDetail(detail) }

func fault(err error) error {
	if errors.Is(err, ErrPosition) {
		return invalid(err.Error())
	}
	return apierror.New(apierror.StoreUnavailable).WithCause(err).WithRetryAfter(retryStore)
}

// pageValue is a page as callers get it. It ends before an event that would give it
// more values than readers take; the first is in it always.
func pageValue(p Page) map[string]any {
	left := maxPageValues
	after := p.After
	list := make([]any, 0, len(p.Events))
	for i := range p.Events {
		value, values := eventValue(&p.Events[i])
		if left -= values; left < 0 && i > 0 {
			after = p.Events[i-1].After
			break
		}
		list = append(list, value)
	}
	return map[string]any{"events": list, "after": after, "truncated": p.Truncated}
}

// eventValue is an event as callers get it, and of how many values it is made.
func eventValue(e *Event) (map[string]any, int) {
	m := map[string]any{"after": e.After}
	for name, text := range map[string]string{"source": e.Source, "kind": e.Kind, "tracker": e.Tracker, "bug": e.Bug} {
		if text != "" {
			m[name] = text
		}
	}
	if !e.Time.IsZero() {
		m["time"] = xmlrpc.DateTimeOf(e.Time.UTC()).WithoutZone()
	}
	data, values := Value(e.Data)
	if data != nil {
		m["data"] = data
	}
	return m, len(m) + values
}
