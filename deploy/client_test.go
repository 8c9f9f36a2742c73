package deploy

import (
	"debug/buildinfo"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestClientArchives builds the archives of the client builds twice, and looks at their files. make test-client runs it.
func TestClientArchives(t *testing.T) {
	if os.Getenv("CALOTYPE_CLIENT_BIN") == "" {
		t.Skip("make test-client builds the archives of the client builds")
	}
	var sums [2]string
	var folder string
	for i := range sums {
		folder = t.TempDir()
		cmd := exec.CommandContext(t.Context(), "../scripts/dist", "client")
		cmd.Env = append(os.Environ(), "VERSION="+archiveVersion, "DIST="+folder)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("scripts/dist client: %v\n%s", err, out)
		}
		sums[i] = readFile(t, filepath.Join(folder, "SHA256SUMS"))
	}
	if sums[0] != sums[1] || strings.Count(sums[0], "\n") != 8 {
		t.Errorf("the sums of two builds are\n%s\n%s", sums[0], sums[1])
	}
	runIn(t, folder, "sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	for _, system := range []string{"linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64"} {
		checkClientArchive(t, filepath.Join(folder, "calotype-client_"+archiveVersion+"_"+system), system)
	}
}

// checkClientArchive looks at an archive, whose path is given without its end.
func checkClientArchive(t *testing.T, archive, system string) {
	t.Helper()
	top := unpack(t, archive+".tar.gz", t.TempDir())
	for _, name := range []string{"calotype", "LICENSE", "NOTICE", "README.md", "completions/calotype.bash",
		"completions/calotype.zsh", "completions/calotype.fish", "man/calotype.1"} {
		if info, err := os.Stat(filepath.Join(top, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: the archive lacks %s: %v", system, name, err)
		}
	}
	info, err := buildinfo.ReadFile(filepath.Join(top, "calotype"))
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, one := range info.Settings {
		settings[one.Key] = one.Value
	}
	if got := settings["GOOS"] + "_" + settings["GOARCH"]; got != system || settings["CGO_ENABLED"] != "0" {
		t.Errorf("%s: the program is of %s, with CGO_ENABLED=%s", system, got, settings["CGO_ENABLED"])
	}
	notice := readFile(t, filepath.Join(top, "NOTICE"))
	var bom struct {
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal([]byte(readFile(t, archive+".cdx.json")), &bom); err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, one := range bom.Components {
		listed[one.Name] = one.Version
	}
	for _, module := range info.Deps {
		if listed[module.Path] != module.Version || !strings.Contains(notice, module.Path+" "+module.Version) {
			t.Errorf("%s: %s %s lacks in NOTICE or in the list of parts", system, module.Path, module.Version)
		}
	}
	for name, want := range map[string]bool{"modernc.org/sqlite": true, "svelte": true,
		"github.com/mattn/go-sqlite3": false, "vips": false} {
		if _, has := listed[name]; has != want {
			t.Errorf("%s: the list of parts has %s: %v", system, name, has)
		}
	}
}
