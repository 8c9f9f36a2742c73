package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/cfapi"
	"calotype/internal/images"
)

type imageCommands struct {
	Show   imageShow   `cmd:"" help:"Show what the server knows of an image or draft."`
	Delete imageDelete `cmd:"" help:"Erase an image, or a creator; print a receipt."`
}

type imageDelete struct {
	StateFlags
	Account string `help:"Account id; required if there are several." env:"-"`
	Creator string `help:"All images and drafts of this creator." xor:"what" required:"" env:"-"`
	ID      string `help:"The image or draft of this id." xor:"what" required:"" env:"-"`
	URL     string `help:"The image or draft of this delivery or upload URL." xor:"what" required:"" env:"-"`
	Yes     bool   `help:"Erase a creator without a confirmation." env:"-"`
}

// Run erases the image or creator and prints the receipt. If it was stopped, the next run continues.
func (c *imageDelete) Run(ctx context.Context) error {
	return c.withCore(ctx, true, func(core *images.Service) error {
		account, query, err := c.what(ctx, core)
		if err != nil {
			return err
		}
		if err := c.confirm(ctx, core, account, query); err != nil {
			return err
		}
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
	})
}

// confirm prints the number of a creator's images and asks for confirmation on a terminal; without a
// terminal it requires -yes.
func (c *imageDelete) confirm(ctx context.Context, core *images.Service, account string,
	q images.ErasureQuery) error {
	if q.Creator == "" || c.Yes {
		return nil
	}
	pictures, drafts, bytes, err := core.CountErasure(ctx, account, q)
	if err != nil {
		return err
	}
	found := fmt.Sprintf("the creator %s has %d images of %d bytes and %d drafts in the account %s",
		visible(q.Creator), pictures, bytes, drafts, account)
	if !isTerminal(os.Stdin) {
		return fmt.Errorf("%s: nothing is deleted without --yes, which deletes them for good", found)
	}
	fmt.Fprintf(os.Stderr, "%s.\nDelete them for good? Type yes: ", found)
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing is deleted")
	}
	return nil
}

// what returns the account and the query of the erasure.
func (c *imageDelete) what(
	ctx context.Context, core *images.Service,
) (account string, q images.ErasureQuery, err error) {
	q = images.ErasureQuery{Creator: c.Creator, ID: c.ID}
	given := cmp.Or(c.Account, c.AccountID)
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
		err = errors.New("there are several accounts: name one with --account")
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
