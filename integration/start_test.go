package integration

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tokenText is the shape of every token.
var tokenText = regexp.MustCompile(`^[A-Za-z0-9]{20,}$`)

// freeListeners are the flags that take any free ports.
var freeListeners = []string{
	"--set", "private.listen=127.0.0.1:0", "--set", "public.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0",
}

func TestTheLineToTryThatServePrintsMintsAToken(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	_, line, found := strings.Cut(g.Output(), "Try: ")
	if !found {
		t.Fatalf("no line to try in\n%s", g.Output())
	}
	line, _, _ = strings.Cut(line, "\n")
	out, err := exec.Command("sh", "-c", line).CombinedOutput()
	if err != nil || !tokenText.MatchString(strings.TrimSpace(string(out))) {
		t.Errorf("%s\nprinted %q, %v", line, out, err)
	}
}

func TestServePrintsAndWritesWhereEverythingIs(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	g := startGatewayIn(t, data)
	ready := g.cmd.Args[slices.Index(g.cmd.Args, "--ready-file")+1]
	for _, want := range []string{g.Private, g.Public, g.Admin, data} {
		if !strings.Contains(g.Output(), want) {
			t.Errorf("%s is not printed", want)
		}
	}
	text, err := os.ReadFile(ready)
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]string
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	want := map[string]string{"private": g.Private, "public": g.Public, "admin": g.Admin}
	for name, addr := range want {
		if file[name] != addr {
			t.Errorf("the ready file has %s for %s, want %s", file[name], name, addr)
		}
	}
	if len(file) != len(want) {
		t.Errorf("the ready file is %s", text)
	}
	if answer := curl(t, "http://"+g.Admin+"/readyz"); answer.Status != http.StatusOK {
		t.Errorf("readyz: %s", answer)
	}
}

// TestTheListenersAreOnLoopbackByDefault runs alone: it keeps the default ports.
func TestTheListenersAreOnLoopbackByDefault(t *testing.T) {
	for i, addr := range []string{"127.0.0.1:8087", "127.0.0.1:8080", "127.0.0.1:9087"} {
		// Whoever has the port already serves as well.
		if taken, err := net.Listen("tcp", addr); err == nil {
			defer taken.Close()
		}
		args := []string{"serve", "--data", t.TempDir()}
		for j := range 3 {
			if j != i {
				args = append(args, freeListeners[2*j:2*j+2]...)
			}
		}
		runGateway(t, "", nil, args...).wantOneLine(t, addr, "in use")
	}
}

func TestTheDataDirectoryIsInTheUsersOwn(t *testing.T) {
	t.Parallel()
	xdg, home := t.TempDir(), t.TempDir()
	for _, test := range []struct {
		name string
		env  []string
		want string
	}{
		{"with XDG_DATA_HOME", []string{"HOME=" + home, "XDG_DATA_HOME=" + xdg}, filepath.Join(xdg, "trackgate")},
		{"without", []string{"HOME=" + home, "XDG_DATA_HOME="}, filepath.Join(home, ".local", "share", "trackgate")},
	} {
		if f := runGateway(t, "", test.env, "token", "mint"); f.status != 0 || !tokenText.MatchString(strings.TrimSpace(f.stdout)) {
			t.Fatalf("%s: %+v", test.name, f)
		}
		if _, err := os.Stat(filepath.Join(test.want, "trackgate.db")); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestASignalLetsWhatHasBegunEndAndRefusesWhatIsNew(t *testing.T) {
	for _, test := range []struct {
		name   string
		signal syscall.Signal
		held   misbehaviour
	}{
		{"SIGTERM while the tracker answers slowly", syscall.SIGTERM, misbehaviour{On: "xmlrpc", Kind: "slow"}},
		{"SIGINT before the tracker has called back", syscall.SIGINT, misbehaviour{On: "callback", Kind: "late"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := startScene(t)
			s.peer.Misbehave(test.held)
			ended := beginCall(t, s.gatewayProcess, "/RPC2", "trackers.getBugs", "gnome", []int{1})
			s.peer.Await("held", 1)
			if err := s.cmd.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			s.await(t, func() bool { return refuses(s.Private) })
			s.peer.Reset()
			var answer struct{ Bugs []struct{ ID string } }
			(<-ended).result(t, &answer)
			if len(answer.Bugs) != 1 || answer.Bugs[0].ID != "1" {
				t.Errorf("the call that was held got %+v", answer)
			}
			<-s.done
			if status := s.cmd.ProcessState.ExitCode(); status != 0 {
				t.Errorf("exit status %d", status)
			}
			for _, addr := range []string{s.Public, s.Admin} {
				if !refuses(addr) {
					t.Errorf("%s still accepts", addr)
				}
			}
		})
	}
}

func refuses(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		c.Close()
	}
	return err != nil
}

func TestASecondSignalEndsTheGatewayAtOnce(t *testing.T) {
	t.Parallel()
	s := startScene(t)
	s.peer.Misbehave(misbehaviour{On: "xmlrpc", Kind: "slow"})
	ended := beginCall(t, s.gatewayProcess, "/RPC2", "trackers.getBugs", "gnome", []int{1})
	s.peer.Await("held", 1)
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.await(t, func() bool { return refuses(s.Private) })
	// One that comes in the very moment of the first may count as the same.
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for ended := false; !ended; {
		select {
		case <-s.done:
			ended = true
		case <-again.C:
			_ = s.cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	if answer := <-ended; answer.Error == "" {
		t.Errorf("the call that was held got %s", answer)
	}
	if s.cmd.ProcessState.ExitCode() == 0 {
		t.Error("exit status 0, though a call was cut off")
	}
}

func TestASecondGatewayOnTheSameStoreSaysSo(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	f := runGateway(t, "", nil, with([]string{"serve", "--data", g.Data}, freeListeners...)...)
	f.wantOneLine(t, "trackgate.db", "in use", "--data")
	if f.stdout != "" {
		t.Errorf("it announced %q", f.stdout)
	}
	if token := mint(t, g); present(t, g, token).Status != http.StatusOK {
		t.Error("the first gateway was disturbed")
	}
	if status := g.Stop(); status != 0 {
		t.Errorf("the first gateway ended with %d", status)
	}
}

func TestAPortInUseIsOneLineAndStatusOne(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	for _, key := range []string{"private.listen", "public.listen", "admin.listen"} {
		args := with([]string{"serve", "--data", t.TempDir()}, freeListeners...)
		runGateway(t, "", nil, with(args, "--set", key+"="+g.Private)...).wantOneLine(t, key, g.Private, "in use")
	}
}

func TestADirectoryThatCannotBeWrittenIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("no store\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := with([]string{"serve", "--data", filepath.Join(file, "data")}, freeListeners...)
	runGateway(t, "", nil, args...).wantOneLine(t, filepath.Join(file, "data"), "--data")
	args = with([]string{"serve", "--data", t.TempDir(), "--set", "store.url=bolt:" + file}, freeListeners...)
	runGateway(t, "", nil, args...).wantOneLine(t, file)
	if text, err := os.ReadFile(file); err != nil || !bytes.Equal(text, []byte("no store\n")) {
		t.Errorf("a file that is no store was changed to %q, %v", text, err)
	}
	args = with([]string{"serve", "--data", t.TempDir(), "--ready-file", filepath.Join(file, "ready.json")}, freeListeners...)
	if f := runGateway(t, "", nil, args...); f.status != 1 || !strings.Contains(f.stderr, "ready.json") {
		t.Errorf("a ready file that cannot be written: %+v", f)
	}
}

func TestWrongUsageIsStatusTwo(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{}, {"server"}, {"serve", "--frobnicate"}, {"serve", "now"}, {"serve", "--set"}, {"demo", "loudly"},
		{"token"}, {"token", "forge"}, {"token", "show", "no-fingerprint"}, {"version", "please"},
	} {
		if f := runGateway(t, "", nil, args...); f.status != 2 || f.stderr == "" || f.stdout != "" {
			t.Errorf("%q: %+v, want status 2 and what is wrong on standard error", args, f)
		}
	}
}
