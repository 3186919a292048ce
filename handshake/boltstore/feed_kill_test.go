package boltstore_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake/boltstore"
	"github.com/trackgate/trackgate/handshake/feed"
)

func init() { helpers["add events until killed"] = addUntilKilled }

// addUntilKilled adds events, every second one with a key and then a second time,
// and reports each that was acknowledged.
func addUntilKilled(path string) error {
	s, err := boltstore.Open(path)
	if err != nil {
		return err
	}
	var group sync.WaitGroup
	run := time.Now().UnixNano()
	for worker := range 16 {
		group.Go(func() {
			for i := 0; ; i++ {
				bug := fmt.Sprintf("%d-%d-%d", run, worker, i)
				event := feed.New{Event: feed.Event{Time: time.Now(), Source: "hook:test", Bug: bug}}
				times := 1
				if i%2 == 0 {
					event.Key, times = bug, 2
				}
				for range times {
					positions, err := s.Feed().Append(context.Background(), event)
					if err != nil {
						return
					}
					fmt.Printf("%s %s\n", bug, positions[0])
				}
			}
		})
	}
	group.Wait()
	return fmt.Errorf("the store failed")
}

func TestEveryEventThatWasAcknowledgedIsThereOnceWhenTheProcessIsKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.db")
	told := map[string]string{}
	for range 4 {
		reportsUntilKilled(t, path, 20+rand.IntN(1500), told)
	}
	s, err := boltstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	there := map[string]string{}
	for after := ""; ; {
		page, err := s.Feed().Read(context.Background(), after, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Events) == 0 {
			break
		}
		for _, e := range page.Events {
			if there[e.Bug] != "" {
				t.Errorf("event %s is there twice", e.Bug)
			}
			there[e.Bug] = e.After
		}
		after = page.After
	}
	for bug, position := range told {
		if there[bug] != position {
			t.Errorf("event %s was said to be at %s and is at %q", bug, position, there[bug])
		}
	}
	if len(told) == 0 {
		t.Error("no event was acknowledged")
	}
}

// reportsUntilKilled lets a process add events to the file, kills it when it has
// reported so many, and collects all that it has reported.
func reportsUntilKilled(t *testing.T, path string, reports int, told map[string]string) {
	t.Helper()
	process := helperCommand(t, "add events until killed", path)
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(out)
	for seen := 0; ; seen++ {
		if seen == reports {
			if err := process.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		line, err := in.ReadString('\n')
		if err != nil {
			break
		}
		bug, position, _ := strings.Cut(strings.TrimSpace(line), " ")
		told[bug] = position
	}
	if err := process.Wait(); err == nil {
		t.Fatal("the process ended before it was killed")
	}
}
