package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/apiclient"
	"calotype/internal/cfapi"
	"calotype/internal/images"
	"calotype/internal/manage"
	"calotype/internal/terminal"
)

type imageCommands struct {
	List   imageList   `cmd:"" help:"List the images, the newest first."`
	Show   imageShow   `cmd:"" help:"Show what the server knows of an image or draft."`
	Get    imageGet    `cmd:"" help:"Download the original of an image."`
	Upload imageUpload `cmd:"" help:"Upload pictures, and folders of pictures."`
	Delete imageDelete `cmd:"" help:"Delete images, or erase an image or a creator with a receipt."`
}

type imageDelete struct {
	Target
	terminal.Output
	IDs     []string `arg:"" optional:"" name:"id" help:"Ids of the images and drafts to delete."`
	Creator string   `xor:"what" help:"Erase all images and drafts of this creator; print a receipt." env:"-"`
	ID      string   `name:"id" xor:"what" help:"Erase the image or draft of this id, and the events about it; print a receipt." env:"-"`
	URL     string   `xor:"what" help:"The same, by its delivery or upload URL." env:"-"`
	Confirm bool     `aliases:"yes" help:"Confirm the erasure of a creator, which cannot be undone." env:"-"`
	DryRun  bool     `help:"Only show what would be deleted." env:"-"`
}

// Help returns the text of --help below the usage.
func (imageDelete) Help() string {
	return `Give ids, or one of --creator, --id and --url. --id and --url also erase the events about the image, and work beside a
data folder only. The receipt is the JSON of the API: docs/api.md describes it.

  calotype image delete 83eb7b2-5392-4565-b69e-aff66acddd00
  calotype image delete --creator user-7 --dry-run`
}

// Run deletes images, or erases the image or creator and prints the receipt. If it was stopped, the next run continues.
func (c *imageDelete) Run(ctx context.Context) error {
	given := c.Creator + c.ID + c.URL
	switch {
	case len(c.IDs) > 0 && given != "":
		return usagef("ids and --creator, --id or --url exclude each other: give one of them")
	case len(c.IDs) == 0 && given == "":
		return usagef("nothing to delete is given: give ids, --creator, --id or --url")
	}
	from, err := c.source()
	if err != nil {
		return err
	}
	switch {
	case len(c.IDs) > 0:
		return c.withClient(ctx, true, func(client *apiclient.Client) error {
			return manage.DeleteImages(ctx, client, c.Output, c.IDs, c.DryRun)
		})
	case from.remote != nil && c.Creator == "":
		return usagef("--id and --url need a data folder; ids without a flag are deleted at %s", from.described)
	case from.remote != nil:
		return c.withClient(ctx, false, func(client *apiclient.Client) error { return c.eraseRemote(ctx, client) })
	}
	return c.withCore(ctx, true, func(core *images.Service) error {
		account, query, err := c.what(ctx, core)
		if err != nil {
			return err
		}
		found, err := c.found(ctx, core, account, query)
		if err != nil {
			return err
		}
		if done, err := c.confirm(found); done || err != nil {
			return err
		}
		return erase(ctx, core, account, query)
	})
}

// eraseRemote erases a creator at a server.
func (c *imageDelete) eraseRemote(ctx context.Context, client *apiclient.Client) error {
	found := found{subject: "the creator " + c.Creator, account: client.Account, many: true}
	if c.DryRun || !c.Confirm {
		var err error
		found.images, found.bytes, found.drafts, err = manage.CountCreator(ctx, client, c.Creator)
		if err != nil {
			return err
		}
	}
	if done, err := c.confirm(found); done || err != nil {
		return err
	}
	return manage.EraseCreator(ctx, client, c.Creator)
}

// erase erases what a query names, and prints the receipt.
func erase(ctx context.Context, core *images.Service, account string, query images.ErasureQuery) error {
	for {
		receipt, err := core.Erase(ctx, account, query)
		if err != nil {
			return err
		}
		if !receipt.Ended.IsZero() {
			break
		}
		fmt.Fprintf(os.Stderr, "erased %d images and %d drafts\n", receipt.Images, receipt.Drafts)
	}
	receipt, err := core.FinishErasure(ctx, account, query)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(cfapi.NewReceipt(receipt, time.Now()), "", "  ")
	if err != nil {
		return err
	}
	show(os.Stdout, "%s\n", text)
	if receipt.OriginalsDue > 0 {
		return fmt.Errorf("the blob store refused to delete %d originals: a running server tries "+
			"again every minute, and so does this command", receipt.OriginalsDue)
	}
	return nil
}

// A found is what an erasure would delete.
type found struct {
	subject, account      string
	images, bytes, drafts int64
	many                  bool // it needs a confirmation
}

// found counts what an erasure would delete.
func (c *imageDelete) found(ctx context.Context, core *images.Service, account string,
	q images.ErasureQuery) (f found, err error) {
	f = found{subject: "the id " + q.ID, account: account, many: q.Creator != ""}
	if f.many {
		f.subject = "the creator " + q.Creator
	}
	if f.many && !c.Confirm || c.DryRun {
		f.images, f.drafts, f.bytes, err = core.CountErasure(ctx, account, q)
	}
	return f, err
}

// confirm prints the counts with --dry-run; done is then true. Otherwise it asks on a terminal for the confirmation
// of the erasure of a creator; without a terminal it requires --confirm.
func (c *imageDelete) confirm(f found) (done bool, err error) {
	counts := fmt.Sprintf("%s has %s of %s and %s in the account %s", visible(f.subject),
		terminal.Count(f.images, "image", "images"), terminal.Bytes(f.bytes),
		terminal.Count(f.drafts, "draft", "drafts"), f.account)
	if c.DryRun {
		result := map[string]any{"images": f.images, "drafts": f.drafts, "bytes": f.bytes, "deleted": false}
		return true, c.Print(os.Stdout, result, func(w io.Writer) {
			showLine(w, "%s; nothing is deleted", counts)
		})
	}
	if !f.many || c.Confirm {
		return false, nil
	}
	if !terminal.IsTerminal(os.Stdin) {
		return false, fmt.Errorf("%s: nothing is deleted without --confirm, which deletes them for good", counts)
	}
	fmt.Fprintf(os.Stderr, "%s.\nDelete them for good? Type yes: ", counts)
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		return false, fmt.Errorf("reading the answer: %w", err)
	}
	if strings.TrimSpace(answer) != "yes" {
		return false, errors.New("nothing is deleted")
	}
	return false, nil
}

// what returns the account and the query of the erasure.
func (c *imageDelete) what(
	ctx context.Context, core *images.Service,
) (account string, q images.ErasureQuery, err error) {
	q = images.ErasureQuery{Creator: c.Creator, ID: c.ID}
	given := c.AccountID
	if c.URL != "" {
		hash, id, err := imageOfURL(c.URL)
		if err != nil {
			return "", q, err
		}
		of, err := core.Accounts.ByHash(ctx, hash)
		if err != nil {
			return "", q, fmt.Errorf("finding the account of %s: %w", c.URL, err)
		}
		if given != "" && given != of.ID {
			return "", q, fmt.Errorf("%s is not of the account %s", c.URL, given)
		}
		return of.ID, images.ErasureQuery{ID: id}, nil
	}
	of, err := accountOf(ctx, core, given)
	return of.ID, q, err
}

// accountOf returns the named account, or the only one. It never guesses: a wrong account would lose
// images, or have none to erase.
func accountOf(ctx context.Context, core *images.Service, given string) (accounts.Account, error) {
	if given != "" {
		return core.Accounts.ByID(ctx, given)
	}
	of, err := core.Accounts.Only(ctx)
	if errors.Is(err, accounts.ErrSeveralAccounts) {
		err = errors.New("there are several accounts: name one with --account-id")
	}
	return of, err
}

// imageOfURL returns the hash of the account and the id of the image that a public URL names: of a
// variant, or the one-time URL of an upload.
func imageOfURL(text string) (hash, id string, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "", "", errors.New("--url must be like https://host/hash/id/variant")
	}
	path, upload := strings.CutPrefix(u.EscapedPath(), "/upload/")
	path = strings.TrimPrefix(strings.TrimPrefix(path, "/cdn-cgi/imagedelivery"), "/")
	hash, id, _ = strings.Cut(path, "/")
	if !upload {
		id = id[:max(0, strings.LastIndexByte(id, '/'))]
	}
	if id, err = url.PathUnescape(id); err != nil || hash == "" || id == "" {
		return "", "", errors.New("--url must be like https://host/hash/id/variant")
	}
	return hash, id, nil
}
