package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestTheReadme pastes the commands of the README into a shell, one after the other.
func TestTheReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(readme), "## Upload a picture")
	section, _, ended := strings.Cut(section, "\n## ")
	if !found || !ended {
		t.Fatal("the README has no section on uploading")
	}
	var script strings.Builder
	for line := range strings.Lines(section) {
		if command, ok := strings.CutPrefix(line, "    "); ok {
			script.WriteString(command)
		}
	}
	s := newServer(t)
	address := strings.TrimPrefix(s.url, "http://")
	commands := strings.NewReplacer(
		"bin/calotype env", binary+" env -data "+s.data+" -listen "+address,
		"/tmp/", "",
	).Replace(script.String())
	shell := exec.Command("bash", "-eux")
	shell.Dir = t.TempDir()
	shell.Env = append(os.Environ(), "CALOTYPE_ACCOUNT_ID="+accountID)
	shell.Stdin = strings.NewReader(commands)
	var out, trace bytes.Buffer
	shell.Stdout, shell.Stderr = &out, &trace
	if err := shell.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.Bytes(), trace.Bytes())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last := lines[len(lines)-1]; !strings.HasSuffix(last, "/public") {
		t.Errorf("the last line is %q, want the variant's URL", last)
	}
	picture, err := os.ReadFile(shell.Dir + "/public.jpg")
	if err != nil || !bytes.HasPrefix(picture, []byte("\xff\xd8\xff")) {
		t.Errorf("the variant is %.20q, %v; want a JPEG", picture, err)
	}
}
