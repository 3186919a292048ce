package roundup

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/xmlrpc"
)

// Nothing in Roundup's interface tells the time, but every answer has a Date
// header. The answer to a call without credentials, which is refused at once, has
// one as well.

// reading is what is known of the tracker's clock: when the gateway's clock
// showed at, it showed date or more.
type reading struct{ date, at time.Time }

// clock returns a time that the tracker's clock shows now or has shown, in whole
// seconds, so that no change after it can be lost to whoever asks again from
// there. It is too early by the time that one answer takes, and a second.
func (d *dialect) clock(ctx context.Context) (time.Time, error) {
	known, err := d.clocks.get(ctx, d.now, func() (reading, error) {
		date, err := d.askDate(ctx)
		return reading{date: date, at: d.now()}, err
	})
	if err != nil {
		return time.Time{}, err
	}
	return known.date.Add(d.now().Sub(known.at)).UTC().Truncate(time.Second), nil
}

// askDate asks the tracker for its clock.
func (d *dialect) askDate(ctx context.Context) (time.Time, error) {
	var answer any
	header, err := d.rpc.CallAlone(ctx, "display", &answer, nil)
	if fault := new(xmlrpc.Fault); err != nil && !errors.As(err, &fault) {
		return time.Time{}, err
	}
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return time.Time{}, apierror.New(apierror.TrackerBadAnswer).WithDetail("Its answers have no Date header, so that its clock is not known.")
	}
	return date.UTC(), nil
}
