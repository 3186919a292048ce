package trac

import (
	"strings"

	"github.com/trackgate/trackgate/bridge"
)

// noResolution is what some Tracs say of a ticket that is not closed.
const noResolution = "--"

// states are the mappings that Launchpad has used for Trac, by the word in lower
// case.
var states = map[string]bridge.State{
	"new":         bridge.StateNew,
	"open":        bridge.StateNew,
	"reopened":    bridge.StateNew,
	"accepted":    bridge.StateConfirmed,
	"assigned":    bridge.StateConfirmed,
	"duplicate":   bridge.StateConfirmed,
	"fixed":       bridge.StateFixReleased,
	"closed":      bridge.StateFixReleased,
	"fixverified": bridge.StateFixReleased,
	"invalid":     bridge.StateInvalid,
	"worksforme":  bridge.StateInvalid,
	"wontfix":     bridge.StateWontFix,
}

// state looks up the resolution, if there is one, else the status.
func state(remote *bridge.Remote, status, resolution string) bridge.State {
	if s, ok := remote.State(status, resolution); ok {
		return s
	}
	word := resolution
	if word == "" || word == noResolution {
		word = status
	}
	if s, ok := states[strings.ToLower(word)]; ok {
		return s
	}
	return bridge.StateUnknown
}
