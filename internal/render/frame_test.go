package render

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFramesCarryFiles(t *testing.T) {
	t.Parallel()
	ours, file, err := socketpair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	theirs, err := connOf(file)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	name := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(name, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		var files []*os.File
		for range n {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			files = append(files, f)
		}
		want := request{Op: strings.Repeat("x", 30_000)}
		if err := writeFrame(ours, want, files...); err != nil {
			t.Fatal(err)
		}
		var got request
		arrived, err := readFrameFiles(theirs, &got, 2)
		if err != nil || got != want || len(arrived) != n {
			t.Errorf("%d files sent, %d arrived, %v", n, len(arrived), err)
		}
		closeAll(arrived)
	}
	if err := writeFrame(ours, request{Op: strings.Repeat("x", maxFrame)}); err == nil {
		t.Error("a frame over the limit was sent")
	}
}

// FuzzReadFrame: whatever a worker sends, the server reads at most one frame and what it accepts is
// within bounds.
func FuzzReadFrame(f *testing.F) {
	for _, s := range []string{
		"", "\x00", "\x00\x00\x00\x02{}", "\xff\xff\xff\xff{}", "\x00\x00\x00\x04{}{}",
		"\x00\x00\x00\x0d{\"kind\":\"ok\"}", "\x00\x00\x00\x09{\"a\":123}", "\x00\x01\x00\x01",
		"\x00\x00\x00\x23{\"properties\":{\"Thumbhash\":\"AAAA\"}}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		var a answer
		err := readFrame(r, &a)
		if used := len(data) - r.Len(); used > 4+maxFrame {
			t.Errorf("%d bytes were read", used)
		}
		if err != nil {
			return
		}
		if err := answerError(a); err != nil && len(err.Error()) > maxReason+100 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	})
}

func FuzzSanitise(f *testing.F) {
	for _, s := range []string{"", " a\n\tb ", "\x1b[31mred\xff", strings.Repeat("é", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := sanitise(s)
		if len(got) > maxReason {
			t.Errorf("%d bytes", len(got))
		}
		for _, c := range got {
			if c < ' ' || c > '~' {
				t.Errorf("%q in %q", c, got)
			}
		}
		if again := sanitise(got); again != got && len(got) < maxReason {
			t.Errorf("%q became %q", got, again)
		}
	})
}
