package bridge

import (
	"context"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

// Probe is what [Bridge.Probe] found out.
type Probe struct {
	// Dialect is the dialect that the tracker speaks, empty when it is none
	// that was tried.
	Dialect  string
	Versions map[string]string // never nil
	// ClockSkew is the tracker's clock less ours; meaningless unless ClockKnown.
	ClockSkew  time.Duration
	ClockKnown bool
	// Reason says why the tracker is taken for what it is.
	Reason string
}

// Probe asks the tracker anew what it speaks, and for its versions and clock. A
// tracker that can be asked and refuses the log-in is described as far as that
// goes; the reason tells the rest.
func (b *Bridge) Probe(ctx context.Context, name string) (*Probe, error) {
	t, err := b.admitted(ctx, name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := b.bounded(ctx)
	defer cancel()

	s, reason, err := t.look(ctx, always)
	if err != nil {
		return nil, classify(err, nil)
	}
	probe := &Probe{Versions: map[string]string{}, Reason: reason}
	if s == nil {
		return probe, nil
	}
	probe.Dialect = s.dialect.Name()
	about, err := s.dialect.About(ctx)
	if apierror.Is(err, apierror.TrackerLoginFailed) {
		probe.Reason += " Versions and clock are not known: " + apierror.From(err).FaultString()
		return probe, nil
	}
	if err != nil {
		return nil, classify(err, nil)
	}
	for what, version := range about.Versions {
		probe.Versions[what] = scrub(version, nil)
	}
	if !about.UTC.IsZero() {
		probe.ClockSkew, probe.ClockKnown = about.UTC.Sub(about.At), true
	}
	return probe, nil
}

// Retry forgets that the tracker refused log-ins, could not be reached, or wanted
// to be left alone, and tries at once whether a session can be had and used.
func (b *Bridge) Retry(ctx context.Context, name string) error {
	t, err := b.admitted(ctx, name)
	if err != nil {
		return err
	}
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	t.polite.reset()
	for _, s := range t.candidates {
		s.session.settled(ctx)
		s.session.forget()
	}
	s, err := t.speaks(ctx)
	if err != nil {
		return err
	}
	_, err = s.dialect.About(ctx)
	return classify(err, nil)
}
