package audit

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	// MaxCheckpoints is how many checkpoints [ParseCheckpoints] reads.
	MaxCheckpoints = 100_000

	checkpointWord = "trackgate-checkpoint-1"
)

// Checkpoints returns the heads of a store's chains that have entries, sorted by
// chain, to be kept where whoever changes the store cannot change them.
func Checkpoints(ctx context.Context, store Store) ([]Head, error) {
	heads, err := store.Heads(ctx)
	if err != nil {
		return nil, err
	}
	heads = slices.DeleteFunc(slices.Clone(heads), func(h Head) bool { return h.Seq == 0 })
	slices.SortFunc(heads, func(a, b Head) int { return bytes.Compare(a.Chain[:], b.Chain[:]) })
	return heads, nil
}

// FormatCheckpoint returns a checkpoint as one line without its end:
//
//	trackgate-checkpoint-1 CHAIN SEQUENCE MAC
func FormatCheckpoint(h Head) string {
	return checkpointWord + " " + h.Chain.String() + " " + strconv.FormatUint(h.Seq, 10) + " " + h.MAC.String()
}

// ParseCheckpoints reads checkpoints, one a line. Space around them, empty lines,
// and lines that begin with # mean nothing. Errors name the line.
func ParseCheckpoints(text string) ([]Head, error) {
	var heads []Head
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if len(heads) == MaxCheckpoints {
			return nil, fmt.Errorf("audit: checkpoints, line %d: there are more than %d: remove those of chains that the trail keeps no more", number, MaxCheckpoints)
		}
		head, err := parseCheckpoint(line)
		if err != nil {
			return nil, fmt.Errorf("audit: checkpoints, line %d: %w", number, err)
		}
		heads = append(heads, head)
	}
	return heads, nil
}

func parseCheckpoint(line string) (h Head, err error) {
	words := strings.Fields(line)
	if len(words) != 4 || words[0] != checkpointWord {
		return Head{}, fmt.Errorf("a checkpoint is %q and a chain, a number and a MAC", checkpointWord)
	}
	if err := h.Chain.UnmarshalText([]byte(words[1])); err != nil {
		return Head{}, err
	}
	if h.Seq, err = strconv.ParseUint(words[2], 10, 64); err != nil || h.Seq == 0 {
		return Head{}, fmt.Errorf("%q is not the number of an entry", clean(words[2], MaxText))
	}
	if err := h.MAC.UnmarshalText([]byte(words[3])); err != nil {
		return Head{}, err
	}
	return h, nil
}
