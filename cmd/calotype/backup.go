package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"calotype/internal/backup"
	"calotype/internal/blob"
	"calotype/internal/disk"
	"calotype/internal/sqldb"
	"calotype/internal/terminal"
)

// stateFiles are the small files in the data folder that a backup copies. The server can generate all
// others again, except database and originals: cache, spool, lock.
var stateFiles = []string{firstTokenFile, demoKeyFile}

// embedded is the kind of state that can be backed up: SQLite and a folder of originals.
type embedded struct {
	Data  string `help:"Data folder of the server." default:"./data" type:"path"`
	Blobs string `help:"Folder of the originals, if it is not in -data."`
	DB    string `hidden:""`
	terminal.Output
}

// store refuses PostgreSQL and S3, which have better tools.
func (e embedded) store() (StateFlags, error) {
	switch {
	case e.DB != "":
		return StateFlags{}, errors.New("backup and restore are for the embedded database. Of PostgreSQL " +
			"make a dump (pg_dump) first, and copy the originals second; see docs/operate.md")
	case strings.Contains(e.Blobs, "://"):
		return StateFlags{}, errors.New("backup and restore are for a folder of originals. Keep the older " +
			"versions of a bucket's objects, or copy it after the database; see docs/operate.md")
	}
	return StateFlags{Data: e.Data, Blobs: e.Blobs}, nil
}

type backupCommand struct {
	embedded
	DiskReserve Bytes  `help:"Space left free on a disk that the server uses too; 0: as serve." default:"0"`
	Verify      bool   `help:"Read earlier copies too, and copy damaged ones again." env:"-"`
	Folder      string `arg:"" help:"Folder for the backup." type:"path"`
}

// Help returns the text of --help below the usage.
func (backupCommand) Help() string {
	return `The folder becomes a complete copy of the SQLite database and the originals, with all uploads
that were acknowledged before the backup began. The server may run concurrently. The next backup into
the folder copies new originals and removes those of deleted images; until it is complete, the
previous backup stays complete. To be able to restore several states, use several folders.

The copy holds pictures, keys and the first token unencrypted; only its owner can read it. calotype
restore makes a data folder of it.

With PostgreSQL or S3, use the tools of these systems: docs/operate.md describes the order.`
}

func (c *backupCommand) Run(ctx context.Context) (err error) {
	began := time.Now()
	store, err := c.store()
	if err != nil {
		return err
	}
	if err := store.wantDatabase(); err != nil {
		return err
	}
	db, err := sqldb.Open(ctx, store.dsn()) // and no migration: the server may be of another release
	if err != nil {
		return err
	}
	defer joinClose(&err, db.Close)
	blobs, err := blob.OpenDirToRead(store.blobs())
	if err != nil {
		return err
	}
	progress := terminal.StartProgress(os.Stderr, c.JSON, "backup", "originals")
	report, err := backup.Run(ctx, backup.Options{
		DB: db, Blobs: blobs, Dir: c.Data,
		To: c.Folder, Folders: []string{c.Data, store.blobs()}, Files: stateFiles,
		Reserve: int64(c.DiskReserve), Verify: c.Verify, Progress: progress,
	})
	err = progress.Stopped(ctx, err, "the previous backup is unchanged; run the command again to continue")
	if err != nil {
		return err
	}
	return c.Print(os.Stdout, report, func(w io.Writer) {
		fmt.Fprintf(w, "backed up %s (%s) to %s: %s (%s) copied, %s kept, %s removed, in %v\n",
			terminal.Count(int64(report.Images), "image", "images"), terminal.Bytes(report.Bytes),
			terminal.Visible(c.Folder), terminal.Count(int64(report.Copied), "original", "originals"),
			terminal.Bytes(report.CopiedBytes), terminal.Number(int64(report.Kept)),
			terminal.Number(int64(report.Removed)), since(began))
	})
}

// since returns the time that a command took, rounded for people.
func since(began time.Time) time.Duration { return time.Since(began).Round(time.Millisecond) }

type restoreCommand struct {
	embedded
	DropDamaged bool   `help:"Leave out images whose original is damaged." env:"-"`
	Folder      string `arg:"" help:"Folder of the backup." type:"existingdir"`
}

// Help returns the text of --help below the usage.
func (restoreCommand) Help() string {
	return `Restores a backup to -data, which must be empty or not exist; calotype serve -data starts on it.
Each original is compared with its SHA-256. The backup is not changed.

The new data folder is the same installation as the original one, with its accounts, tokens and URLs:
run one of them, and never both on one folder of originals.`
}

func (c *restoreCommand) Run(ctx context.Context) (err error) {
	began := time.Now()
	store, err := c.store()
	if err != nil {
		return err
	}
	folder, err := backup.Open(c.Folder)
	if err != nil {
		return err
	}
	defer joinClose(&err, folder.Close)
	options := backup.RestoreOptions{Dir: c.Data, Blobs: store.blobs(), DropDamaged: c.DropDamaged}
	if err := folder.CheckTarget(options); err != nil { // before a lock is created in it
		return err
	}
	if err := store.makeData(); err != nil {
		return err
	}
	lock, err := disk.Lock(ctx, c.Data)
	if err != nil {
		return err
	}
	defer joinClose(&err, lock.Close)
	options.Progress = terminal.StartProgress(os.Stderr, c.JSON, "restore", "originals")
	report, err := folder.Restore(ctx, options)
	err = options.Progress.Stopped(ctx, err, "remove "+shellQuote(c.Data)+" and run the command again")
	if err != nil {
		return err
	}
	if report.Dropped != "" {
		terminal.Show(os.Stderr, "left out, because their originals are damaged:\n%s\n", report.Dropped)
	}
	serve := shellQuote(os.Args[0]) + " serve -data " + shellQuote(c.Data)
	if c.Blobs != "" {
		serve += " -blobs " + shellQuote(c.Blobs)
	}
	return c.Print(os.Stdout, report, func(w io.Writer) {
		fmt.Fprintf(w, "restored %s (%s), as of %s, in %v. Start the server with them:\n\n  %s\n",
			terminal.Count(int64(report.Images), "image", "images"), terminal.Bytes(report.Bytes),
			report.Taken.Format(time.RFC3339), since(began), serve)
	})
}
