package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestCompareVersions(t *testing.T) {
	t.Parallel()
	ordered := []string{"", "2.2.5", "2.9", "2.10", "2.28", "2.31", "PRIVATE"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := compareVersions(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%q and %q: %d", a, b, got)
			}
		}
	}
}

// TestGlibc reads the version that a real program needs, and refuses it under a lower limit.
func TestGlibc(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run([]string{"glibc", program}, &out); err != nil {
		t.Fatal(err)
	}
	version := strings.TrimSpace(out.String())
	if compareVersions(version, "2.2.5") <= 0 || compareVersions(version, "3") >= 0 {
		t.Errorf("git needs glibc %q", version)
	}
	if err := run([]string{"glibc", "-max", version, program}, &out); err != nil {
		t.Errorf("with %s as the limit: %v", version, err)
	}
	err = run([]string{"glibc", "-max", "2.2.5", program}, &out)
	if err == nil || !strings.Contains(err.Error(), version) {
		t.Errorf("with a lower limit: %v", err)
	}
	if err := run([]string{"glibc", "main.go"}, &out); err == nil {
		t.Error("a text is taken for a program")
	}
}

func TestLicencesIn(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"LICENSE", "UNLICENSE", "README.md", "license.go", "a/b/NOTICE.txt", "a/COPYING", "c/LICENCE-MIT"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := licencesIn(root, []string{filepath.Join(root, "a/b")})
	if err != nil {
		t.Fatal(err)
	}
	want := root + "/LICENSE " + root + "/UNLICENSE " + root + "/a/COPYING " + root + "/a/b/NOTICE.txt"
	if got := strings.Join(files, " "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if _, err := licencesIn(filepath.Join(root, "c"), []string{filepath.Join(root, "c")}); err != nil {
		t.Error(err)
	}
	if _, err := licencesIn(t.TempDir(), nil); err == nil {
		t.Error("a module without a licence is accepted")
	}
}

// TestGroup: a text that several parts have is written once, also with other line breaks.
func TestGroup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) []string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return []string{path}
	}
	notices, err := group([]part{
		{Name: "a", Version: "1", Texts: write("a", "MIT\ntext")}, {Name: "b", Version: "2", Texts: write("b", "BSD")},
		{Name: "c", Version: "3", Texts: write("c", "MIT text\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(notices) != 2 || strings.Join(notices[0].parts, ", ") != "a 1, c 3" {
		t.Errorf("%q", notices)
	}
}

// TestSBOM: the list names the library files by their sums, and refuses a file of unknown origin.
func TestSBOM(t *testing.T) {
	t.Chdir("..")
	t.Setenv("SOURCE_DATE_EPOCH", "1")
	dir := t.TempDir()
	s := source{engine: filepath.Join(dir, "amd64"), sysroot: filepath.Join(dir, "root"), lib: filepath.Join(dir, "lib")}
	listed := make([]map[string]string, 20)
	document, err := json.Marshal(map[string]any{"bomFormat": "CycloneDX", "components": listed,
		"metadata": map[string]any{"timestamp": "now"}, "serialNumber": "random"})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"go.json":             string(document),
		"amd64/versions.json": `{"vips": "8.18.7", "uhdr": "2.0"}`,
		"amd64/NOTICE.md":     "| libvips | LGPLv3 |\n| libultrahdr | [MIT](url) |\n",
		"root/versions.txt": "libc6-dev 2 glibc\nlibgcc-10-dev 2 gcc\nlibgcc-s1 2 gcc\nlibjpeg62-turbo-dev 2 jpeg\n" +
			"libstdc++6 10.2 gcc\nother 1 other\n",
		"lib/libvips-cpp.so.42": "vips", "lib/libstdc++.so.6": "stdc++", "web/assets/index.js.map": `{"sources": []}`,
		"web/docs/assets/index.js.map": `{"sources": []}`,
		"web/docs/licences.txt":        line + "\ncat (MIT)\n@a/dog (0BSD)\n" + line + "\n\nCopyright\n",
		bundleMap: `{"sources": ["webpack://Viewer/./node_modules/cat/index.js", "webpack://Viewer/./src/index.js",
			"webpack://Viewer/./node_modules/@a/dog/lib/dog.js"]}`,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.goParts, s.web, s.root = filepath.Join(dir, "go.json"), filepath.Join(dir, "web"), dir
	var out bytes.Buffer
	if err := writeSBOM(&out, s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"purl": "pkg:npm/%40img/sharp-libvips-linux-x64@`, `"name": "uhdr"`, `"name": "MIT"`,
		`"name": "@a/dog"`, `"name": "0BSD"`,
		fmt.Sprintf(`"content": "%x"`, sha256.Sum256([]byte("vips"))), `"1970-01-01T00:00:01Z"`,
		`"purl": "pkg:deb/debian/libstdc%2B%2B6@10.2?distro=debian-11"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the list lacks %s:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "random") || strings.Contains(out.String(), `"other"`) {
		t.Errorf("the list has what it should not have:\n%s", out.String())
	}
	if err := os.WriteFile(filepath.Join(s.lib, "libunknown.so"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writeSBOM(&out, s); err == nil || !strings.Contains(err.Error(), "libunknown.so") {
		t.Errorf("a library of unknown origin: %v", err)
	}
}

// TestBundled: each module inside the viewer has a licence, and each licence is of a module inside it.
func TestBundled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write(bundleMap, `{"sources": ["x/node_modules/cat/index.js", "x/node_modules/cat/b.js", "x/node_modules/dog/a.js"]}`)
	section := func(names, text string) string { return line + "\n" + names + line + "\n\n" + text + "\n\n" }
	for name, test := range map[string]struct {
		text string
		good bool
	}{
		"both":        {section("cat (MIT)\ndog (ISC)\n", "Copyright"), true},
		"two texts":   {section("cat (MIT)\n", "Copyright a") + section("dog ((MIT OR ISC))\n", "Copyright b"), true},
		"one missing": {section("cat (MIT)\n", "Copyright"), false},
		"one more":    {section("cat (MIT)\ndog (ISC)\nrat (ISC)\n", "Copyright"), false},
		"twice":       {section("cat (MIT)\ndog (ISC)\ncat (MIT)\n", "Copyright"), false},
		"no licence":  {section("cat\ndog (ISC)\n", "Copyright"), false},
		"no text":     {section("cat (MIT)\ndog (ISC)\n", ""), false},
		"empty":       {"", false},
	} {
		write(bundleLicences, test.text)
		parts, notices, err := bundled(dir)
		if (err == nil) != test.good || test.good && (len(parts) != 2 || len(notices) == 0) {
			t.Errorf("%s: %v, %v, %v", name, parts, notices, err)
		}
	}
}

// TestBundledModules compares the licences with the viewer that is installed.
func TestBundledModules(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("../" + bundleMap); errors.Is(err, fs.ErrNotExist) {
		t.Skip("the viewer is not installed: scripts/build-web installs it")
	}
	parts, _, err := bundled("..")
	if err != nil || len(parts) < 50 {
		t.Errorf("%d modules, %v", len(parts), err)
	}
}

// TestWorkflow: the workflow of a release is valid, has no permission that it does not name, and its actions are
// pinned by commits.
func TestWorkflow(t *testing.T) {
	t.Parallel()
	const workflow = "../.github/workflows/release.yml"
	text, err := os.ReadFile(workflow)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "\npermissions: {}\n") {
		t.Error("jobs have permissions by default")
	}
	pinned := regexp.MustCompile(`^[a-z-]+/[a-z-]+@[0-9a-f]{40} # v[0-9]+\.[0-9]+\.[0-9]+$`)
	uses := 0
	for line := range strings.Lines(string(text)) {
		if _, action, ok := strings.Cut(strings.TrimSpace(line), "uses: "); ok {
			uses++
			if !pinned.MatchString(action) {
				t.Errorf("the action %s is not pinned", action)
			}
		}
	}
	if uses < 5 {
		t.Errorf("only %d actions were found", uses)
	}
	lint, err := exec.LookPath("../.tools/bin/actionlint")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no actionlint: run scripts/setup test")
		}
		t.Skip("there is no actionlint: run scripts/setup test")
	}
	if out, err := exec.CommandContext(t.Context(), lint, "-no-color", workflow).CombinedOutput(); err != nil {
		t.Errorf("actionlint: %v\n%s", err, out)
	}
}
