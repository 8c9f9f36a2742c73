package backup_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"calotype/internal/backup"
	"calotype/internal/blob"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/listing"
)

func TestMain(m *testing.M) { imagestest.Main(m) }

const account = imagestest.AccountID

// newEmbedded returns a core on SQLite and a folder, all in its data folder.
func newEmbedded(t *testing.T) *imagestest.Core {
	t.Helper()
	return openEmbedded(t, t.TempDir())
}

// openEmbedded starts a core in a data folder.
func openEmbedded(t *testing.T, dir string) *imagestest.Core {
	t.Helper()
	return imagestest.Open(t, images.Config{Dir: dir}, filepath.Join(dir, backup.DatabaseFile))
}

// newEmbeddedOf returns a core with n images.
func newEmbeddedOf(t *testing.T, n int) *imagestest.Core {
	t.Helper()
	core := newEmbedded(t)
	for i := range n {
		upload(t, core, images.NewDraft{}, imagestest.JPEG(t, i))
	}
	return core
}

func ptr[T any](v T) *T { return &v }

// upload makes an image out of a picture.
func upload(t *testing.T, core *imagestest.Core, d images.NewDraft, body []byte) images.Image {
	t.Helper()
	u, err := core.BeginImage(account, int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if _, err := u.Write(body); err != nil {
		t.Fatal(err)
	}
	img, err := u.Create(t.Context(), "picture.jpg", d)
	if err != nil {
		t.Fatal(err)
	}
	return img.Image
}

// backupOf are the options of a backup of core to a folder.
func backupOf(core *imagestest.Core, to string) backup.Options {
	return backup.Options{
		DB: core.DB, Blobs: core.Blobs, Dir: core.Dir,
		To: to, Folders: []string{core.Dir, filepath.Join(core.Dir, "blobs")},
		Files: []string{"first-token", "try-key"}, Reserve: 1,
	}
}

func backUp(t *testing.T, core *imagestest.Core, to string) backup.Report {
	t.Helper()
	return run(t, backupOf(core, to))
}

func run(t *testing.T, o backup.Options) backup.Report {
	t.Helper()
	report, err := backup.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// restoreTo restores a backup to the folder dir.
func restoreTo(
	t *testing.T, from, dir string, drop bool,
) (report backup.RestoreReport, err error) {
	t.Helper()
	folder, err := backup.Open(from)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	return folder.Restore(t.Context(), backup.RestoreOptions{
		Dir: dir, Blobs: filepath.Join(dir, "blobs"), DropDamaged: drop,
	})
}

// restored restores a backup and starts a core on it.
func restored(t *testing.T, from string) *imagestest.Core {
	t.Helper()
	dir := t.TempDir()
	if _, err := restoreTo(t, from, dir, false); err != nil {
		t.Fatal(err)
	}
	return openEmbedded(t, dir)
}

// originals returns the originals of all images of a core by id. None may be missing.
func originals(t *testing.T, core *imagestest.Core) map[string]string {
	t.Helper()
	page, err := core.Lists.Images(t.Context(), account, listing.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, img := range page.Images {
		all[img.ID] = string(imagestest.Stored(t, core, img.ID))
	}
	return all
}

// blobs returns the keys of all originals.
func blobs(t *testing.T, core *imagestest.Core) (keys []string) {
	t.Helper()
	err := core.EachOriginal(t.Context(), func(o images.OriginalRow) error {
		keys = append(keys, o.Blob)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// wantOriginals checks that a backup, restored, has these images and nothing else.
func wantOriginals(t *testing.T, folder string, want map[string]string) {
	t.Helper()
	core := restored(t, folder)
	if got := originals(t, core); !maps.Equal(got, want) {
		t.Errorf("%d images were restored, want %d, all of them equal", len(got), len(want))
	}
	report, err := core.Sweep(t.Context(), images.SweepOptions{})
	if err != nil || report.Missing != 0 || report.Objects != len(want) {
		t.Errorf("the restored originals are %+v, %v", report, err)
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
	waiting, ticket, err := core.CreateDraft(t.Context(), account, images.NewDraft{})
	if err != nil {
		t.Fatal(err)
	}
	want := originals(t, core)

	to := filepath.Join(t.TempDir(), "backup")
	report := backUp(t, core, to)
	var bytes int64
	for _, original := range want {
		bytes += int64(len(original))
	}
	if report != (backup.Report{Images: 2, Bytes: bytes, Copied: 2, CopiedBytes: bytes}) {
		t.Errorf("the report is %+v", report)
	}
	for path := range contents(t, to) {
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
	if _, err := other.Accounts.Authenticate(t.Context(), imagestest.Token); err != nil {
		t.Errorf("the token: %v", err)
	}
	u, err := other.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if _, err := u.Write(imagestest.JPEG(t, 3)); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Finish(t.Context(), "picture.jpg"); err != nil {
		t.Errorf("the ticket of the restored draft %s: %v", waiting.ID, err)
	}
}

// contents returns all files below dir by their paths.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
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
		if filepath.Base(path) == backup.DatabaseFile {
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

// meddled returns the options of a backup of core, in whose store before happens.
func meddled(core *imagestest.Core, to string, before func(key string)) backup.Options {
	o := backupOf(core, to)
	o.Blobs = meddler{core.Blobs, before}
	return o
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
	live := meddled(core, to, func(key string) {
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
	report := run(t, live)
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
			live := meddled(core, to, func(string) {
				cut := filepath.Join(t.TempDir(), "cut")
				if err := os.CopyFS(cut, os.DirFS(to)); err != nil {
					t.Fatal(err)
				}
				wantComplete(t, cut, complete)
				if n++; n == stop {
					cancel()
				}
			})
			_, err := backup.Run(ctx, live)
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
	if report, err := backup.Run(t.Context(), o); err == nil || report.Copied != 1 {
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
