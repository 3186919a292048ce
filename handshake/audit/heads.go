package audit

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
)

// MaxHeads is how many heads one entry names; more take several entries.
const MaxHeads = 64

// headSize is a head in [Heads]: chain, sequence, MAC.
const headSize = chainIDSize + 8 + macSize

// Heads are ends of chains in the packed form in which an entry holds them. As a
// string it leaves [Entry] comparable; [Heads.All] unpacks it.
type Heads string

// PackHeads packs the first [MaxHeads] of some heads.
func PackHeads(heads ...Head) Heads {
	if len(heads) == 0 {
		return ""
	}
	heads = heads[:min(len(heads), MaxHeads)]
	packed := make([]byte, 0, len(heads)*headSize)
	for _, h := range heads {
		packed = append(packed, h.Chain[:]...)
		packed = binary.BigEndian.AppendUint64(packed, h.Seq)
		packed = append(packed, h.MAC[:]...)
	}
	return Heads(packed)
}

// Len tells how many there are.
func (h Heads) Len() int { return len(h) / headSize }

// All unpacks them.
func (h Heads) All() []Head {
	if len(h) < headSize {
		return nil
	}
	all := make([]Head, 0, h.Len())
	for rest := []byte(h); len(rest) >= headSize; rest = rest[headSize:] {
		all = append(all, Head{
			Chain: ChainID(rest[:chainIDSize]),
			Seq:   binary.BigEndian.Uint64(rest[chainIDSize:]),
			MAC:   MAC(rest[headSize-macSize : headSize]),
		})
	}
	return all
}

// String returns the chain's name as 32 lower-case hexadecimal digits.
func (id ChainID) String() string { return hex.EncodeToString(id[:]) }

// Short returns the first 8 digits, for tables.
func (id ChainID) Short() string { return hex.EncodeToString(id[:4]) }

// MarshalText writes the name as String does.
func (id ChainID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (id *ChainID) UnmarshalText(text []byte) error { return unhex(id[:], text, errChainID) }

// String returns the MAC as 64 lower-case hexadecimal digits.
func (m MAC) String() string { return hex.EncodeToString(m[:]) }

// MarshalText writes the MAC as String does.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (m *MAC) UnmarshalText(text []byte) error { return unhex(m[:], text, errMAC) }

var (
	errChainID = errors.New("a chain is named by 32 hexadecimal digits")
	errMAC     = errors.New("a MAC is 64 hexadecimal digits")
)

func unhex(dst, text []byte, wrong error) error {
	if len(text) != hex.EncodedLen(len(dst)) {
		return wrong
	}
	raw := make([]byte, len(dst))
	if _, err := hex.Decode(raw, text); err != nil {
		return wrong
	}
	copy(dst, raw)
	return nil
}
