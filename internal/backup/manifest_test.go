package backup_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"calotype/internal/backup"
)

// FuzzManifest: what is taken has only plain names, and is the same when it was written and read.
func FuzzManifest(f *testing.F) {
	const state, id = "state-aaaaaaaaaaaaaaaaaaaaaaaaaa", "abcdefghijklmnopqrstuvwxyz"
	const sum = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	const whole = `{"format":1,"installation":"` + id + `","state":"` + state + `","files":[`
	file := func(name string) string {
		return `{"name":"` + name + `","size":1,"sha256":"` + sum + `"}`
	}
	for _, text := range []string{
		`{"format":1,"installation":"` + id + `","state":""}`,
		whole + file("calotype.db") + `,` + file("first-token") + `]}`,
		`{"format":1,"installation":"` + id + `","state":"../x","files":[` + file("calotype.db") + `]}`,
		whole + file("calotype.db") + `,` + file("../x") + `]}`,
		whole + file("calotype.db") + `,` + file("calotype.db") + `]}`,
		whole + `]}`,
		`{"format":9}`, `{`, `null`, ``,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := backup.ParseManifest(text)
		if err != nil {
			return
		}
		if m.State == "" {
			m.Files = nil // which the restore does not read
		}
		names := []string{m.State}
		for _, file := range m.Files {
			names = append(names, file.Name)
		}
		for _, name := range names {
			if strings.ContainsAny(name, `/\`) || name != "" && !filepath.IsLocal(name) || name == "." {
				t.Errorf("the name %q leads elsewhere", name)
			}
		}
		again, err := json.Marshal(m)
		if err == nil {
			_, err = backup.ParseManifest(again)
		}
		if err != nil {
			t.Errorf("what was read cannot be written and read again: %v", err)
		}
	})
}
