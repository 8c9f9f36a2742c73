package manage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"golang.org/x/sync/errgroup"

	"calotype/internal/apiclient"
)

// maxFiles bounds the files of one upload, whose names are in memory.
const maxFiles = 2_000_000

// pictureNames are the endings of the names of pictures.
var pictureNames = strings.Fields(".avif .gif .heic .heif .jfif .jpe .jpeg .jpg .png .svg .webp")

// A file is a file to upload.
type file struct {
	path     string
	size     int64
	id       string // "" for a generated one
	inFolder bool   // it was found in a folder
	folder   string // that folder
	found    inode  // of the file that was found there
	sha256   string // "" before it is computed
}

// name returns the file name that the server gets, which takes no control characters.
func (f file) name() string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(filepath.Base(f.path), "_"))
}

// open opens the file. Its error is that of one file.
func (f file) open() (io.ReadCloser, error) {
	opened, err := f.openSame()
	if err != nil {
		return nil, fmt.Errorf("%w cannot be read: %w", errFile, err)
	}
	return readFile{opened}, nil
}

// openSame opens the file. One of a folder must be the file that was found: other users who can write there may have
// replaced it by a link or a pipe.
func (f file) openSame() (*os.File, error) {
	if !f.inFolder {
		return os.Open(f.path)
	}
	below, err := filepath.Rel(f.folder, f.path)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(f.folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	opened, err := root.OpenFile(below, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	now, err := opened.Stat()
	if err == nil && inodeOf(now) != f.found {
		err = errors.New("it was replaced by another file")
	}
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return opened, nil
}

// An inode identifies a file. It is smaller than a FileInfo, of which there may be two million.
type inode struct{ device, number uint64 }

func inodeOf(info fs.FileInfo) (i inode) {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		i = inode{uint64(stat.Dev), stat.Ino}
	}
	return i
}

// A readFile is a file whose errors are those of one file.
type readFile struct{ *os.File }

// Read implements io.Reader.
func (f readFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w cannot be read: %w", errFile, err)
	}
	return n, err
}

// WriteTo hides that of os.File, whose errors are not those of one file.
func (f readFile) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{f}) }

// hash returns the SHA-256 of the file in hex.
func (f file) hash(ctx context.Context) (string, error) {
	if f.sha256 != "" {
		return f.sha256, nil
	}
	opened, err := f.open()
	if err != nil {
		return "", err
	}
	defer opened.Close()
	sum, piece := sha256.New(), make([]byte, 1<<20)
	for ctx.Err() == nil {
		n, err := opened.Read(piece)
		sum.Write(piece[:n])
		if err == io.EOF {
			return hex.EncodeToString(sum.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", ctx.Err()
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// files returns the files to upload, and the number of other files in the folders.
func (c *ImageUpload) files() (files []file, others int, err error) {
	for _, given := range c.Paths {
		info, err := os.Stat(given)
		if err != nil {
			return nil, 0, fmt.Errorf("looking for the files: %w", err)
		}
		if !info.IsDir() {
			files = append(files, file{path: given, size: info.Size(), id: c.ID})
			continue
		}
		found, more, err := c.filesBelow(given, maxFiles-len(files))
		if err != nil {
			return nil, 0, err
		}
		files, others = append(files, found...), others+more
	}
	if c.IDs == "path" {
		if twice := firstTwice(files); twice != "" {
			return nil, 0, fmt.Errorf("two files would have the id %q: upload the folders by separate commands, each "+
				"with another --id-prefix", twice)
		}
	}
	return files, others, nil
}

// filesBelow returns the files of a folder that have the name of a picture, at most most. Hidden files and folders,
// and symbolic links, are left out.
func (c *ImageUpload) filesBelow(dir string, most int) (files []file, others int, err error) {
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		hidden := name != dir && strings.HasPrefix(e.Name(), ".")
		switch {
		case err != nil:
			return err
		case e.IsDir() && hidden:
			return fs.SkipDir
		case e.IsDir():
			return nil
		case hidden || !e.Type().IsRegular() ||
			!slices.Contains(pictureNames, strings.ToLower(filepath.Ext(name))):
			others++
			return nil
		case len(files) >= most:
			return fmt.Errorf("there are more than %d files: upload them by several commands", maxFiles)
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		below, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		f := file{path: name, size: info.Size(), inFolder: true, folder: dir, found: inodeOf(info)}
		if c.IDs == "path" {
			f.id = path.Join(c.IDPrefix, filepath.ToSlash(below))
			if c.IDPrefix != "" && !strings.HasSuffix(c.IDPrefix, "/") {
				f.id = c.IDPrefix + filepath.ToSlash(below)
			}
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("looking for the files in %s: %w", dir, err)
	}
	return files, others, nil
}

// firstTwice returns an id that two files have, "" if there is no such id.
func firstTwice(files []file) string {
	seen := map[string]bool{}
	for _, f := range files {
		if f.id != "" && seen[f.id] {
			return f.id
		}
		seen[f.id] = true
	}
	return ""
}

// skipPresent computes the hashes of the files that are skipped by their bytes, and finds the images that have them:
// it reads the list of all images of the account once.
func (u *uploading) skipPresent(ctx context.Context, files []file) error {
	wanted := map[string]bool{}
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(u.Parallel)
	for i := range files {
		f := &files[i]
		if f.id != "" || !f.inFolder && !u.Skip {
			continue
		}
		group.Go(func() error {
			sum, err := f.hash(running)
			if running.Err() != nil {
				return running.Err()
			}
			if err == nil { // otherwise its upload reports the error
				f.sha256 = sum
				u.mu.Lock()
				wanted[sum] = true
				u.mu.Unlock()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil || len(wanted) == 0 {
		return err
	}
	q := apiclient.ListQuery{Limit: maxListed}
	for {
		page, err := u.client.List(ctx, q)
		if err != nil {
			return err
		}
		for _, img := range page.Images {
			if img.Original != nil && wanted[img.Original.ReceivedSHA256()] {
				u.there[img.Original.ReceivedSHA256()] = img.ID
			}
		}
		if page.Next != "" && page.Next == q.Token {
			return errSameCursor(page.Next)
		}
		if q.Token = page.Next; q.Token == "" {
			return nil
		}
	}
}
