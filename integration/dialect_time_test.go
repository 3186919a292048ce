package integration

import (
	"slices"
	"testing"
	"time"
)

// TestDialectsLeaveNoGapHoweverFarTheClockIsOff asks again since the time that it was told: what
// was written in between is there, and what was not is not.
func TestDialectsLeaveNoGapHoweverFarTheClockIsOff(t *testing.T) {
	for _, ahead := range []time.Duration{7 * time.Hour, -9 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			s := startDialects(t, dialectOptions{peers: peerOptions{ahead: ahead}})
			for i := range spokenDialects {
				d := &spokenDialects[i]
				if !d.can("modified-since") {
					continue
				}
				t.Run(d.name, func(t *testing.T) {
					var read struct{ Time moment }
					call(t, s.gatewayProcess, "trackers.getBugs", d.name, []int{4}).result(t, &read)
					call(t, s.gatewayProcess, "trackers.addComment", d.name, 4, "Since then.", "").result(t, new(string))
					modified := func(since any) []string {
						var got struct{ IDs []string }
						call(t, s.gatewayProcess, "trackers.getModifiedBugs", d.name, []int{4}, since).result(t, &got)
						return got.IDs
					}
					if ids := modified(read.Time); !slices.Equal(ids, []string{"4"}) {
						t.Errorf("modified since %s are %q, want bug 4", read.Time.Text, ids)
					}
					told, err := time.Parse("20060102T15:04:05", read.Time.Text)
					if err != nil {
						t.Fatal(err)
					}
					if ids := modified(told.Add(2 * time.Minute).Unix()); len(ids) != 0 {
						t.Errorf("modified two minutes later are %q", ids)
					}
				})
			}
		})
	}
}
