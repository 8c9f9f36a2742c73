package manage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"

	"calotype/internal/apiclient"
	"calotype/internal/terminal"
)

// maxParallel bounds --parallel.
const maxParallel = 32

// ImageUpload uploads files and folders.
type ImageUpload struct {
	terminal.Output
	Paths    []string `arg:"" name:"path" help:"Files, or folders with pictures."`
	ID       string   `help:"Id of the image, for a single file; generated if not given." env:"-"`
	IDs      string   `name:"ids" help:"Ids of files in folders." enum:"path,random" default:"path" env:"-"`
	IDPrefix string   `name:"id-prefix" help:"Beginning of the ids that are paths, such as shop/." env:"-"`
	Metadata string   `placeholder:"JSON" help:"Metadata of each image, as a JSON object." env:"-"`
	Creator  string   `help:"Creator of each image." env:"-"`
	Private  bool     `help:"Deliver the images by signed URLs only." env:"-"`
	Skip     bool     `help:"Skip files whose bytes an image of the account has; always with --ids random." env:"-"`
	Parallel int      `help:"Uploads at once, at most 32." default:"4" env:"-"`
	DryRun   bool     `help:"Only show what would be uploaded." env:"-"`
}

// Help returns the text of --help below the usage.
func (ImageUpload) Help() string {
	return `Uploads pictures, and folders with the pictures in them: files with the name of a picture format. Run the
command again after an interruption: it skips a file of a folder whose image is there, by its id and
SHA-256 or, with --ids random, by its SHA-256. The exit status is 1 if a file could not be uploaded.

  calotype image upload photo.jpg --id user-7/avatar.jpg
  calotype image upload ./pictures --id-prefix shop/ --creator import --parallel 8`
}

// The states of an uploaded file.
const (
	stateUploaded = "uploaded"
	statePresent  = "present" // an image with its bytes was there
	stateWould    = "would upload"
	stateFailed   = "failed"
)

// An Uploaded is the JSON of the upload of a file.
type Uploaded struct {
	File   string  `json:"file"`
	State  string  `json:"state"`
	ID     *string `json:"id"` // null if it is not known
	Bytes  int64   `json:"bytes"`
	SHA256 *string `json:"sha256"`
	Error  *string `json:"error"`
}

// An UploadReport is the JSON of all uploads, in the order of their end.
type UploadReport struct {
	Items    []Uploaded `json:"items"`
	Uploaded int        `json:"uploaded"`
	Present  int        `json:"present"`
	Failed   int        `json:"failed"`
	Others   int        `json:"others"` // files of folders that are no pictures, by their names
}

// Validate refuses flags that are not valid. The parser of the command line calls it.
func (c *ImageUpload) Validate() error {
	object := map[string]any{}
	switch {
	case c.Parallel < 1 || c.Parallel > maxParallel:
		return fmt.Errorf("--parallel must be from 1 to %d", maxParallel)
	case c.Metadata != "" && json.Unmarshal([]byte(c.Metadata), &object) != nil:
		return fmt.Errorf("--metadata must be a JSON object, such as '{\"album\":\"summer\"}'")
	case c.ID != "" && (len(c.Paths) != 1 || isFolder(c.Paths[0])):
		return fmt.Errorf("--id is for a single file: the images of a folder get ids by --ids and --id-prefix")
	}
	return nil
}

// An uploading is a running upload of files.
type uploading struct {
	*ImageUpload
	client   *apiclient.Client
	progress *terminal.Progress
	out      io.Writer

	mu     sync.Mutex
	report UploadReport
	there  map[string]string // ids of images with the bytes of a file, by their SHA-256
}

// Run uploads the files.
func (c *ImageUpload) Run(ctx context.Context, client *apiclient.Client) error {
	files, others, err := c.files()
	if err != nil {
		return err
	}
	u := &uploading{ImageUpload: c, client: client, out: os.Stdout,
		progress: terminal.StartProgress(os.Stderr, c.JSON, "upload", "files"),
		report:   UploadReport{Items: []Uploaded{}, Others: others}, there: map[string]string{}}
	defer u.progress.End()
	bytes := int64(0)
	for _, f := range files {
		bytes += f.size
	}
	u.progress.Expect(int64(len(files)), bytes)
	err = u.skipPresent(ctx, files)
	if err == nil {
		err = u.all(ctx, files)
	}
	err = u.progress.Stopped(ctx, err, "run the command again to continue")
	return errors.Join(err, u.finish(err))
}

// finish prints the report. Its error is ErrSomeFailed if a file failed.
func (u *uploading) finish(outcome error) error {
	r := u.report
	err := u.Print(u.out, r, func(w io.Writer) {
		done := "uploaded " + terminal.Count(int64(r.Uploaded), "file", "files")
		if u.DryRun {
			done = "would upload " + terminal.Count(int64(len(r.Items)-r.Present-r.Failed), "file", "files")
		}
		terminal.ShowLine(w, "%s; there already: %d, failed: %d, no pictures by their names: %d", done, r.Present,
			r.Failed, r.Others)
	})
	if err == nil && outcome == nil && r.Failed > 0 {
		err = fmt.Errorf("%d of %s %w", r.Failed, terminal.Count(int64(len(r.Items)), "file", "files"), ErrSomeFailed)
	}
	return err
}

// all uploads the files, some at once. An error of one file does not end it, a refused token or a lost server does.
func (u *uploading) all(ctx context.Context, files []file) error {
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(u.Parallel)
	for _, f := range files {
		if running.Err() != nil {
			break
		}
		group.Go(func() error {
			one, err := u.one(running, f)
			if err != nil {
				return err
			}
			u.add(one)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err() // the rest was not begun
}

// add adds the result of a file to the report, and prints it.
func (u *uploading) add(one Uploaded) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.report.Items = append(u.report.Items, one)
	u.progress.Add(1, one.Bytes)
	switch one.State {
	case stateUploaded:
		u.report.Uploaded++
	case statePresent:
		u.report.Present++
	case stateFailed:
		u.report.Failed++
	}
	if u.JSON {
		return
	}
	switch {
	case one.Error != nil:
		u.progress.Print(os.Stderr, one.File+": "+*one.Error)
	case one.State != statePresent:
		u.progress.Print(u.out, fmt.Sprintf("%s %s %s", one.State, one.File, text(one.ID)))
	}
}

// one uploads a file, unless its image is there. The error is one that ends the whole upload.
func (u *uploading) one(ctx context.Context, f file) (Uploaded, error) {
	one := Uploaded{File: f.path, Bytes: f.size, ID: optional(f.id), SHA256: optional(f.sha256)}
	err := u.upload(ctx, f, &one)
	refused := new(apiclient.Error)
	switch {
	case err == nil:
		return one, nil
	case ctx.Err() != nil:
		return one, ctx.Err()
	case !errors.As(err, &refused) && !errors.Is(err, errFile):
		return one, err // the server is lost
	case refused.Code == 0 && refused.Status != 0, refused.Status == 401, refused.Status == 403:
		return one, err
	}
	one.State, one.Error = stateFailed, new(err.Error())
	return one, nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// errFile is the kind of an error of one file.
var errFile = errors.New("this file")

// upload uploads a file and sets the result. A file of the id of an image with other bytes is an error: it replaces
// none.
func (u *uploading) upload(ctx context.Context, f file, one *Uploaded) error {
	if id, found := u.there[f.sha256]; found && f.sha256 != "" {
		one.State, one.ID = statePresent, &id
		return nil
	}
	if f.inFolder && f.id != "" {
		present, err := u.present(ctx, f, one)
		if err != nil || present {
			return err
		}
	}
	if u.DryRun {
		one.State = stateWould
		return nil
	}
	img, err := u.client.Upload(ctx, apiclient.NewImage{
		Open: f.open, Filename: f.name(), ID: f.id, Metadata: json.RawMessage(u.Metadata), Creator: u.Creator,
		Private: u.Private,
	})
	if apiclient.IsConflict(err) && f.id != "" {
		// Perhaps a previous try, whose answer was lost, has stored it.
		present, presentErr := u.present(ctx, f, one)
		if presentErr != nil || present {
			return presentErr
		}
	}
	if err != nil {
		return err
	}
	one.State, one.ID = stateUploaded, &img.ID
	if img.Original != nil {
		one.SHA256 = new(img.Original.ReceivedSHA256())
	}
	return nil
}

// present reports whether the image of the file's id is there and has its bytes. Other bytes are an error.
func (u *uploading) present(ctx context.Context, f file, one *Uploaded) (bool, error) {
	img, err := u.client.Image(ctx, f.id)
	switch {
	case apiclient.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, err
	case img.Draft:
		return false, fmt.Errorf("%w has the id of a draft: %s", errFile, f.id)
	case img.Original == nil: // a server that does not say more
		one.State = statePresent
		return true, nil
	}
	sum, err := f.hash(ctx)
	if err != nil {
		return false, err
	}
	if img.Original.ReceivedSHA256() != sum {
		return false, fmt.Errorf("%w differs from the image that is there with its id: %s", errFile, f.id)
	}
	one.State, one.SHA256 = statePresent, &sum
	return true, nil
}
