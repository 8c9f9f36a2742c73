package importer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/terminal"
)

// shownSkips limits the paths that a note on skipped files has.
const shownSkips = 5

// FilesConfig configures an import of files.
type FilesConfig struct {
	Core     *images.Service  // started
	Account  accounts.Account // the target
	Tree     Tree
	Prefix   string        // of each id without one in the metadata, before the path; "" or with a slash at its end
	Metadata *FileMetadata // nil for none

	Parallel int           // files read at once; at least 1
	Backoff  time.Duration // before a file is read again; 0 for a second
	Update   bool          // also update the fields of existing images
	Verify   bool          // also compare the bytes of existing images with their files and originals
	Progress *terminal.Progress
}

// A fileRun is one import of files.
type fileRun struct {
	FilesConfig
	results
	began time.Time // erasures after this time win over the import
	skips skips
}

// A listedFile is a file with the image that it becomes.
type listedFile struct {
	File
	image images.ImportedImage
}

// RunFiles imports the files of a tree. The id of an image is the path of its file, or that of the metadata. The core
// imports each file like an upload, and what it stores is read again and compared with the file by SHA-256.
//
// Like Run it stores no progress: it finds existing images by their ids. An existing image is that of the file if it
// has the size and the time of the file, or else the SHA-256. So a run that was stopped can be repeated.
func RunFiles(ctx context.Context, c FilesConfig) (Report, error) {
	c.Backoff = cmp.Or(c.Backoff, time.Second)
	r := &fileRun{FilesConfig: c, began: c.Core.Now()}
	r.report = newReport(c.Tree.String(), "", c.Account)
	r.report.begin(1)
	if c.Progress.Shown() {
		if err := r.expect(ctx); err != nil {
			return r.end(err)
		}
	}
	err := r.each(ctx, r.page)
	if err == nil {
		r.finishFiles()
	}
	return r.end(err)
}

// expect counts the files for the progress.
func (r *fileRun) expect(ctx context.Context) error {
	var files, bytes int64
	err := r.Tree.Each(ctx, func(f File) error {
		if f.Skipped == "" {
			files, bytes = files+1, bytes+f.Size
		}
		return nil
	})
	r.Progress.Expect(files, bytes)
	return err
}

// finishFiles records which files were skipped, and which rows of the metadata have no file.
func (r *fileRun) finishFiles() {
	r.skips.note(r.report)
	for _, path := range r.Metadata.unused() {
		r.report.problem("metadata", path, Refused, fmt.Sprintf("line %d of the file of metadata: there is "+
			"no file of this path", r.Metadata.rows[path].line))
	}
}

// each calls do with the files that may become images, a page at a time, and with the existing images of their ids.
func (r *fileRun) each(
	ctx context.Context, do func(context.Context, []listedFile, map[string]images.Image) error,
) error {
	var page []listedFile
	flush := func() error {
		ids := make([]string, len(page))
		for i, f := range page {
			ids[i] = f.image.ID
		}
		here, err := r.Core.ImagesNamed(ctx, r.Account.ID, ids)
		if err == nil {
			err = do(ctx, page, here)
		}
		page = page[:0]
		return err
	}
	err := r.Tree.Each(ctx, func(f File) error {
		if f.Skipped != "" {
			r.skips.add(f)
			return nil
		}
		i, err := f.imported(r.Prefix, r.Metadata.row(f.Path))
		if err == nil && f.Size > r.Core.MaxUploadBytes() {
			err = images.FileTooLarge(r.Core.MaxUploadBytes())
		}
		if err != nil {
			r.refuse(f, i, err)
			return nil
		}
		if page = append(page, listedFile{f, i}); len(page) < images.MaxNamed {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// refuse records a file that is no image for a reason other than its bytes.
func (r *fileRun) refuse(f File, i images.ImportedImage, err error) {
	reason := errs.AsError(err).Msg
	if errs.AsError(err).Kind == errs.InvalidID {
		reason += ". Give the file another id in the column id of the metadata"
	}
	r.report.set(cmp.Or(f.Path, i.ID), Refused, reason)
	r.Progress.Add(1, f.Size)
}

// page imports the files of a page that are no images yet.
func (r *fileRun) page(ctx context.Context, page []listedFile, here map[string]images.Image) error {
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(max(r.Parallel, 1))
	for _, f := range page {
		img, found := here[f.image.ID]
		group.Go(func() (err error) {
			if found && !img.Draft {
				err = r.existing(running, f, img)
			} else {
				err = r.importFile(running, f)
			}
			if err == nil { // otherwise it is not done
				r.Progress.Add(1, f.Size)
			}
			return err
		})
		if running.Err() != nil {
			break
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err() // the rest of the page was not begun
}

// stripped reports whether metadata was removed from an image: it has another size and SHA-256 than its file.
func stripped(img images.Image) bool { return img.Original.ReceivedSHA256() != img.Original.SHA256 }

// existing compares an existing image with its file, and updates its fields if they differ.
func (r *fileRun) existing(ctx context.Context, f listedFile, img images.Image) error {
	i := f.image
	if img.Original.Size != i.Size && !stripped(img) {
		r.report.set(i.ID, Differs, "a different picture has this id here: delete one of them")
		return nil
	}
	sameTime := i.Uploaded.Truncate(time.Millisecond).Equal(img.Uploaded.Truncate(time.Millisecond))
	if r.Verify || !sameTime || stripped(img) {
		sum, err := r.sum(ctx, f)
		if err == nil && r.Verify && sum == img.Original.ReceivedSHA256() {
			err = r.verify(ctx, i.ID, sum)
		}
		if err != nil {
			return r.classifyError(ctx, i.ID, err)
		}
		i.SHA256, i.Uploaded = sum, img.Uploaded
	}
	fields := i.Differs(img)
	switch {
	case len(fields) == 0:
		r.report.exists(i.ID)
	case fields[0] == "sha256":
		r.report.set(i.ID, Differs, "a different picture has this id here: delete one of them")
	case !r.Update:
		r.report.set(i.ID, Differs, "it was changed since its import: -update takes the fields of the files ("+
			strings.Join(fields, ", ")+")")
	default:
		if err := r.Core.UpdateImported(ctx, r.Account.ID, i); err != nil {
			return r.classifyError(ctx, i.ID, err)
		}
		r.report.update(i.ID)
	}
	return nil
}

// importFile imports one file, and records the result. An error stops the import.
func (r *fileRun) importFile(ctx context.Context, f listedFile) error {
	sum := ""
	err := retry(ctx, r.Backoff, shouldRetry, func() (err error) {
		sum, err = r.attempt(ctx, f)
		return err
	})
	if err == nil {
		err = r.verify(ctx, f.image.ID, sum)
	}
	if err == nil {
		r.failing.Store(0)
		f.image.SHA256 = sum
		r.report.imported(f.image, f.Size)
		return nil
	}
	return r.classifyError(ctx, f.image.ID, err)
}

// attempt reads and imports a file once. It returns the SHA-256 of the bytes of the file.
func (r *fileRun) attempt(ctx context.Context, f listedFile) (sum string, err error) {
	u, err := r.Core.BeginImage(r.Account.ID, f.Size)
	if err != nil {
		return "", err
	}
	defer u.Close()
	if sum, err = r.read(ctx, f.File, u); err != nil {
		return "", err
	}
	f.image.SHA256 = sum
	_, err = u.Import(ctx, f.image, r.began)
	return sum, err
}

// sum returns the SHA-256 of the bytes of a file.
func (r *fileRun) sum(ctx context.Context, f listedFile) (sum string, err error) {
	err = retry(ctx, r.Backoff, shouldRetry, func() (err error) {
		sum, err = r.read(ctx, f.File, io.Discard)
		return err
	})
	return sum, err
}

// read copies the bytes of a file, and returns their SHA-256. One attempt.
func (r *fileRun) read(ctx context.Context, f File, to io.Writer) (sum string, err error) {
	from, err := r.Tree.Open(ctx, f, 0)
	if err != nil {
		return "", err
	}
	hashed := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, hashed), reader{from})
	if err = errors.Join(err, from.Close()); err != nil {
		return "", err
	}
	if n != f.Size {
		return "", errChanged
	}
	return hexSum(hashed), nil
}

// A damagedError says that the store has other bytes than those that were read. It stops the import.
type damagedError struct{ id, read, stored string }

func (e *damagedError) Error() string {
	return fmt.Sprintf("the original of the image %q has the SHA-256 %s in the store, but its file %s: check the "+
		"disk or bucket of the originals, delete the image, and run the import again", e.id, e.stored, e.read)
}

// verify reads the original of an image from the store, and compares it with the SHA-256 of its file. Error:
// *damagedError.
func (r *fileRun) verify(ctx context.Context, id, sum string) error {
	img, original, err := r.Core.OpenOriginal(ctx, r.Account.ID, id)
	if err != nil {
		return err
	}
	stored := sha256.New()
	_, err = io.Copy(stored, original)
	if err = errors.Join(err, original.Close()); err != nil {
		return fmt.Errorf("reading the stored original of the image %q: %w", id, err)
	}
	// Without its metadata the stored original has another hash than the file.
	if got := hexSum(stored); got != img.Original.SHA256 || img.Original.ReceivedSHA256() != sum {
		return &damagedError{id: id, read: sum, stored: got}
	}
	return nil
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// skips counts the entries of a tree that are not read.
type skips struct {
	count map[Skip]int
	first map[Skip][]string
}

func (s *skips) add(f File) {
	if s.count == nil {
		s.count, s.first = map[Skip]int{}, map[Skip][]string{}
	}
	s.count[f.Skipped]++
	if len(s.first[f.Skipped]) < shownSkips {
		s.first[f.Skipped] = append(s.first[f.Skipped], f.Path)
	}
}

// skipTexts say what was skipped.
var skipTexts = []struct {
	skip Skip
	text string
}{
	{Hidden, "hidden files and folders, whose names begin with a dot"},
	{Link, "symbolic links, which an import does not follow"},
	{Special, "entries that are neither files nor folders"},
	{OwnData, "folders of the server itself"},
}

// note adds a note on each kind of skipped entries to the report.
func (s *skips) note(r *report) {
	for _, kind := range skipTexts {
		n := s.count[kind.skip]
		if n == 0 {
			continue
		}
		list := fmt.Sprintf("%q", s.first[kind.skip])
		if n > shownSkips {
			list += fmt.Sprintf(" and %d more", n-shownSkips)
		}
		r.note(fmt.Sprintf("skipped %d %s: %s", n, kind.text, list))
		r.skip(n)
	}
}
