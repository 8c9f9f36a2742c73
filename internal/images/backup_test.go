package images_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"calotype/internal/blob"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb"
)

// newEmbedded returns a core on SQLite and a folder, all in its data folder.
func newEmbedded(t *testing.T) *images.Service {
	t.Helper()
	dir := t.TempDir()
	return imagestest.Open(t, images.Config{Dir: dir}, filepath.Join(dir, images.DatabaseFile))
}

// backupOf are the options of a backup of core to a folder.
func backupOf(core *images.Service, to string) images.BackupOptions {
	return images.BackupOptions{
		To: to, Folders: []string{core.Dir, filepath.Join(core.Dir, "blobs")},
		Files: []string{"first-token", "try-key"}, Reserve: 1,
	}
}

func backUp(t *testing.T, core *images.Service, to string) images.BackupReport {
	t.Helper()
	report, err := core.BackUp(t.Context(), backupOf(core, to))
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// restoreTo restores a backup to the folder dir.
func restoreTo(
	t *testing.T, from, dir string, drop bool,
) (report images.RestoreReport, err error) {
	t.Helper()
	backup, err := images.OpenBackup(from)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, backup.Close()) }()
	return backup.Restore(t.Context(), images.RestoreOptions{
		Dir: dir, Blobs: filepath.Join(dir, "blobs"), DropDamaged: drop,
	})
}

// restored restores a backup and starts a core on it.
func restored(t *testing.T, from string) *images.Service {
	t.Helper()
	dir := t.TempDir()
	if _, err := restoreTo(t, from, dir, false); err != nil {
		t.Fatal(err)
	}
	return imagestest.Open(t, images.Config{Dir: dir}, filepath.Join(dir, images.DatabaseFile))
}

// originals returns the originals of all images of a core by id. None may be missing.
func originals(t *testing.T, core *images.Service) map[string]string {
	t.Helper()
	page, err := core.ListImages(t.Context(), account, images.ListQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, img := range page.Images {
		all[img.ID] = string(stored(t, core, img.ID))
	}
	return all
}

// wantOriginals checks that a backup, restored, has these images and nothing else.
func wantOriginals(t *testing.T, backup string, want map[string]string) {
	t.Helper()
	core := restored(t, backup)
	if got := originals(t, core); !maps.Equal(got, want) {
		t.Errorf("%d images were restored, want %d, all of them equal", len(got), len(want))
	}
	report := sweep(t, core, images.SweepOptions{})
	if report.Missing != 0 || report.Objects != len(want) {
		t.Errorf("the restored originals are %+v", report)
	}
}

// damage changes a byte of a stored original.
func damage(t *testing.T, folder, key string) {
	t.Helper()
	path := filepath.Join(folder, "blobs", key)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestABackupIsRestored(t *testing.T) {
	t.Parallel()
	core := newEmbedded(t)
	for name, text := range map[string]string{"first-token": "calo_TOKEN\n", "unknown": "x"} {
		if err := os.WriteFile(filepath.Join(core.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	img := upload(t, core, images.NewDraft{ID: ptr("a/b"), Creator: ptr("ann")}, imagestest.JPEG(t, 1))
	upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 2))
	waiting, ticket := draft(t, core, images.NewDraft{})
	want := originals(t, core)

	to := filepath.Join(t.TempDir(), "backup")
	report := backUp(t, core, to)
	var bytes int64
	for _, original := range want {
		bytes += int64(len(original))
	}
	if report != (images.BackupReport{Images: 2, Bytes: bytes, Copied: 2, CopiedBytes: bytes}) {
		t.Errorf("the report is %+v", report)
	}
	for _, path := range files(t, to) {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v, %v", path, info.Mode(), err)
		}
	}
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the backup has the mode %v, %v", info.Mode(), err)
	}
	before := contents(t, to)
	wantOriginals(t, to, want)
	other := restored(t, to)
	if after := contents(t, to); !maps.Equal(before, after) {
		t.Error("to restore a backup changed it")
	}
	again, err := other.Image(t.Context(), account, "a/b")
	if err != nil || again.Key != img.Key || *again.Creator != "ann" {
		t.Errorf("the restored image is %+v, %v", again, err)
	}
	if text, err := os.ReadFile(filepath.Join(other.Dir, "first-token")); err != nil ||
		string(text) != "calo_TOKEN\n" {
		t.Errorf("the restored token is %q, %v", text, err)
	}
	for _, name := range []string{"unknown", "try-key", "restoring.db"} {
		if _, err := os.Stat(filepath.Join(other.Dir, name)); !os.IsNotExist(err) {
			t.Errorf("%s was restored: %v", name, err)
		}
	}
	if _, err := other.Authenticate(t.Context(), imagestest.Token); err != nil {
		t.Errorf("the token: %v", err)
	}
	_, err = post(t.Context(), other, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 3))
	if err != nil {
		t.Errorf("the ticket of the restored draft %s: %v", waiting.ID, err)
	}
}

// contents returns all files below dir.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, path := range files(t, dir) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = string(text)
	}
	return all
}

// TestTheNextBackup copies what is new and removes what is gone, rows included.
func TestTheNextBackup(t *testing.T) {
	t.Parallel()
	core := newEmbedded(t)
	to := t.TempDir() // empty, and there
	if report := backUp(t, core, to); report.Images != 0 {
		t.Errorf("of nothing: %+v", report)
	}
	gone := upload(t, core, images.NewDraft{ID: ptr("canary-of-rows")}, imagestest.JPEG(t, 1))
	upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 2))
	if report := backUp(t, core, to); report.Copied != 2 || report.Kept != 0 {
		t.Errorf("of two images: %+v", report)
	}
	if err := os.WriteFile(filepath.Join(to, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := core.DeleteImage(t.Context(), account, gone.ID); err != nil {
		t.Fatal(err)
	}
	upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 3))
	report := backUp(t, core, to)
	if report.Images != 2 || report.Copied != 1 || report.Kept != 1 || report.Removed != 1 {
		t.Errorf("of two others: %+v", report)
	}
	wantOriginals(t, to, originals(t, core))
	states := 0
	for path, text := range contents(t, to) {
		if strings.Contains(text, gone.ID) || strings.Contains(path, gone.Original.Blob) {
			t.Errorf("%s holds a deleted image", path)
		}
		if filepath.Base(path) == images.DatabaseFile {
			states++
		}
	}
	if states != 1 {
		t.Errorf("the backup holds %d databases", states)
	}
	if _, err := os.Stat(filepath.Join(to, "notes.txt")); err != nil {
		t.Errorf("what is not ours: %v", err)
	}
}

// A meddler is a store in which something happens just before an object is looked at.
type meddler struct {
	blob.Store
	before func(key string)
}

func (m meddler) Stat(ctx context.Context, key string) (blob.Info, error) {
	m.before(key)
	return m.Store.Stat(ctx, key)
}

// meddled returns core on a store in which before happens.
func meddled(t *testing.T, core *images.Service, before func(key string)) *images.Service {
	t.Helper()
	other := images.New(images.Config{
		DB: core.DB, Blobs: meddler{core.Blobs, before}, Dir: core.Dir,
	})
	t.Cleanup(other.Close)
	return other
}

// TestAnImageIsDeletedMeanwhile, between the snapshot and the copying of its original, and another
// takes its id.
func TestAnImageIsDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	core := newEmbedded(t)
	for i := range 4 {
		upload(t, core, images.NewDraft{ID: ptr(string(rune('a' + i)))}, imagestest.JPEG(t, i))
	}
	want, to := originals(t, core), t.TempDir()
	n := 0
	live := meddled(t, core, func(key string) {
		if n++; n%2 == 0 {
			return
		}
		for id := range originals(t, core) {
			img, err := core.Image(t.Context(), account, id)
			if err != nil {
				t.Fatal(err)
			}
			if img.Original.Blob != key {
				continue
			}
			if err := core.DeleteImage(t.Context(), account, id); err != nil {
				t.Fatal(err)
			}
			delete(want, id)
			upload(t, core, images.NewDraft{ID: ptr(id)}, imagestest.JPEG(t, 100+n))
		}
	})
	report := backUp(t, live, to)
	if report.Images != 2 || report.Copied != 2 || len(want) != 2 {
		t.Errorf("the report is %+v, of %d images", report, len(want))
	}
	wantOriginals(t, to, want)
}

// TestABackupEndsAnywhere copies the folder of a backup at each copied original, which simulates a crash there:
// the previous backup can be restored, or none.
func TestABackupEndsAnywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: restores a backup at each step")
	}
	t.Parallel()
	core := newEmbedded(t)
	to := filepath.Join(t.TempDir(), "backup")
	var complete map[string]string
	for round := range 3 {
		for i := range 3 {
			upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 10*round+i))
		}
		now := originals(t, core)
		for stop := 1; stop <= 4; stop++ {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			n := 0
			live := meddled(t, core, func(string) {
				cut := filepath.Join(t.TempDir(), "cut")
				if err := os.CopyFS(cut, os.DirFS(to)); err != nil {
					t.Fatal(err)
				}
				wantComplete(t, cut, complete)
				if n++; n == stop {
					cancel()
				}
			})
			_, err := live.BackUp(ctx, backupOf(core, to))
			if (err == nil) != (n < stop) {
				t.Fatalf("stopped %d times of %d: %v", n, stop, err)
			}
			if err == nil {
				complete = now
			}
			wantComplete(t, to, complete)
		}
	}
	if len(complete) != 9 {
		t.Errorf("the last backup has %d images", len(complete))
	}
}

// TestABackupThatFailsLate, when all is copied: what the one before it needs is still there.
func TestABackupThatFailsLate(t *testing.T) {
	t.Parallel()
	core := newEmbedded(t)
	old := upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
	complete, to := originals(t, core), t.TempDir()
	backUp(t, core, to)
	upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 2))
	if err := core.DeleteImage(t.Context(), account, old.ID); err != nil {
		t.Fatal(err)
	}
	o := backupOf(core, to)
	o.Files = append(o.Files, "spool") // which is a folder
	if report, err := core.BackUp(t.Context(), o); err == nil || report.Copied != 1 {
		t.Fatalf("got %+v, %v", report, err)
	}
	wantOriginals(t, to, complete)
	backUp(t, core, to)
	wantOriginals(t, to, originals(t, core))
}

// wantComplete checks that a folder restores to what the last complete backup had, if one was.
func wantComplete(t *testing.T, folder string, complete map[string]string) {
	t.Helper()
	if complete != nil {
		wantOriginals(t, folder, complete)
		return
	}
	if _, err := restoreTo(t, folder, t.TempDir(), true); err == nil ||
		!strings.Contains(err.Error(), "never completed") {
		t.Errorf("a backup that was never completed: %v", err)
	}
}

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
	_, err := core.BackUp(t.Context(), backupOf(core, to))
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
	if _, err := os.Stat(filepath.Join(dir, images.DatabaseFile)); !os.IsNotExist(err) {
		t.Errorf("a database is in place: %v", err)
	}
	dir = t.TempDir()
	report, err := restoreTo(t, to, dir, true)
	if err != nil || report.Images != 1 || strings.Count(report.Dropped, "\n") != 2 {
		t.Fatalf("the report is %+v, %v", report, err)
	}
	left := imagestest.Open(t, images.Config{Dir: dir}, filepath.Join(dir, images.DatabaseFile))
	if got := originals(t, left); len(got) != 1 || got["d"] != want["d"] {
		t.Errorf("%d images are left", len(got))
	}
	// A backup sees what is short or gone at once, the rest when it is asked to look.
	if report := backUp(t, core, to); report.Copied != 2 || report.Kept != 2 {
		t.Errorf("the report is %+v", report)
	}
	options := backupOf(core, to)
	options.Verify = true
	again, err := core.BackUp(t.Context(), options)
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
func damageState(t *testing.T, backup string) {
	t.Helper()
	for path, text := range contents(t, backup) {
		if filepath.Base(path) == images.DatabaseFile {
			changed := bytes.Replace([]byte(text), []byte("installation"), []byte("Installation"), 1)
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// replant changes the database of a backup, as who has the folder can, and its manifest with it.
func replant(t *testing.T, backup string, plant func(path string)) {
	t.Helper()
	manifests, err := filepath.Glob(filepath.Join(backup, "*.json"))
	if err != nil || len(manifests) != 1 {
		t.Fatalf("manifests: %q, %v", manifests, err)
	}
	text, err := os.ReadFile(manifests[0])
	if err != nil {
		t.Fatal(err)
	}
	m, err := images.ParseManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(backup, m.State, images.DatabaseFile)
	plant(path)
	database, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.Files {
		if m.Files[i].Name == images.DatabaseFile {
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
			if _, err := os.Stat(filepath.Join(into, images.DatabaseFile)); err == nil {
				t.Error("the database is in place")
			}
			plant(filepath.Join(core.Dir, images.DatabaseFile))
			_, err = core.BackUp(t.Context(), backupOf(core, folder))
			if !errors.As(err, &foreign) {
				t.Errorf("backed up: %v", err)
			}
		})
	}
}
