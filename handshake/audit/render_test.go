package audit

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestARowAndALineOfJSON(t *testing.T) {
	chain := ChainID{0xab, 0xcd}
	e := mintEntry()
	e.Detail = "a few words"
	for _, tc := range []struct {
		name, row, json string
		e               Entry
	}{
		{"of a minted token",
			"2026-11-21T19:35:03.000Z abcd0000 12      token.minted       done     -            192.0.2.7       private  newBugTrackerToken 0123456789abcdef gnome        a few words",
			`{"time":"2026-11-21T19:35:03.000Z","chain":"abcd0000000000000000000000000000","seq":12,"subsystem":"token","code":2,"event":"minted","outcome":"done","reason":"","caller":"192.0.2.7","listener":"private","route":"newBugTrackerToken","subject":"0123456789abcdef","name":"gnome","detail":"a few words","mac":"0100000000000000000000000000000000000000000000000000000000000000"}`,
			e},
		{"of fields that look like others",
			"2026-11-21T19:35:03.000Z abcd0000 12      hook.code_77       failed   \"-\"          -               -        \"a b\"              \"\\\"\"             -",
			`{"time":"2026-11-21T19:35:03.000Z","chain":"abcd0000000000000000000000000000","seq":12,"subsystem":"hook","code":77,"event":"code_77","outcome":"failed","reason":"-","caller":"","listener":"","route":"a b","subject":"\"","name":"","detail":"","mac":"0100000000000000000000000000000000000000000000000000000000000000"}`,
			Entry{Time: at(3), Subsystem: SubsystemHook, Code: 77, Outcome: Failed, Reason: "-", Route: "a b", Subject: `"`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := Listed{Entry: tc.e, Chain: chain, Seq: 12, MAC: MAC{1}}
			if got := l.Row(); got != tc.row {
				t.Errorf("the row is\n%q, want\n%q", got, tc.row)
			}
			got, err := json.Marshal(l)
			if err != nil || string(got) != tc.json {
				t.Errorf("the line is\n%s, want\n%s", got, tc.json)
			}
		})
	}
	if head := TableHeader(); strings.Fields(head)[3] != "EVENT" || strings.Index(head, "EVENT") != strings.Index((Listed{Entry: e}).Row(), "token.minted") {
		t.Errorf("the header is %q", head)
	}
}

// checkHarmless looks whether what an entry is shown as is one line that says
// nothing but text to a terminal.
func checkHarmless(t testing.TB, l Listed) {
	t.Helper()
	line, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{l.Row(), string(line)} {
		if !utf8.ValidString(shown) {
			t.Errorf("not UTF-8: %q", shown)
		}
		for _, r := range shown {
			if r != ' ' && !unicode.IsPrint(r) {
				t.Errorf("%q holds %U", shown, r)
			}
		}
		if len(shown) > 32<<10 {
			t.Errorf("it has %d bytes", len(shown))
		}
	}
	for _, value := range l.members() {
		if text, ok := value.(string); ok && clean(text, 2*MaxDetail) != text {
			t.Errorf("a member of XML-RPC is %q", text)
		}
	}
}

func TestNothingThatIsRecordedCanForgeALine(t *testing.T) {
	for name, attack := range map[string]string{
		"a new line and another entry": "x\n2026-11-21T19:35:03.000Z abcd0000 12 token.minted done",
		"a carriage return":            "x\rgateway.started",
		"NUL":                          "a\x00b",
		"an escape sequence":           "\x1b]0;title\x07\x1b[2J\x1b[1;1H",
		"a control of eight bits":      "\u009b2J\x9b2J",
		"a change of direction":        "\u202Egnp.exe",
		"a huge value":                 strings.Repeat("A\n", 1<<20),
		"no UTF-8":                     "\xff\xfe\xed\xa0\x80",
		"the end of JSON":              `"}` + "\n" + `{"time":"`,
		"other columns":                "done - 192.0.2.7 private",
	} {
		t.Run(name, func(t *testing.T) {
			for _, e := range []Entry{
				{Subsystem: Subsystem(attack)}, {Outcome: Outcome(attack)}, {Reason: attack}, {Listener: attack}, {Route: attack},
				{Subject: attack}, {Name: attack}, {Detail: attack},
				{Caller: netip.MustParseAddr("fe80::1").WithZone(attack)},
			} {
				e.Time = at(1)
				store := newMemory()
				if err := store.Begin(t.Context(), NewChain(NewChainID(), Key{})); err != nil {
					t.Fatal(err)
				}
				if err := store.Append(t.Context(), e); err != nil {
					t.Fatal(err)
				}
				if n := len(store.blocks[0].Data); n > MaxDetail+200 {
					t.Errorf("the block has %d bytes", n)
				}
				checkHarmless(t, written(t, store)[0])
				checkHarmless(t, Listed{Entry: e}) // one that no store made harmless
				counted := tally{}
				counted.add(&e)
				checkHarmless(t, Listed{Entry: counted.entry(ReasonFlood, at(1))})
			}
		})
	}
}

func TestAFieldCannotPassForAnotherColumn(t *testing.T) {
	honest := Listed{Entry: Entry{Time: at(1), Outcome: Refused, Reason: "used", Route: "r"}}
	forged := Listed{Entry: Entry{Time: at(1), Outcome: "refused used - -", Route: "r"}}
	if a, b := strings.Fields(honest.Row()), strings.Fields(forged.Row()); a[4] == b[4] {
		t.Errorf("%q and %q have the same outcome", a, b)
	}
}
