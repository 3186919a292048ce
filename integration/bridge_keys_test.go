package integration

import "testing"

// keyedComment writes a comment under an idempotency key.
func keyedComment(t *testing.T, s *scene, text, key string) rpcAnswer {
	t.Helper()
	return call(t, s.gatewayProcess, "trackers.addComment", "gnome", 2, text, "Bob", key)
}

func TestAKeyWritesOnceAlsoAcrossARestart(t *testing.T) {
	t.Parallel()
	s := startScene(t)
	var first, again, other string
	keyedComment(t, s, "Hello.", "job-1").result(t, &first)
	keyedComment(t, s, "Hello.", "job-1").result(t, &again)
	if first == "" || again != first {
		t.Errorf("the same key gave %q and %q", first, again)
	}
	if s.Stop() != 0 {
		t.Error("the gateway did not end well")
	}
	s.start(t, s.Data)
	keyedComment(t, s, "Hello.", "job-1").result(t, &again)
	keyedComment(t, s, "Hello.", "job-2").result(t, &other)
	if again != first || other == first {
		t.Errorf("after a restart the key gave %q, another one %q, want %q and not that", again, other, first)
	}
	keyedComment(t, s, "Something else.", "job-1").wantFault(t, 400, "INVALID_DATA", "key")
	if written := s.peer.Stats().Comments; len(written) != 2 {
		t.Errorf("%d comments were written: %v", len(written), written)
	}
}

func TestAKeyFindsWhatWasWrittenWhenTheAnswerWasLost(t *testing.T) {
	t.Parallel()
	s := startScene(t)
	call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []int{2}).result(t, new(any))
	s.peer.Misbehave(misbehaviour{On: "xmlrpc", Kind: "reset_after", Times: 1})
	keyedComment(t, s, "Hello.", "job-1").wantFault(t, 2006, "OUTCOME_UNKNOWN", "same key")
	s.Kill()
	s.start(t, s.Data)
	var id string
	keyedComment(t, s, "Hello.", "job-1").result(t, &id)
	written := s.peer.Stats().Comments
	if len(written) != 1 || written[0].ID != id {
		t.Errorf("the key gave %q, and written were %v", id, written)
	}
}

func TestAKeyFindsWhatWasWrittenByAGatewayThatWasKilledMeanwhile(t *testing.T) {
	t.Parallel()
	s := startScene(t)
	call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []int{2}).result(t, new(any))
	// The tracker writes the comment, and its answer stops half-way.
	s.peer.Misbehave(misbehaviour{On: "xmlrpc", Kind: "stall", Times: 1})
	ended := beginCall(t, s.gatewayProcess, "/RPC2", "trackers.addComment", "gnome", 2, "Hello.", "Bob", "job-1")
	s.peer.Await("comments", 1)
	s.Kill()
	if answer := <-ended; answer.Error == "" {
		t.Errorf("the killed gateway answered %s", answer)
	}
	s.peer.Reset()
	s.start(t, s.Data)
	var id string
	keyedComment(t, s, "Hello.", "job-1").result(t, &id)
	written := s.peer.Stats().Comments
	if len(written) != 1 || written[0].ID != id {
		t.Errorf("the key gave %q, and written were %v", id, written)
	}
}

func TestAKeyWritesOnceThroughTwoGatewaysAtTheSameTime(t *testing.T) {
	t.Parallel()
	redis := startRedis(t, redisOptions{})
	s := startScene(t, "--set", "store.url="+redis.URL)
	second := startGateway(t, s.args...)
	var ended []<-chan rpcAnswer
	for i := range 20 {
		g := s.gatewayProcess
		if i%2 == 1 {
			g = second
		}
		ended = append(ended, beginCall(t, g, "/RPC2", "trackers.addComment", "gnome", 2, "Hello.", "Bob", "job-1"))
	}
	ids := map[string]bool{}
	for _, e := range ended {
		var id string
		(<-e).result(t, &id)
		ids[id] = true
	}
	if written := s.peer.Stats().Comments; len(written) != 1 || len(ids) != 1 {
		t.Errorf("the ids were %v, and written were %v", ids, written)
	}
}
