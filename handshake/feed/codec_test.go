package feed_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake/feed"
)

func FuzzDecodeEvent(f *testing.F) {
	whole := feed.AppendEvent(nil, &feed.Event{
		Time: time.UnixMilli(1763781600000), Source: "hook:github", Kind: "issues", Tracker: "gnome", Bug: "12", Data: []byte(`{"a":1}`),
	})
	for i := range len(whole) + 1 {
		f.Add(whole[:i])
	}
	f.Add([]byte("\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := feed.DecodeEvent(data)
		if err != nil {
			return
		}
		again, err := feed.DecodeEvent(feed.AppendEvent(nil, &e))
		if err != nil || !again.Time.Equal(e.Time) || again.Source != e.Source || again.Kind != e.Kind ||
			again.Tracker != e.Tracker || again.Bug != e.Bug || !bytes.Equal(again.Data, e.Data) {
			t.Errorf("%+v comes back as %+v, error %v", e, again, err)
		}
	})
}

func TestAnEventThatIsCutOffIsRefused(t *testing.T) {
	whole := feed.AppendEvent(nil, &feed.Event{Time: time.UnixMilli(1), Source: "s", Kind: "k", Tracker: "t", Bug: "b"})
	for i := range len(whole) {
		if e, err := feed.DecodeEvent(whole[:i]); err == nil {
			t.Errorf("%d of %d bytes are %+v", i, len(whole), e)
		}
	}
}

func TestBounds(t *testing.T) {
	defaults := feed.Bounds{MaxEvents: feed.DefaultMaxEvents, MaxAge: feed.DefaultMaxAge, KeyAge: feed.DefaultKeyAge, MaxKeys: feed.DefaultMaxKeys}
	if got := (feed.Bounds{}).OrDefault(); got != defaults {
		t.Errorf("the defaults are %+v", got)
	}
	own := feed.Bounds{MaxEvents: 1, MaxAge: time.Hour, KeyAge: time.Minute, MaxKeys: 2}
	if got := own.OrDefault(); got != own || own.Validate() != nil {
		t.Errorf("%+v became %+v, error %v", own, got, own.Validate())
	}
	for _, bad := range []feed.Bounds{{MaxEvents: -1}, {MaxAge: -1}, {KeyAge: -1}, {MaxKeys: -1}} {
		if bad.Validate() == nil {
			t.Errorf("%+v are bounds", bad)
		}
		if got := bad.OrDefault(); got != defaults {
			t.Errorf("%+v became %+v", bad, got)
		}
	}
}
