package audit

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

const (
	// MaxPage is how many entries one call of [List] returns at most.
	MaxPage = 1000
	// maxScan is how many blocks one call of [List] reads at most, so that a filter
	// that chooses little does not read the whole trail at once.
	maxScan = 16384
)

// Listed is an entry as it stands in the trail. Nothing was verified of it.
type Listed struct {
	Entry
	Chain ChainID
	Seq   uint64
	MAC   MAC
	// After is the position behind the entry.
	After string
}

// Page is a part of the trail.
type Page struct {
	Entries []Listed
	// After is the position from which to go on. It is the one that was asked for
	// when there is nothing behind it; a page may be short, or empty, and not the
	// last one all the same.
	After string
	// Unreadable is how many blocks were passed over because they cannot be decoded.
	// [Verify] names them.
	Unreadable int
}

// List returns entries that a filter chooses, the oldest first, from a position
// on; "" is the beginning. The limit is from 1 to [MaxPage]; what is beyond counts
// as these. A text that is no position is [ErrPosition].
func List(ctx context.Context, store Store, f Filter, after string, limit int) (Page, error) {
	limit = min(max(limit, 1), MaxPage)
	page := Page{After: after}
	from, err := parsePosition(after)
	if err != nil {
		return Page{}, err
	}
	for scanned := 0; scanned < maxScan; {
		blocks, err := store.Read(ctx, from.block, readChunk)
		if err != nil {
			return Page{}, err
		}
		if len(blocks) == 0 {
			return page, nil
		}
		for _, b := range blocks {
			if page.add(&f, from, b, limit) {
				return page, nil
			}
			from = position{block: b.After}
		}
		scanned += len(blocks)
	}
	return page, nil
}

// add takes the entries of a block that stands behind a position, and tells
// whether the page is full.
func (p *Page) add(f *Filter, from position, b Block, limit int) bool {
	h, entries, err := decodeBlock(b.Data)
	if err != nil {
		p.Unreadable++
		p.After = b.After
		return false
	}
	for i, e := range entries {
		seq := h.First + uint64(i)
		if from.within(h.Chain, seq) || !f.matches(h.Chain, &e.Entry) {
			continue
		}
		listed := Listed{Entry: e.Entry, Chain: h.Chain, Seq: seq, MAC: e.mac, After: b.After}
		if i < len(entries)-1 {
			listed.After = position{block: from.block, chain: h.Chain.Short(), seq: seq}.String()
		}
		p.Entries = append(p.Entries, listed)
		if len(p.Entries) == limit {
			p.After = listed.After
			return true
		}
	}
	p.After = b.After
	return false
}

// Follow calls a function for every entry that a filter chooses from a position
// on, those to come included, until the function or the store fails or the context
// ends, and returns that error.
func Follow(ctx context.Context, store Store, f Filter, after string, each func(Listed) error) error {
	for {
		page, err := List(ctx, store, f, after, MaxPage)
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			if err := each(e); err != nil {
				return err
			}
		}
		if page.After == after {
			if err := store.Wait(ctx, after); err != nil {
				return err
			}
		}
		after = page.After
	}
}

// Last returns the last entries that a filter chooses, and the position of the
// trail's end. It reads the whole trail.
func Last(ctx context.Context, store Store, f Filter, limit int) (Page, error) {
	limit = min(max(limit, 0), MaxPage)
	var last Page
	for {
		page, err := List(ctx, store, f, last.After, MaxPage)
		if err != nil {
			return Page{}, err
		}
		last.Entries = append(last.Entries, page.Entries...)
		last.Entries = append([]Listed(nil), last.Entries[max(len(last.Entries)-limit, 0):]...)
		last.Unreadable += page.Unreadable
		if page.After == last.After {
			return last, nil
		}
		last.After = page.After
	}
}

// position is one behind an entry: behind a block and, where the entry is not the
// last of its own, within the next one, up to and with a number of a chain.
type position struct {
	block string
	chain string // the first digits
	seq   uint64
}

// positionMark parts a store's position from what is within the next block.
const positionMark = "~"

// String returns BLOCK~CHAIN~SEQ, or a store's position alone.
func (p position) String() string {
	if p.seq == 0 {
		return p.block
	}
	return p.block + positionMark + p.chain + positionMark + strconv.FormatUint(p.seq, 10)
}

func parsePosition(text string) (position, error) {
	parts := strings.Split(text, positionMark)
	if len(parts) == 1 {
		return position{block: text}, nil
	}
	wrong := fmt.Errorf("%w: %q", ErrPosition, clean(text, MaxText))
	if len(parts) != 3 {
		return position{}, wrong
	}
	seq, err := strconv.ParseUint(parts[2], 10, 64)
	if err != nil || seq == 0 {
		return position{}, wrong
	}
	return position{block: parts[0], chain: parts[1], seq: seq}, nil
}

// within tells whether an entry of the block behind the position was passed. When
// that block has made room for another one, it was not.
func (p position) within(chain ChainID, seq uint64) bool {
	return p.seq > 0 && p.chain == chain.Short() && seq <= p.seq
}
