package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"calotype/internal/blob"
	"calotype/internal/disk"
)

// DatabaseFile is the name of a SQLite database, in a data folder and in a backup.
const DatabaseFile = "calotype.db"

// blobsFolder is the folder of the originals in a backup.
const blobsFolder = "blobs"

// A Folder is an open folder with a copy of an installation:
//
//	calotype-backup.json  the manifest: the valid state and its files
//	state-<key>/          calotype.db, a snapshot of the rows, and small files of the data folder
//	blobs/                the originals that the rows name, and the mark of the blob store
//	lock                  locked by the process that uses the folder
//
// The manifest is replaced last, by a rename. Until then the previous state is complete: only files that no manifest
// names are deleted.
type Folder struct {
	dir      string
	root     *os.Root
	lock     *os.File // nil on a read-only disk
	manifest manifest
	blobs    *blob.Dir
}

// Open opens a complete backup to restore it, and changes nothing in it.
func Open(dir string) (*Folder, error) {
	return openFolder(dir, (*Folder).prepareToRead)
}

// openToWrite opens the folder of an installation's backup to create or update it. It creates a missing
// folder, and refuses one with anything except a backup of that installation.
func openToWrite(dir, installation string) (*Folder, error) {
	if err := makeFolder(dir); err != nil {
		return nil, err
	}
	return openFolder(dir, func(b *Folder) error { return b.prepareToWrite(installation) })
}

func openFolder(dir string, prepare func(*Folder) error) (*Folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the backup: %w", err)
	}
	b := &Folder{dir: dir, root: root}
	if err := prepare(b); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Folder) prepareToRead() error {
	// A backup without a lock file, or with one that cannot be opened, is not locked: files that are deleted
	// concurrently are detected.
	err := b.lockFor(unix.LOCK_SH, os.O_RDONLY)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	switch err := b.readManifest(); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is no backup: it has no file %s", b.dir, manifestFile)
	case err != nil:
		return err
	case b.manifest.State == "":
		return fmt.Errorf("the backup in %s was never completed: run calotype backup again", b.dir)
	}
	if err := b.wantFolder(blobsFolder); err != nil {
		return err
	}
	b.blobs, err = blob.OpenDirToRead(filepath.Join(b.dir, blobsFolder))
	return err
}

func (b *Folder) prepareToWrite(installation string) error {
	// Before the lock, which creates a file, and again under the lock.
	if err := b.wantOurs(installation); err != nil {
		return err
	}
	if err := b.lockFor(unix.LOCK_EX, os.O_RDWR|os.O_CREATE); err != nil {
		return err
	}
	if err := b.wantOurs(installation); err != nil {
		return err
	}
	if b.manifest.Format == 0 {
		err := b.writeManifest(manifest{Format: manifestFormat, Installation: installation})
		if err != nil {
			return err
		}
	}
	if err := b.removeStates(); err != nil {
		return err
	}
	var err error
	b.blobs, err = blob.OpenDir(filepath.Join(b.dir, blobsFolder))
	return err
}

// makeFolder creates a folder, but not its parents: if a disk is not mounted, they are missing.
func makeFolder(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("making the folder of the backup: %w", err)
	}
	return syncPath(filepath.Dir(dir))
}

// syncPath makes the names in a folder durable.
func syncPath(dir string) error {
	f, err := os.Open(dir)
	if err == nil {
		err = blob.SyncFolder(f)
	}
	if err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}

// wantOurs reads the manifest and refuses a folder with anything except a backup of the installation.
// An empty folder has no manifest yet.
func (b *Folder) wantOurs(installation string) error {
	err := b.readManifest()
	if errors.Is(err, fs.ErrNotExist) {
		return wantEmpty(b.dir, "it holds no backup, so this one needs an empty folder or a new one",
			disk.LockFile, newManifest)
	}
	if err != nil {
		return err
	}
	if b.manifest.Installation != installation {
		return fmt.Errorf("%s holds a backup of the installation %s, not of this one, %s: give each "+
			"a separate folder", b.dir, b.manifest.Installation, installation)
	}
	return b.wantFolder(blobsFolder)
}

// wantEmpty refuses a folder with other files than the named ones.
func wantEmpty(dir, why string, but ...string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking whether the folder is empty: %w", err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !slices.Contains(but, e.Name()) {
			return fmt.Errorf("%s is not empty (%s is in it): %s", dir, e.Name(), why)
		}
	}
	return nil
}

// wantFolder refuses a link, which would lead out of the backup. A missing folder is fine.
func (b *Folder) wantFolder(name string) error {
	info, err := b.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking into the backup: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder, as it is in a backup", filepath.Join(b.dir, name))
	}
	return nil
}

// lockFor locks the folder until Close; the kernel unlocks it when the process dies.
func (b *Folder) lockFor(how, flag int) error {
	if info, err := b.root.Lstat(disk.LockFile); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file, as it is in a backup", filepath.Join(b.dir, disk.LockFile))
	}
	f, err := b.root.OpenFile(disk.LockFile, flag, 0o600)
	if err != nil {
		return fmt.Errorf("locking the backup: %w", err)
	}
	b.lock = f
	err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("another backup or restore uses %s: let it end first", b.dir)
	}
	if err != nil {
		return fmt.Errorf("locking the backup: %w", err)
	}
	return nil
}

// Close unlocks and closes the folder.
func (b *Folder) Close() error {
	if b.lock == nil {
		return b.root.Close()
	}
	return errors.Join(b.lock.Close(), b.root.Close())
}

// openFile opens a regular file of the backup for reading; a special file could block.
func (b *Folder) openFile(name string) (*os.File, error) {
	info, err := b.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file, as it is in a backup", filepath.Join(b.dir, name))
	}
	return b.root.Open(name)
}

// removeStates removes the states that the manifest does not name: older ones, unfinished ones.
func (b *Folder) removeStates() error {
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return fmt.Errorf("looking for old states: %w", err)
	}
	for _, e := range entries {
		if e.Name() == b.manifest.State || !stateName.MatchString(e.Name()) {
			continue
		}
		if err := b.root.RemoveAll(e.Name()); err != nil {
			return fmt.Errorf("removing an old state: %w", err)
		}
	}
	return nil
}

// writeFile writes all bytes of r to a file and syncs the file, but not its folder. It returns the file's
// entry of the manifest.
func writeFile(root *os.Root, name string, r io.Reader) (f stateFile, err error) {
	to, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return f, err
	}
	if f, err = describe(io.TeeReader(r, to)); err == nil {
		err = to.Sync()
	}
	return f, errors.Join(err, to.Close())
}

// describe returns the manifest entry of a file.
func describe(r io.Reader) (stateFile, error) {
	sum := sha256.New()
	n, err := io.Copy(sum, r)
	return stateFile{Size: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, err
}
