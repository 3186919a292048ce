package bridge

import (
	"context"
	"fmt"
	"strings"

	"github.com/trackgate/trackgate/apierror"
)

// speaks returns what the tracker speaks, and finds it out where that is to be
// found out and is not known.
func (t *tracker) speaks(ctx context.Context) (*spoken, error) {
	if s := t.active.Load(); s != nil {
		return s, nil
	}
	s, reason, err := t.look(ctx)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, apierror.New(apierror.TrackerBadAnswer).
			WithDetail(fmt.Sprintf("Tracker %s speaks no dialect that can be detected. %s", t.config.Name, reason))
	}
	return s, nil
}

// look asks the tracker what it speaks, and remembers it. The sentences say why
// each dialect was found or not. Nothing found is no error.
func (t *tracker) look(ctx context.Context) (*spoken, string, error) {
	reasons := make([]string, 0, len(t.candidates))
	for _, s := range t.candidates {
		detection, err := s.dialect.Detect(ctx)
		if err != nil {
			return nil, "", classify(err, nil)
		}
		reasons = append(reasons, detection.Reason)
		if detection.Found {
			t.active.Store(s)
			return s, strings.Join(reasons, " "), nil
		}
	}
	return nil, strings.Join(reasons, " "), nil
}
