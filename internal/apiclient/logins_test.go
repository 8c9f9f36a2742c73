package apiclient

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestLogins(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "logins.json")
	l, err := ReadLogins(path)
	if _, found := l.Find(""); err != nil || found {
		t.Fatalf("%+v, %v", l, err)
	}
	for _, name := range []string{"a", "b", "a"} {
		err := ChangeLogins(path, func(l *Logins) error {
			return l.Add(Login{Name: name, BaseURL: "https://" + name, Account: "x", Token: fmt.Sprint("t", len(l.Servers))})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	refused := errors.New("refused")
	if err := ChangeLogins(path, func(l *Logins) error { l.Remove("a"); return refused }); !errors.Is(err, refused) {
		t.Errorf("a change that is refused: %v", err)
	}
	for of, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(of); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v", of, info.Mode(), err)
		}
	}
	if l, err = ReadLogins(path); err != nil || len(l.Servers) != 2 {
		t.Fatalf("%+v, %v", l, err)
	}
	if last, found := l.Find(""); !found || last.Name != "a" || last.Token != "t2" {
		t.Errorf("the last one is %+v", last)
	}
	if _, found := l.Find("c"); found || l.Remove("c") {
		t.Error("c was found")
	}
	if !l.Remove("a") || l.Last != "b" || !l.Remove("b") || l.Last != "" {
		t.Errorf("removed: %+v", l)
	}
}

// Concurrent changes lose no server: each reads what the one before it has stored.
func TestConcurrentLogins(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "logins.json")
	var changes sync.WaitGroup
	for i := range 40 {
		changes.Go(func() {
			err := ChangeLogins(path, func(l *Logins) error { return l.Add(Login{Name: fmt.Sprint(i)}) })
			if err != nil {
				t.Error(err)
			}
		})
	}
	changes.Wait()
	if l, err := ReadLogins(path); err != nil || len(l.Servers) != 40 {
		t.Errorf("%d servers are stored, %v", len(l.Servers), err)
	}
}

// A file that others can read is refused, and the error has no token.
func TestLoginsOfOthers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "logins.json")
	for mode, ok := range map[os.FileMode]bool{
		0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o620: false, 0o644: false, 0o601: false,
	} {
		if err := os.WriteFile(path, []byte(`{"servers": [{"name": "a", "token": "`+secret+`"}]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := ReadLogins(path)
		if (err == nil) != ok || err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("mode %04o: %v", mode, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte(`{"token": "`+secret), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadLogins(path); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("a damaged file: %v", err)
	}
}

func TestLoginsAreBounded(t *testing.T) {
	t.Parallel()
	var l Logins
	for i := range maxLogins {
		if err := l.Add(Login{Name: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Add(Login{Name: "x"}); err == nil {
		t.Error("one more than the most was stored")
	}
	if err := l.Add(Login{Name: "5"}); err != nil || len(l.Servers) != maxLogins {
		t.Errorf("one that is there could not be replaced: %v", err)
	}
}
