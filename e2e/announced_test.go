package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAnnounced: commands beside the data folder of a running server find its addresses there, and no longer after its
// end, not even after kill -9.
func TestAnnounced(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-url", "https://images.example.com")
	env := func() string {
		return calotype(t, nil, "env", "-data", s.data, "-api-token", token).stdout
	}
	if got := env(); !strings.Contains(got, "https://images.example.com/client/v4") {
		t.Errorf("env printed %s", got)
	}
	if got := calotype(t, nil, "healthcheck", "-data", s.data); got.code != 0 {
		t.Errorf("healthcheck: %+v", got)
	}
	file := filepath.Join(s.data, "server.json")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	path := filepath.Join(t.TempDir(), "a.jpg")
	if err := os.WriteFile(path, photo(t, 64, 48, 4), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := calotype(t, nil, "image", "upload", path, "-data", s.data); got.code != 0 {
		t.Errorf("an upload: %+v", got)
	}
	if tokens := calotype(t, nil, "token", "list", "-data", s.data); strings.Contains(tokens.stdout, "upload-") {
		t.Errorf("the token of the upload is left: %s", tokens.stdout)
	}
	s.kill()
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the file of the killed server: %v", err)
	}
	if got := env(); strings.Contains(got, "example.com") {
		t.Errorf("env believes a killed server: %s", got)
	}
	s.start()
	s.stop()
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file of the ended server: %v", err)
	}
}
