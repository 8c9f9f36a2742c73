package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// LockFile is the name of the file in a data folder or a backup by which its user locks it.
const LockFile = "lock"

// lockTime is the time that a server waits for the previous one to end.
const lockTime = 30 * time.Second

// Lock locks the data folder against other servers until the file is closed; the kernel
// unlocks it at any end of the process.
func Lock(ctx context.Context, dir string) (*os.File, error) {
	path := filepath.Join(dir, LockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the data folder: %w", err)
	}
	for began, told := time.Now(), false; ; {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil || !errors.Is(err, unix.EWOULDBLOCK) || time.Since(began) > lockTime {
			break
		}
		if !told && time.Since(began) > time.Second {
			told = true
			fmt.Fprintf(os.Stderr, "waiting %v for another server to leave %s\n", lockTime, dir)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder, _ := io.ReadAll(io.LimitReader(f, 20))
		err = fmt.Errorf("another server (process %s) uses the data folder %s: stop it, or give "+
			"this one a separate folder with -data", strings.TrimSpace(string(holder)), dir)
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if errors.Is(err, unix.ENOSPC) {
			err = nil // the number is for messages only
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// LockHolder reports whether a process has locked the data folder, and returns its number, "" if it could not be
// written on a full disk. It creates no file, and locks the folder for a moment only: a server that starts in it tries
// again. Error: of a file that this user may not use, so no server of this user could lock the folder.
func LockHolder(dir string) (pid string, locked bool, err error) {
	f, err := os.Open(filepath.Join(dir, LockFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("looking at the lock of the data folder: %w", err)
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if err == nil {
		return "", false, nil
	}
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return "", false, fmt.Errorf("looking at the lock of the data folder: %w", err)
	}
	holder, err := io.ReadAll(io.LimitReader(f, 20))
	if err != nil {
		return "", true, fmt.Errorf("reading the lock of the data folder: %w", err)
	}
	return strings.TrimSpace(string(holder)), true, nil
}
