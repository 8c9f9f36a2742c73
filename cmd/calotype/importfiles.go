package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"calotype/internal/accounts"
	"calotype/internal/blob"
	"calotype/internal/images"
	"calotype/internal/importer"
	"calotype/internal/terminal"
)

// fileFlags are the flags of imports of files.
type fileFlags struct {
	importFlags
	Metadata string `help:"CSV file with ids, creators and metadata by path." type:"existingfile"`
	Prefix   string `help:"Begin each id with this, such as shop/." env:"-"`
	Verify   bool   `help:"Compare also the bytes of images that were imported before." env:"-"`
}

// filesHelp is the part of the help that imports of files have in common.
const filesHelp = `

The id of an image is the path of its file, such as 2026/cat.jpg, so its delivery URL is
https://host/hash/2026/cat.jpg/variant. A path that is no valid id is listed in the report; the column
id of -metadata gives such a file an id. The CSV file of -metadata has a line of names and a line for
each file: path, and as needed id, filename, creator, requireSignedURLs, uploaded, metadata (a JSON
object), and meta.NAME for one key of the metadata.

Files that are no pictures are refused and listed. Hidden files are skipped. What is stored is read again and compared
with the file by SHA-256. The server may run concurrently. The import does not change existing images, so run it
again if it was stopped. The exit status is 0 when everything is imported, 3 when everything except the problems in
the report is imported, and 1 when another run is needed.`

type importFolder struct {
	fileFlags
	Folder string `arg:"" help:"Folder with the pictures." type:"existingdir"`
}

// Help returns the text of --help below the usage.
func (importFolder) Help() string {
	return `Imports the pictures of a folder and of the folders in it. Symbolic links are not followed.` + filesHelp
}

func (c *importFolder) Run(ctx context.Context) (err error) {
	folder, err := importer.OpenFolder(c.Folder, c.Data, c.blobs())
	if err != nil {
		return err
	}
	defer joinClose(&err, folder.Close)
	return c.run(ctx, folder)
}

type importS3 struct {
	fileFlags
	Bucket string `arg:"" help:"s3://bucket/prefix?endpoint=&region=&path_style=."`
}

// Help returns the text of --help below the usage.
func (importS3) Help() string {
	return `Imports the pictures of a bucket of an S3 service, below a prefix, which is like a folder. The
credentials are those of AWS's tools: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE. They
need the rights s3:ListBucket and s3:GetObject.` + filesHelp
}

func (c *importS3) Run(ctx context.Context) error {
	objects, err := blob.OpenBucket(ctx, c.Bucket)
	if err != nil {
		return err
	}
	return c.run(ctx, importer.NewBucket(objects, withoutQuery(c.Bucket)))
}

// withoutQuery returns an address for reports.
func withoutQuery(address string) string {
	if u, err := url.Parse(address); err == nil {
		u.RawQuery = ""
		return u.String()
	}
	return address
}

// run imports the files of a tree, or prints the plan.
func (c *fileFlags) run(ctx context.Context, tree importer.Tree) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.Prefix != "" && (!strings.HasSuffix(c.Prefix, "/") || strings.HasPrefix(c.Prefix, "/")) {
		return errors.New("-prefix must end with a slash and not begin with one, such as shop/")
	}
	return c.into(ctx, func(core *images.Service, account accounts.Account, progress *terminal.Progress) error {
		metadata, err := c.metadata(account)
		if err != nil {
			return err
		}
		config := importer.FilesConfig{
			Core: core, Account: account, Tree: tree, Prefix: c.Prefix, Metadata: metadata,
			Parallel: c.Parallel, Update: c.Update, Verify: c.Verify, Progress: progress,
		}
		if c.DryRun {
			plan, err := importer.PlanFiles(ctx, config)
			if err := progress.Stopped(ctx, err, "nothing was imported"); err != nil {
				return err
			}
			return c.printPlan(plan, account.Hash)
		}
		report, err := importer.RunFiles(ctx, config)
		return c.finish(ctx, progress, report, err)
	})
}

// metadata reads the file of -metadata; nil without one.
func (c *fileFlags) metadata(account accounts.Account) (m *importer.FileMetadata, err error) {
	if c.Metadata == "" {
		return nil, nil
	}
	f, err := os.Open(c.Metadata)
	if err != nil {
		return nil, fmt.Errorf("opening the file of metadata: %w", err)
	}
	defer joinClose(&err, f.Close)
	return importer.ReadFileMetadata(f, account)
}
