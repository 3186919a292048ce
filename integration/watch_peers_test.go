package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestWhatChangesAtATrackerBecomesAnEvent has other people change bugs, while the gateway runs
// and while it does not.
func TestWhatChangesAtATrackerBecomesAnEvent(t *testing.T) {
	t.Parallel()
	for _, d := range watchedDialects {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			w, data := startWatched(t, d), t.TempDir()
			peer, args := w.peers[d.name], with(unlimited, "--config", w.config)
			g := startGatewayIn(t, data, args...)
			g.await(t, func() bool { return polls(t, g, d.name) >= 1 }) // what was there before is no change
			d.change(t, peer, d.bug, "The fire is out")
			events, after := waitFor(t, g, "", 1)
			e := events[0]
			if len(events) != 1 || e.Source != "watch:"+d.name || e.Tracker != d.name || e.Kind != "bug.modified" || e.Bug != d.bug || e.Data["title"] != "The fire is out" {
				t.Fatalf("the events are %+v", events)
			}
			if at, err := time.Parse(time.RFC3339Nano, asText(e.Data["modified"])); err != nil || time.Since(at).Abs() > time.Hour {
				t.Errorf("modified is %v, %v", e.Data["modified"], err)
			}
			filed := d.file(t, peer, "It fails")
			events, after = waitFor(t, g, after, 1)
			if e := events[0]; len(events) != 1 || e.Kind != "bug.created" || e.Bug != filed || e.Data["title"] != "It fails" {
				t.Errorf("filed %s, the events are %+v", filed, events)
			}
			awaitPolls(t, g, d.name, 2)
			if again := readFeed(t, g, after); len(again) != 0 {
				t.Errorf("told again: %+v", again)
			}
			if status := g.Stop(); status != 0 {
				t.Errorf("exit status %d", status)
			}
			d.change(t, peer, filed, "It fails no more")
			g = startGatewayIn(t, data, args...)
			events, after = waitFor(t, g, after, 1)
			if e := events[0]; len(events) != 1 || e.Kind != "bug.modified" || e.Bug != filed || e.Data["title"] != "It fails no more" {
				t.Errorf("after a restart the events are %+v", events)
			}
			awaitPolls(t, g, d.name, 1)
			if again := readFeed(t, g, after); len(again) != 0 {
				t.Errorf("told again: %+v", again)
			}
		})
	}
}

func asText(v any) string {
	text, _ := v.(string)
	return text
}

// TestAnotherGatewayTakesOverAWatch has two gateways on one Redis watch a tracker. The one that
// polls is stopped, which gives the lease back, or killed. A killed one's lease lasts for a minute,
// which the test has Redis take for over.
func TestAnotherGatewayTakesOverAWatch(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]watchedDialect{"stopped": watchedDialects[0], "killed": watchedDialects[1]} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := startRedis(t, redisOptions{})
			w := startWatched(t, d)
			args := with(unlimited, "--config", w.config, "--set", "store.url="+redis.URL)
			first, other := startGateway(t, args...), startGateway(t, args...)
			first.await(t, func() bool { return polls(t, first, d.name)+polls(t, other, d.name) >= 1 })
			if holds(t, other, d.name) {
				first, other = other, first
			}
			if !holds(t, first, d.name) || holds(t, other, d.name) {
				t.Fatal("there is not one gateway that polls")
			}
			peer := w.peers[d.name]
			d.change(t, peer, d.bug, "One")
			events, after := waitFor(t, other, "", 1)
			if len(events) != 1 || events[0].Data["title"] != "One" || holds(t, other, d.name) {
				t.Fatalf("the events are %+v", events)
			}
			if name == "stopped" {
				first.Stop()
			} else {
				first.Kill()
				endLease(t, redis, d.name)
			}
			d.change(t, peer, d.bug, "Two")
			events, after = waitFor(t, other, after, 1)
			if len(events) != 1 || events[0].Bug != d.bug || events[0].Data["title"] != "Two" || !holds(t, other, d.name) {
				t.Errorf("the events are %+v", events)
			}
			awaitPolls(t, other, d.name, 1)
			if again := readFeed(t, other, after); len(again) != 0 {
				t.Errorf("told again: %+v", again)
			}
			if all := readFeed(t, other, ""); len(all) != 2 {
				t.Errorf("all in all there are %+v", all)
			}
		})
	}
}

// endLease makes a minute pass for the lease of a tracker's watch.
func endLease(t *testing.T, redis *redisProcess, tracker string) {
	t.Helper()
	keys := redisKeys(t, redis.Addr, "trackgate:*leases")
	if len(keys) != 1 {
		t.Fatalf("the leases are under %q", keys)
	}
	field := "u" + tracker + "/all"
	if set := redisCLI(t, redis, "HSET", keys[0], field, "1"); set != "0" {
		t.Fatalf("there was no lease of %s: %s", field, redisCLI(t, redis, "HKEYS", keys[0]))
	}
}

// TestNamesOfTrackersAndWatchesMayBeLong has both as long as they may be.
func TestNamesOfTrackersAndWatchesMayBeLong(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 64)
	config := fmt.Sprintf("[[tracker]]\nname = %q\nurl = \"http://127.0.0.1:1\"\nallow_private = true\ndialect = \"trac\"\n[[tracker.watch]]\nname = %q\n", long, long)
	g := startGateway(t, "--config", writeFile(t, "trackgate.toml", config))
	g.await(t, func() bool {
		return strings.Contains(scrape(t, g), fmt.Sprintf("trackgate_watch_held{tracker=%q,watch=%q} 1", long, long))
	})
}

func TestATrackerThatCannotTellWhatWasModifiedIsNotWatched(t *testing.T) {
	t.Parallel()
	config := writeFile(t, "trackgate.toml", "[[tracker]]\nname = \"any\"\nurl = \"https://any.example\"\ndialect = \"generic\"\ncallback = \"own\"\n[[tracker.watch]]\n")
	args := with([]string{"serve", "--data", t.TempDir(), "--config", config}, freeListeners...)
	runGateway(t, "", nil, args...).wantOneLine(t, "any", "cannot tell what was modified")
}
