package main

import (
	"slices"
	"testing"
)

func TestClosest(t *testing.T) {
	t.Parallel()
	known := []string{"CALOTYPE_LISTEN", "CALOTYPE_DB", "CALOTYPE_DB_FILE", "CALOTYPE_URL", "CALOTYPE_DATA"}
	for name, want := range map[string]string{
		"CALOTYPE_LISTN": "CALOTYPE_LISTEN", "CALOTYPE_LSITEN": "CALOTYPE_LISTEN", "CALOTYPE_URLS": "CALOTYPE_URL",
		"CALOTYPE_BIN": "", "CALOTYPE_CORPUS": "", "CALOTYPE_DBFILE": "CALOTYPE_DB_FILE", "CALOTYPE_D": "",
		"CALOTYPE_DATAS": "CALOTYPE_DATA", "CALOTYPE_": "",
	} {
		if got := closest(name, known); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestAsksForHelp(t *testing.T) {
	t.Parallel()
	root := commandTree(t).Node
	for _, tt := range []struct{ args, want []string }{
		{nil, []string{"--help"}}, {[]string{"help"}, []string{"--help"}},
		{[]string{"help", "image", "list"}, []string{"image", "list", "--help"}},
		{[]string{"image"}, []string{"image", "--help"}}, {[]string{"stats"}, []string{"stats"}},
		{[]string{"image", "lst"}, []string{"image", "lst"}}, {[]string{"--json"}, []string{"--json"}},
		{[]string{"import"}, []string{"import"}}, // has a default
	} {
		if got := asksForHelp(root, tt.args); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.args, got, tt.want)
		}
	}
}
