package main

import (
	"regexp"
	"strings"
	"testing"
)

var hookTokenLine = regexp.MustCompile(`^[0-9A-Za-z]{32}\n$`)

func TestWrongUsageOfHookTokenIsExitStatus64(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, "create, list, revoke"},
		{[]string{"show"}, `no command "show"`},
		{[]string{"create", "a-token-in-the-wrong-place"}, "takes no arguments"},
		{[]string{"create", "--grace", "1"}, "grace"},
		{[]string{"create", "--grace", "-1s"}, "--grace must be from 0 to 720h0m0s"},
		{[]string{"create", "--hook", "a/b"}, "--hook"},
		{[]string{"list", "--hook", "a"}, "hook"},
		{[]string{"revoke", "--set", "nonsense"}, "section.key=value"},
	} {
		r := command(t, "", append([]string{"hook-token"}, tc.args...)...)
		if r.status != exitHookUsage || !strings.Contains(r.stderr, tc.want) || r.stdout != "" {
			t.Errorf("%q: status %d, %s", tc.args, r.status, r.stderr)
		}
		if strings.Contains(r.stderr, "wrong-place") {
			t.Errorf("%q: an argument, which may be a token, is repeated: %s", tc.args, r.stderr)
		}
	}
	if r := command(t, "", "hook-token", "create", "--help"); r.status != exitOK || !strings.Contains(r.stdout, "hook-token create") {
		t.Errorf("--help: %+v", r)
	}
}

func TestHookTokensAreCreatedListedAndRevoked(t *testing.T) {
	for name, running := range map[string]bool{"through a gateway": true, "through the store": false} {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			if running {
				serve(t, data)
			}
			run := func(args ...string) result {
				return command(t, "", append(append([]string{"hook-token", args[0]}, args[1:]...), "--data", data)...)
			}
			first, second := run("create"), run("create", "--grace", "1h")
			own := run("create", "--hook", "commits")
			for _, r := range []result{first, second, own} {
				if r.status != exitOK || !hookTokenLine.MatchString(r.stdout) || !strings.Contains(r.stderr, "shown only now") || strings.Contains(r.stderr, strings.TrimSpace(r.stdout)) {
					t.Errorf("create: %+v", r)
				}
			}
			if !strings.Contains(first.stderr, "does not work any more") || !strings.Contains(second.stderr, "works until 20") || !strings.Contains(own.stderr, "note: no hook commits is configured here") {
				t.Errorf("what is to be done is not said: %q, %q, %q", first.stderr, second.stderr, own.stderr)
			}
			list := run("list")
			lines := regexp.MustCompile(`^HOOK +TOKEN +STATE +CREATED +LAST USED +UNTIL\n\(all others\) +[0-9a-f]{16} +live +20\S+Z +- +-\n` +
				`\(all others\) +[0-9a-f]{16} +grace +- +- +20\S+Z\ncommits +[0-9a-f]{16} +live +20\S+Z +- +-\n$`)
			if list.status != exitOK || !lines.MatchString(list.stdout) || list.stderr != "" {
				t.Errorf("list: %+v", list)
			}
			if r := run("revoke", "--hook", "commits"); r.status != exitOK || r.stdout != "" {
				t.Errorf("revoke: %+v", r)
			}
			if r := run("revoke", "--hook", "commits"); r.status != exitStore || !strings.Contains(r.stderr, "There is no token to revoke.") {
				t.Errorf("revoke again: %+v", r)
			}
			if r := run("list"); !regexp.MustCompile(`(?m)^commits +- +revoked +20\S+Z +- +-$`).MatchString(r.stdout) {
				t.Errorf("list after revoking: %+v", r)
			}
			for range 3 {
				run("create", "--grace", "1h")
			}
			if r := run("create", "--grace", "1h"); r.status != exitStore || r.stdout != "" || !strings.Contains(r.stderr, "4 earlier tokens are still in theirs") || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("too many in their grace time: %+v", r)
			}
		})
	}
}
