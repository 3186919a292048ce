package handshake

import "net/netip"

// Tracker is what the rules of the callback need to know of a configured
// tracker. A token that is bound to it is valid under its own root
// ("/for/NAME"), under the common root unless OwnRoot, and never under the root
// of another tracker.
type Tracker struct {
	// Name is the tracker's name in the configuration and in its root.
	Name string
	// OwnRoot says that the tracker calls back under its own root only
	// (callback = "own").
	OwnRoot bool
	// Networks are the networks that the tracker calls back from
	// (callback_from), under every root. Empty means any.
	Networks []netip.Prefix
}

// Trackers finds a configured tracker by its name.
type Trackers func(name string) (Tracker, bool)

// admits tells whether the tracker may call back from an address.
func (t Tracker) admits(caller netip.Addr) bool {
	if len(t.Networks) == 0 {
		return true
	}
	caller = caller.Unmap()
	for _, network := range t.Networks {
		if network.Contains(caller) {
			return true
		}
	}
	return false
}

// noTrackers is the configuration without any tracker.
func noTrackers(string) (Tracker, bool) { return Tracker{}, false }
