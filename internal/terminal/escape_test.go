package terminal

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

func TestVisible(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"user/7/ä": "user/7/ä", "a\x1b[2J": `a\u001b[2J`, "a\nb": `a\u000ab`, "": "",
		`the host "a" was not found`: `the host "a" was not found`, "\u009b2J\u202e": `\u009b2J\u202e`,
		"\xff\a": `\xff\u0007`, "😀\u200d\U000e0001": `😀\u200d\udb40\udc01`, "\ufffd": "\ufffd",
		"a\u200b\u2066b\ufeff": `a\u200b\u2066b\ufeff`, "\r\t": `\u000d\u0009`,
	} {
		if got := Visible(text); got != want {
			t.Errorf("%q is shown as %s, want %s", text, got, want)
		}
	}
	if got := VisibleLines("a\nb\r\n"); got != "a\nb\\u000d\n" {
		t.Errorf("lines are shown as %q", got)
	}
}

// JSON stays the same JSON.
func TestVisibleJSON(t *testing.T) {
	t.Parallel()
	want := "a\x1b\u202e\u200b\U000e0001\n\"\\ü"
	text, err := json.MarshalIndent([]string{want}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := json.Unmarshal([]byte(VisibleLines(string(text))), &got); err != nil || got[0] != want {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzShow(f *testing.F) {
	f.Add("a\x1b]0;x\a\n\u202e\xff")
	f.Fuzz(func(t *testing.T, text string) {
		var line, lines bytes.Buffer
		ShowLine(&line, "%s", text)
		Show(&lines, "%s", text)
		if Visible(Visible(text)) != Visible(text) {
			t.Errorf("%q is escaped twice", text)
		}
		if strings.Count(line.String(), "\n") != 1 || strings.ContainsFunc(
			line.String()+lines.String(), func(r rune) bool { return r != '\n' && !strconv.IsPrint(r) }) {
			t.Errorf("%q is shown as %q", text, line.String())
		}
	})
}
