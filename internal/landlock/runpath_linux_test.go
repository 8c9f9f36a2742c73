package landlock

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestRunPath: the folders that a program names for its libraries are found, also through a link to the program, and
// a relative one is left out: it would be relative to the folder in which the server was started.
func TestRunPath(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	source, program := filepath.Join(dir, "main.c"), filepath.Join(dir, "program")
	if err := os.WriteFile(source, []byte("int main(void) { return 0; }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("gcc", "-o", program, source, "-Wl,-rpath,$ORIGIN/lib:/opt/codecs:relative:${ORIGIN}/more")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(program, link); err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(dir, "lib"), "/opt/codecs", filepath.Join(dir, "more")}
	for _, path := range []string{program, link} {
		if got := runPath(path); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	for _, path := range []string{source, filepath.Join(dir, "missing")} {
		if got := runPath(path); got != nil {
			t.Errorf("%s: %q", path, got)
		}
	}
}
