package backup_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"calotype/internal/backup"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb"
)

// TestALostOriginalFailsTheBackup, which names the image and keeps what it has.
func TestALostOriginalFailsTheBackup(t *testing.T) {
	t.Parallel()
	core := newEmbedded(t)
	upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
	want, to := originals(t, core), t.TempDir()
	backUp(t, core, to)
	lost := upload(t, core, images.NewDraft{ID: ptr("lost")}, imagestest.JPEG(t, 2))
	bad := upload(t, core, images.NewDraft{ID: ptr("bad")}, imagestest.JPEG(t, 3))
	upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 4))
	if err := core.Blobs.Delete(t.Context(), lost.Original.Blob); err != nil {
		t.Fatal(err)
	}
	damage(t, core.Dir, bad.Original.Blob)
	_, err := backup.Run(t.Context(), backupOf(core, to))
	for _, part := range []string{"2 originals", `"lost"`, `"bad"`, "SHA-256", account} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want an error with %q", err, part)
		}
	}
	wantOriginals(t, to, want)
	for _, id := range []string{"lost", "bad"} {
		if err := core.DeleteImage(t.Context(), account, id); err != nil {
			t.Fatal(err)
		}
	}
	if report := backUp(t, core, to); report.Copied != 0 || report.Kept != 2 {
		t.Errorf("the others were not kept: %+v", report)
	}
	wantOriginals(t, to, originals(t, core))
}

// TestADamagedBackup: what is wrong in a backup is found when it is restored, and put right by a
// backup that looks for it.
func TestADamagedBackup(t *testing.T) {
	t.Parallel()
	core := newEmbedded(t)
	var keys []string
	for i := range 4 {
		img := upload(t, core, images.NewDraft{ID: ptr(string(rune('a' + i)))}, imagestest.JPEG(t, i))
		keys = append(keys, img.Original.Blob)
	}
	want, to := originals(t, core), t.TempDir()
	backUp(t, core, to)
	damage(t, to, keys[0])
	if err := os.Truncate(filepath.Join(to, "blobs", keys[1]), 10); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(core.Dir, "blobs", keys[2])
	if err := errors.Join(os.Remove(filepath.Join(to, "blobs", keys[2])),
		os.Symlink(outside, filepath.Join(to, "blobs", keys[2]))); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	_, err := restoreTo(t, to, dir, false)
	for _, part := range []string{"3 originals", `"a"`, `"b"`, `"c"`, "-drop-damaged", dir} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want an error with %q", err, part)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, backup.DatabaseFile)); !os.IsNotExist(err) {
		t.Errorf("a database is in place: %v", err)
	}
	dir = t.TempDir()
	report, err := restoreTo(t, to, dir, true)
	if err != nil || report.Images != 1 || strings.Count(report.Dropped, "\n") != 2 {
		t.Fatalf("the report is %+v, %v", report, err)
	}
	if got := originals(t, openEmbedded(t, dir)); len(got) != 1 || got["d"] != want["d"] {
		t.Errorf("%d images are left", len(got))
	}
	// A backup sees what is short or gone at once, the rest when it is asked to look.
	if report := backUp(t, core, to); report.Copied != 2 || report.Kept != 2 {
		t.Errorf("the report is %+v", report)
	}
	options := backupOf(core, to)
	options.Verify = true
	again, err := backup.Run(t.Context(), options)
	if err != nil || again.Copied != 1 || again.Kept != 3 {
		t.Errorf("the report is %+v, %v", again, err)
	}
	wantOriginals(t, to, want)
	damageState(t, to)
	_, err = restoreTo(t, to, t.TempDir(), true)
	if err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("a damaged database: %v", err)
	}
}

// damageState changes a byte of the copied database.
func damageState(t *testing.T, folder string) {
	t.Helper()
	for path, text := range contents(t, folder) {
		if filepath.Base(path) == backup.DatabaseFile {
			changed := bytes.Replace([]byte(text), []byte("installation"), []byte("Installation"), 1)
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// replant changes the database of a backup, as who has the folder can, and its manifest with it.
func replant(t *testing.T, folder string, plant func(path string)) {
	t.Helper()
	manifests, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(manifests) != 1 {
		t.Fatalf("manifests: %q, %v", manifests, err)
	}
	text, err := os.ReadFile(manifests[0])
	if err != nil {
		t.Fatal(err)
	}
	m, err := backup.ParseManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, m.State, backup.DatabaseFile)
	plant(path)
	database, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.Files {
		if m.Files[i].Name == backup.DatabaseFile {
			m.Files[i].Size = int64(len(database))
			m.Files[i].SHA256 = fmt.Sprintf("%x", sha256.Sum256(database))
		}
	}
	if text, err = json.Marshal(m); err == nil {
		err = os.WriteFile(manifests[0], text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestForeignSchemas plants what would run with the server's statements, or hide rows: no backup of
// it is made, and none that was made so is restored.
func TestForeignSchemas(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, plant, says string }{
		{"trigger", `CREATE TRIGGER planted AFTER UPDATE ON accounts BEGIN
			INSERT INTO tokens (key, account, name, scope, sha256, created, batches)
			SELECT 'x', id, 'x', 'admin', 'y', 0, 0 FROM accounts; END`,
			`"trigger planted" should not be there`},
		{"view", `CREATE VIEW planted AS SELECT * FROM tokens`, `"view planted" should not be there`},
		{"index", `CREATE UNIQUE INDEX planted ON images (size)`, `"index planted" should not be there`},
		{"no index", `DROP INDEX images_id`, `"index images_id" is missing`},
		{"another column", `ALTER TABLE variants ADD COLUMN planted TEXT DEFAULT 'x'`,
			`"table variants" is another`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			core, folder := newEmbedded(t), filepath.Join(t.TempDir(), "backup")
			upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
			backUp(t, core, folder)
			plant := func(path string) {
				t.Helper()
				db, err := sqldb.Open(t.Context(), path)
				if err != nil {
					t.Fatal(err)
				}
				_, err = db.Exec(t.Context(), c.plant)
				if err = errors.Join(err, db.Close()); err != nil {
					t.Fatal(err)
				}
			}
			replant(t, folder, plant)
			into := t.TempDir()
			_, err := restoreTo(t, folder, into, false)
			foreign := new(sqldb.ForeignSchemaError)
			if !errors.As(err, &foreign) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("restored: %v, want %s", err, c.says)
			}
			if _, err := os.Stat(filepath.Join(into, backup.DatabaseFile)); err == nil {
				t.Error("the database is in place")
			}
			plant(filepath.Join(core.Dir, backup.DatabaseFile))
			_, err = backup.Run(t.Context(), backupOf(core, folder))
			if !errors.As(err, &foreign) {
				t.Errorf("backed up: %v", err)
			}
		})
	}
}
