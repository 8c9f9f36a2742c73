package backup_test

import (
	"path/filepath"
	"testing"

	"calotype/internal/backup"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

// TestABackupHasNoPartials: a backup copies neither the rows nor the parts of resumable uploads, and leaves those of
// the live database alone.
func TestABackupHasNoPartials(t *testing.T) {
	t.Parallel()
	core := newEmbeddedOf(t, 1)
	_, ticket := imagestest.Draft(t, core, images.NewDraft{})
	_, secret, err := core.CreatePartial(t.Context(), images.NewPartial{Ticket: ticket, Length: -1})
	if err != nil {
		t.Fatal(err)
	}
	a, err := core.BeginAppend(t.Context(), secret, images.AppendRequest{Length: -1, Size: -1})
	if err == nil {
		_, err = a.Write(make([]byte, 50_000))
	}
	if err == nil {
		_, err = a.Finish(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "backup")
	report, err := backup.Run(t.Context(), backupOf(core, to))
	if err != nil || report.Images != 1 || report.Copied != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	if p, err := core.Partial(t.Context(), secret); err != nil || p.Offset != 50_000 {
		t.Errorf("the live upload: %+v, %v", p, err)
	}
	if n := imagestest.Count(t, core, "parts"); n != 1 {
		t.Errorf("the live database has %d parts", n)
	}
	dir := t.TempDir()
	folder, err := backup.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	blobs := filepath.Join(dir, "blobs")
	if _, err := folder.Restore(t.Context(), backup.RestoreOptions{Dir: dir, Blobs: blobs}); err != nil {
		t.Fatal(err)
	}
	restored := openEmbedded(t, dir)
	for _, table := range []string{"partials", "parts", "partial_bytes WHERE bytes <> 0"} {
		if n := imagestest.Count(t, restored, table); n != 0 {
			t.Errorf("the restored database has %d rows of %s", n, table)
		}
	}
	_, err = restored.Partial(t.Context(), secret)
	imagestest.WantKind(t, err, errs.TicketUnknown)
	imagestest.CheckUsage(t, restored)
}
