package audit

import (
	"fmt"
	"time"
)

// MaxProblems is how many problems [Verify] lists; more are counted.
const MaxProblems = 1000

// Report is what [Verify] found.
type Report struct {
	// Blocks and Entries tell how much was read.
	Blocks  int `json:"blocks"`
	Entries int `json:"entries"`
	// Chains are those of which there is something, in the order in which they begin.
	Chains []ChainReport `json:"chains"`
	// Problems are in the order in which they were found.
	Problems []Problem `json:"problems"`
	// MoreProblems is how many are not listed.
	MoreProblems int `json:"more_problems"`
	// Met is how many checkpoints the trail has, Dropped how many stand in a part that
	// made room, as the trail says.
	Met     int `json:"checkpoints_met"`
	Dropped int `json:"checkpoints_dropped"`
	// Forgeable is whether there are chains without a key: whoever can write to the
	// store can forge those, and nothing here would show it.
	Forgeable bool `json:"forgeable"`
}

// OK tells whether there is no problem.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

// ChainReport is one chain of a [Report].
type ChainReport struct {
	Chain ChainID `json:"chain"`
	// Gateway is the name of the gateway, as far as there is an entry that tells it.
	Gateway string `json:"gateway,omitempty"`
	// First and Last are the numbers of the entries that are there, Entries how many.
	First   uint64 `json:"first"`
	Last    uint64 `json:"last"`
	Entries int    `json:"entries"`
	// Begins and Ends are the times of the first and the last.
	Begins time.Time `json:"begins"`
	Ends   time.Time `json:"ends"`
	// Key is the key's ID in hexadecimal digits, "" when there is no key.
	Key string `json:"key,omitempty"`
	// Stopped is whether the gateway wrote that it stopped. One that did not runs
	// still, or ended suddenly.
	Stopped bool `json:"stopped"`
	// MAC is the last entry's.
	MAC MAC `json:"mac"`
}

// ProblemKind says what is wrong. The set is closed.
type ProblemKind string

// The kinds of problems.
const (
	ProblemChanged    ProblemKind = "changed"           // an entry is not what was sealed
	ProblemUnlinked   ProblemKind = "unlinked"          // an entry was sealed behind another one
	ProblemMissing    ProblemKind = "missing"           // entries are not there
	ProblemReordered  ProblemKind = "reordered"         // entries stand behind later ones
	ProblemDuplicated ProblemKind = "duplicated"        // entries stand there again
	ProblemCutEnd     ProblemKind = "cut_off_end"       // the last entries are not there
	ProblemCutBegin   ProblemKind = "cut_off_beginning" // the first entries are not there
	ProblemGone       ProblemKind = "chain_gone"        // a whole chain is not there
	ProblemRewritten  ProblemKind = "rewritten"         // an entry is another one than was seen before
	ProblemHead       ProblemKind = "head"              // the store's head does not fit the blocks
	ProblemBlock      ProblemKind = "undecodable"       // a block is none
	ProblemNoKey      ProblemKind = "unknown_key"       // a chain's key is not there to verify with
	ProblemUnkeyed    ProblemKind = "unkeyed"           // a chain without a key among those that have one
)

// Problem is one thing that is wrong with a trail.
type Problem struct {
	Kind ProblemKind `json:"kind"`
	// Chain and Seq name the entry, or the first of those that are concerned; they
	// are zero where that is not known.
	Chain ChainID `json:"chain,omitzero"`
	Seq   uint64  `json:"seq,omitzero"`
	// Time is that of the entry or, for one that is not there, of the next or the
	// last one that is; zero when it is not known.
	Time time.Time `json:"time,omitzero"`
	// Text says what is wrong.
	Text string `json:"text"`
}

// String returns the problem as one line.
func (p Problem) String() string {
	where := "somewhere"
	if p.Chain != (ChainID{}) {
		where = "chain " + p.Chain.String()
	}
	if p.Seq != 0 {
		where += fmt.Sprintf(", entry %d", p.Seq)
	}
	if !p.Time.IsZero() {
		where += " (" + p.Time.UTC().Format(timeLayout) + ")"
	}
	return where + ": " + p.Text
}

func (r *Report) problem(p Problem) {
	if len(r.Problems) < MaxProblems {
		r.Problems = append(r.Problems, p)
		return
	}
	r.MoreProblems++
}
