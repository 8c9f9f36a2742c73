package manage

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"calotype/internal/apiclient"
)

// TestStates: the state of a draft at its limits.
func TestStates(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		attempts int
		refused  bool
		expires  time.Duration
		want     string
		left     int
	}{
		{0, false, time.Second, "waiting", 10}, {1, true, time.Second, "refused", 9},
		{9, true, time.Second, "refused", 1}, {10, true, time.Second, "exhausted", 0},
		{11, true, time.Second, "exhausted", 0}, {10, true, 0, "expired", 0}, {0, false, 0, "expired", 10},
	} {
		u := apiclient.Upload{Expires: now.Add(tt.expires), Attempts: tt.attempts}
		if tt.refused {
			u.LastError = &struct {
				Code    int    `json:"code"`
				Message string `json:"message"`
			}{5455, "no picture"}
		}
		if got := NewImage(apiclient.Image{Draft: true, Upload: &u}, now).Upload; got.State != tt.want ||
			got.AttemptsLeft != tt.left || (got.LastError != nil) != tt.refused {
			t.Errorf("%+v: %+v", tt, got)
		}
	}
}

func TestFilesOfFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a.JPG", "b.png", "sub/c d.webp", "notes.txt", ".hidden.jpg", ".git/x.jpg", "noname"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "a.JPG"), filepath.Join(dir, "link.jpg")); err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string]string{
		"": "a.JPG b.png sub/c d.webp", "x": "xa.JPG xb.png xsub/c d.webp", "x/": "x/a.JPG x/b.png x/sub/c d.webp",
	} {
		c := ImageUpload{Paths: []string{dir}, IDs: "path", IDPrefix: prefix}
		files, others, err := c.files()
		var ids []string
		for _, f := range files {
			ids = append(ids, f.id)
		}
		slices.Sort(ids)
		if got := strings.Join(ids, " "); err != nil || got != want || others != 4 {
			t.Errorf("prefix %q: %s and %d others, %v", prefix, got, others, err)
		}
	}
	c := ImageUpload{Paths: []string{dir, dir}, IDs: "path"}
	if _, _, err := c.files(); err == nil || !strings.Contains(err.Error(), "two files") {
		t.Errorf("the same ids twice: %v", err)
	}
	c.IDs = "random"
	if files, _, err := c.files(); err != nil || len(files) != 6 || files[0].id != "" {
		t.Errorf("random ids: %v, %v", files, err)
	}
	c.Paths = []string{filepath.Join(dir, "nothing.jpg")}
	if _, _, err := c.files(); err == nil {
		t.Error("a file that does not exist was found")
	}
}

func TestFileNames(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/a/b.jpg": "b.jpg", "x/\x1b[2J\n\u0085ü.jpg": "_[2J__ü.jpg", "\xff.jpg": "_.jpg",
	} {
		if got := (file{path: path}).name(); got != want {
			t.Errorf("%q has the name %q, want %q", path, got, want)
		}
	}
}

func TestJSONOf(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"200": "200", "1.5": "1.5", "true": "true", "cover": `"cover"`, "": `""`, " ": `" "`, "null": `"null"`,
		`"a"`: `"\"a\""`, `{"x":1}`: `{"x":1}`, "0x10": `"0x10"`, "#ff0": `"#ff0"`,
	} {
		if got := string(jsonOf(value)); got != want {
			t.Errorf("%q is %s, want %s", value, got, want)
		}
	}
}
