package backup_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"calotype/internal/accounts"
	"calotype/internal/backup"
	"calotype/internal/blob"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb/sqldbtest"
)

// wantRefused checks that a backup is refused with a sentence, and changes nothing below dir.
func wantRefused(t *testing.T, o backup.Options, dir, sentence string) {
	t.Helper()
	before := tree(t, dir)
	_, err := backup.Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), sentence) {
		t.Errorf("to %s: got %v, want %q", o.To, err, sentence)
	}
	if after := tree(t, dir); !maps.Equal(before, after) {
		t.Errorf("the refused backup changed %v to %v", before, after)
	}
}

// tree returns the kinds of all that is below dir.
func tree(t *testing.T, dir string) map[string]os.FileMode {
	t.Helper()
	all := map[string]os.FileMode{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		// The live database and its store come and go.
		if err == nil && !strings.HasPrefix(e.Name(), backup.DatabaseFile) {
			all[path] = e.Type()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestABackupLiesApart(t *testing.T) {
	t.Parallel()
	core := newEmbedded(t)
	upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(core.Dir, link); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{
		core.Dir, filepath.Join(core.Dir, "backup"), filepath.Join(core.Dir, "blobs"),
		filepath.Join(core.Dir, "blobs", "backup"), filepath.Dir(core.Dir), link,
		filepath.Join(link, "backup"), core.Dir + "/../" + filepath.Base(core.Dir) + "/backup",
	} {
		wantRefused(t, backupOf(core, to), filepath.Dir(core.Dir), "lies in")
	}
	folder := t.TempDir()
	backUp(t, core, folder)
	for _, dir := range []string{folder, filepath.Join(folder, "data")} {
		_, err := restoreTo(t, folder, dir, false)
		if err == nil || !strings.Contains(err.Error(), "lies in") {
			t.Errorf("restored to %s: %v", dir, err)
		}
	}
}

func TestABackupOverwritesNothing(t *testing.T) {
	t.Parallel()
	core := newEmbedded(t)
	upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
	in := func(make func(dir string) error) backup.Options {
		dir := filepath.Join(t.TempDir(), "backup")
		if err := errors.Join(os.Mkdir(dir, 0o700), make(dir)); err != nil {
			t.Fatal(err)
		}
		return backupOf(core, dir)
	}
	write := func(name, text string) func(string) error {
		return func(dir string) error {
			return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)
		}
	}
	elsewhere := t.TempDir()
	another := func(dir string) error {
		_, err := backup.Run(t.Context(), backupOf(newEmbeddedOf(t, 2), dir))
		return err
	}
	linked := func(name string) func(string) error {
		return func(dir string) error {
			backUp(t, core, dir)
			return errors.Join(os.RemoveAll(filepath.Join(dir, name)),
				os.Symlink(elsewhere, filepath.Join(dir, name)))
		}
	}
	for name, test := range map[string]struct {
		o        backup.Options
		sentence string
	}{
		"something":        {in(write("notes.txt", "")), "is not empty (notes.txt is in it)"},
		"a folder":         {in(func(dir string) error { return os.Mkdir(dir+"/lock", 0o700) }), "not empty"},
		"no manifest":      {in(write("calotype-backup.json", "{")), "not a manifest"},
		"of the future":    {in(write("calotype-backup.json", `{"format":2}`)), "the format 2"},
		"another's":        {in(another), "of the installation"},
		"a linked store":   {in(linked("blobs")), "blobs is not a folder"},
		"a linked lock":    {in(linked("lock")), "lock is not a file"},
		"a linked message": {in(linked("calotype-backup.json")), "is not a file"},
		"a pipe": {in(func(dir string) error {
			return syscall.Mkfifo(dir+"/calotype-backup.json", 0o600)
		}), "is not a file"},
		"no folder above": {backupOf(core, filepath.Join(elsewhere, "none", "backup")), "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "no folder above" {
				if _, err := backup.Run(t.Context(), test.o); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("got %v", err)
				}
				return
			}
			wantRefused(t, test.o, test.o.To, test.sentence)
		})
	}
	if left := tree(t, elsewhere); len(left) != 1 {
		t.Errorf("links were followed: %v", left)
	}
}

// TestALinkedDayIsNotFollowed: a day's folder in the backup leads to the live one.
func TestALinkedDayIsNotFollowed(t *testing.T) {
	t.Parallel()
	core := newEmbeddedOf(t, 2)
	want, to := originals(t, core), t.TempDir()
	backUp(t, core, to)
	day := filepath.Dir(blobs(t, core)[0])
	if err := errors.Join(os.RemoveAll(filepath.Join(to, "blobs", day)),
		os.Symlink(filepath.Join(core.Dir, "blobs", day), filepath.Join(to, "blobs", day))); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Run(t.Context(), backupOf(core, to)); err == nil {
		t.Error("a backup was made through a link")
	}
	if got := originals(t, core); !maps.Equal(got, want) {
		t.Error("the live originals were changed")
	}
}

// TestOneAtATime: who uses a backup keeps others out, but readers.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	core := newEmbeddedOf(t, 1)
	to := t.TempDir()
	backUp(t, core, to)
	reader, err := backup.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	wantOriginals(t, to, originals(t, core))
	if _, err := backup.Run(t.Context(), backupOf(core, to)); err == nil ||
		!strings.Contains(err.Error(), "another backup or restore") {
		t.Errorf("a backup beside a reader: %v", err)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 2))
	inner := 0
	live := meddled(core, to, func(string) {
		inner++
		if _, err := backup.Run(t.Context(), backupOf(core, to)); err == nil {
			t.Error("two backups at a time")
		}
		if reader, err := backup.Open(to); err == nil {
			t.Error("a backup was opened while it is renewed")
			reader.Close()
		}
	})
	if run(t, live); inner != 1 {
		t.Errorf("%d were tried", inner)
	}
}

// TestTheReserveIsKept where the backup is on the disk of the server: nothing is copied.
func TestTheReserveIsKept(t *testing.T) {
	t.Parallel()
	core := newEmbeddedOf(t, 1)
	o := backupOf(core, t.TempDir())
	o.Reserve = 1 << 60
	if _, err := backup.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "disk") {
		t.Errorf("got %v", err)
	}
	for path := range contents(t, o.To) {
		if name := filepath.Base(path); name != "calotype-backup.json" && name != "lock" {
			t.Errorf("%s was made", path)
		}
	}
}

// TestABackupOfAnotherSchema is refused: rows are deleted from it as this program does.
func TestABackupOfAnotherSchema(t *testing.T) {
	t.Parallel()
	for want, statement := range map[string]string{
		"schema 9999": `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`,
		"back it up with": `DELETE FROM goose_db_version
			WHERE version_id = (SELECT max(version_id) FROM goose_db_version)`,
	} {
		core := newEmbedded(t)
		if _, err := core.DB.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		o := backupOf(core, filepath.Join(t.TempDir(), "backup"))
		if _, err := backup.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if _, err := os.Stat(o.To); !os.IsNotExist(err) {
			t.Errorf("a folder was made: %v", err)
		}
	}
}

// TestABackupOfTheWrongStore is refused before anything is made.
func TestABackupOfTheWrongStore(t *testing.T) {
	t.Parallel()
	core, other := newEmbedded(t), newEmbedded(t)
	dir := t.TempDir()
	o := backupOf(core, filepath.Join(dir, "backup"))
	o.Blobs = other.Blobs
	wantRefused(t, o, dir, "belongs to")
}

func TestRestoreOverwritesNothing(t *testing.T) {
	t.Parallel()
	core := newEmbeddedOf(t, 1)
	to := t.TempDir()
	backUp(t, core, to)
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "notes.txt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := restoreTo(t, to, full, false)
	if err == nil || !strings.Contains(err.Error(), "notes.txt") {
		t.Errorf("to a folder with something in it: %v", err)
	}
	folder, err := backup.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	o := backup.RestoreOptions{Dir: t.TempDir(), Blobs: full}
	_, err = folder.Restore(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "notes.txt") {
		t.Errorf("originals to a folder with something in it: %v", err)
	}
	if left := tree(t, full); len(left) != 2 {
		t.Errorf("the folders hold %v", left)
	}
	_, err = backup.Open(full)
	if err == nil || !strings.Contains(err.Error(), "is no backup") {
		t.Errorf("what is no backup: %v", err)
	}
	// The files of two backups do not make one.
	other := t.TempDir()
	backUp(t, newEmbeddedOf(t, 1), other)
	if err := errors.Join(os.RemoveAll(filepath.Join(to, "blobs")),
		os.Rename(filepath.Join(other, "blobs"), filepath.Join(to, "blobs"))); err != nil {
		t.Fatal(err)
	}
	if _, err := restoreTo(t, to, t.TempDir(), true); err == nil ||
		!strings.Contains(err.Error(), "do not belong together") {
		t.Errorf("the originals of another: %v", err)
	}
}

// TestNoServerStartsOnAHalf: a server that is started on what an ended restore left makes no
// installation of it.
func TestNoServerStartsOnAHalf(t *testing.T) {
	t.Parallel()
	core := newEmbeddedOf(t, 2)
	to := t.TempDir()
	backUp(t, core, to)
	damage(t, to, blobs(t, core)[1])
	dir := t.TempDir()
	if _, err := restoreTo(t, to, dir, false); err == nil {
		t.Fatal("a damaged backup was restored")
	}
	store, err := blob.OpenDir(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	db := sqldbtest.Open(t, filepath.Join(dir, backup.DatabaseFile))
	fresh := images.New(images.Config{DB: db, Blobs: store, Dir: dir})
	defer fresh.Close()
	if err := images.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if _, _, err := fresh.Accounts.SetUp(t.Context(), accounts.Setup{}); err != nil {
		t.Fatal(err)
	}
	if err := fresh.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "belongs to") {
		t.Errorf("a server started on the half of a restore: %v", err)
	}
}
