package manage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"calotype/internal/apiclient"
	"calotype/internal/terminal"
)

// Show returns what the server says of an image or draft.
func Show(ctx context.Context, client *apiclient.Client, id string) (Image, error) {
	img, err := client.Image(ctx, id)
	return NewImage(img, time.Now()), err
}

// Print prints the properties of an image or draft for people.
func (i Image) Print(w io.Writer) {
	var d terminal.Details
	now := time.Now()
	d.Add("id", i.ID)
	if u := i.Upload; u != nil {
		d.Add("draft", u.State+", expires "+moment(time.Time(u.Expires), now))
		d.Add("created", moment(time.Time(i.Uploaded), now))
		d.Add("refusals", fmt.Sprint(u.Attempts))
		if u.LastError != nil {
			d.Add("last", fmt.Sprintf("%d: %s", u.LastError.Code, u.LastError.Message))
		}
	} else {
		d.Add("uploaded", moment(time.Time(i.Uploaded), now))
	}
	if i.Format != nil {
		d.Add("original", fmt.Sprintf("%s, %s pixels, frames: %d, %s", *i.Format, i.pixels(), *i.Frames, size(i.Bytes)))
		d.Add("sha256", *i.SHA256)
		if *i.Received != *i.SHA256 {
			d.Add("removed", strings.Join(i.Stripped, ", "))
			d.Add("received", *i.Received)
		}
	}
	if i.Phash != nil {
		d.Add("phash", *i.Phash)
	}
	d.Add("private", terminal.YesNo(i.Private))
	for _, one := range [][2]string{{"filename", text(i.Filename)}, {"creator", text(i.Creator)},
		{"metadata", string(i.Metadata)}} {
		if one[1] != "" {
			d.Add(one[0], one[1])
		}
	}
	for n, variant := range i.Variants {
		name := "variants"
		if n > 0 {
			name = ""
		}
		d.Add(name, variant)
	}
	d.Print(w)
}

// moment writes a time exactly, and for people.
func moment(t, now time.Time) string {
	return fmt.Sprintf("%s (%s)", t.UTC().Format(time.RFC3339), terminal.Ago(t, now))
}

// ImageGet is the command image get, which downloads an original.
type ImageGet struct {
	terminal.Output
	ID    string `arg:"" help:"Id of the image."`
	To    string `name:"output" short:"o" placeholder:"FILE" help:"File to write; -: the standard output." env:"-"`
	Force bool   `help:"Overwrite the file." env:"-"`
}

// Help returns the text of --help below the usage.
func (ImageGet) Help() string {
	return `Downloads the original of an image: the bytes that are stored, checked by their SHA-256. Without -o
they go to the standard output, if it is no terminal.

  calotype image get 83eb7b2-5392-4565-b69e-aff66acddd00 -o photo.jpg`
}

// Validate refuses to write a picture to a terminal. The parser of the command line calls it.
func (c *ImageGet) Validate() error {
	switch {
	case c.toFile():
		return nil
	case c.JSON:
		return errors.New("--json is for -o FILE: without it, the standard output has the picture")
	case terminal.IsTerminal(os.Stdout):
		return errors.New("the standard output is a terminal, which cannot show a picture: give -o FILE")
	}
	return nil
}

func (c *ImageGet) toFile() bool { return c.To != "" && c.To != "-" }

// Run downloads the original.
func (c *ImageGet) Run(ctx context.Context, client *apiclient.Client) error {
	if err := c.checkTarget(); err != nil {
		return err
	}
	original, err := client.Open(ctx, c.ID)
	if err != nil {
		return err
	}
	defer original.Close()
	if !c.toFile() {
		_, _, err := copyOriginal(os.Stdout, original)
		return err
	}
	n, sum, err := c.write(original)
	if err != nil {
		return err
	}
	result := map[string]any{"id": c.ID, "file": c.To, "bytes": n, "sha256": sum}
	return c.Print(os.Stdout, result, func(w io.Writer) {
		terminal.ShowLine(w, "%s: %s", c.To, terminal.Bytes(n))
	})
}

// checkTarget refuses a file that exists, without --force, and with it what is no file, such as a device.
func (c *ImageGet) checkTarget() error {
	if !c.toFile() {
		return nil
	}
	if _, err := os.Lstat(c.To); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if !c.Force {
		return fmt.Errorf("the file %s exists: --force overwrites it", c.To)
	}
	if info, err := os.Stat(c.To); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file, and --force overwrites only files: -o - writes to the standard "+
			"output", c.To)
	}
	return nil
}

// copyOriginal copies an original and checks its hash.
func copyOriginal(w io.Writer, original *apiclient.OriginalBody) (n int64, sum string, err error) {
	hash := sha256.New()
	n, err = io.Copy(io.MultiWriter(w, hash), original)
	sum = hex.EncodeToString(hash.Sum(nil))
	if err != nil {
		return n, sum, fmt.Errorf("downloading the original: %w", err)
	}
	if original.SHA256 != "" && original.SHA256 != sum {
		return n, sum, fmt.Errorf("the download is not the original: its SHA-256 is %s, not %s", sum, original.SHA256)
	}
	return n, sum, nil
}

// write writes the file completely or not at all.
func (c *ImageGet) write(original *apiclient.OriginalBody) (n int64, sum string, err error) {
	file, err := os.CreateTemp(filepath.Dir(c.To), "."+filepath.Base(c.To)+".*")
	if err != nil {
		return 0, "", fmt.Errorf("writing the file: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }() // it is gone after a rename
	n, sum, err = copyOriginal(file, original)
	if err = errors.Join(err, file.Close()); err != nil {
		return n, sum, err
	}
	if c.Force {
		err = os.Rename(file.Name(), c.To)
	} else {
		err = os.Link(file.Name(), c.To) // unlike a rename it replaces no file
	}
	if err != nil {
		return n, sum, fmt.Errorf("writing the file: %w", err)
	}
	return n, sum, nil
}

// A Deletion is the JSON of the deletion of an image.
type Deletion struct {
	ID      string  `json:"id"`
	Deleted bool    `json:"deleted"`
	Error   *string `json:"error"`
}

// DeleteImages deletes the images and drafts with these ids. With dryRun it deletes nothing, and prints which ids
// exist. It continues after an image that cannot be deleted; the error is then ErrSomeFailed.
func DeleteImages(ctx context.Context, client *apiclient.Client, o terminal.Output, ids []string, dryRun bool) error {
	list, failed := terminal.ListOf[Deletion](nil), 0
	for _, id := range ids {
		var err error
		if dryRun {
			_, err = client.Image(ctx, id)
		} else {
			err = client.Delete(ctx, id)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("deleting the image %q: %w", id, err)
		}
		one := Deletion{ID: id, Deleted: err == nil && !dryRun}
		if err != nil {
			one.Error = new(err.Error())
			failed++
		}
		list.Items = append(list.Items, one)
	}
	err := o.Print(os.Stdout, list, func(w io.Writer) {
		for _, one := range list.Items {
			switch {
			case one.Error != nil:
				terminal.ShowLine(os.Stderr, "%s: %s", one.ID, *one.Error)
			case dryRun:
				terminal.ShowLine(w, "would delete %s", one.ID)
			default:
				terminal.ShowLine(w, "deleted %s", one.ID)
			}
		}
	})
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d of %s %w", failed, terminal.Count(int64(len(ids)), "deletion", "deletions"), ErrSomeFailed)
	}
	return err
}

// CountCreator returns the numbers of images, of their bytes, and of drafts of a creator.
func CountCreator(
	ctx context.Context, client *apiclient.Client, creator string,
) (images, bytes, drafts int64, err error) {
	for _, areDrafts := range []bool{false, true} {
		q := apiclient.ListQuery{Limit: maxListed, Creator: &creator, Drafts: areDrafts}
		for {
			page, err := client.List(ctx, q)
			if err != nil {
				return 0, 0, 0, err
			}
			for _, img := range page.Images {
				if areDrafts {
					drafts++
				} else {
					images++
				}
				if img.Original != nil {
					bytes += img.Original.FileSize
				}
			}
			if page.Next != "" && page.Next == q.Token {
				return 0, 0, 0, errSameCursor(page.Next)
			}
			if q.Token = page.Next; q.Token == "" {
				break
			}
		}
	}
	return images, bytes, drafts, nil
}

// EraseCreator deletes all images and drafts of a creator, and prints the receipt, which is that of the API.
func EraseCreator(ctx context.Context, client *apiclient.Client, creator string) error {
	for {
		receipt, err := client.EraseCreator(ctx, creator)
		if err != nil {
			return err
		}
		if !receipt.Complete {
			terminal.ShowLine(os.Stderr, "deleted %s and %s", terminal.Count(receipt.Found.Images, "image", "images"),
				terminal.Count(receipt.Found.Drafts, "draft", "drafts"))
			continue
		}
		var whole strings.Builder
		encoder := json.NewEncoder(&whole)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(receipt.Whole); err != nil {
			return fmt.Errorf("encoding the receipt: %w", err)
		}
		terminal.Show(os.Stdout, "%s", whole.String())
		return nil
	}
}
