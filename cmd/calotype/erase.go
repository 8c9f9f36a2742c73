package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"calotype/internal/apiclient"
	"calotype/internal/cfapi"
	"calotype/internal/images"
	"calotype/internal/manage"
	"calotype/internal/terminal"
)

type imageDelete struct {
	Target
	terminal.Output
	IDs     []string `arg:"" optional:"" name:"id" help:"Ids of images and drafts to delete."`
	Creator string   `help:"Erase all images and drafts of this creator." xor:"what" env:"-"`
	ID      string   `help:"Erase the image or draft of this id, and the events about it." xor:"what" env:"-"`
	URL     string   `help:"The same, by its delivery or upload URL." xor:"what" env:"-"`
	Confirm bool     `help:"Erase a creator without asking." aliases:"yes" env:"-"`
	DryRun  bool     `help:"Only count what would be erased." env:"-"`
}

// Help returns the text of --help below the usage.
func (imageDelete) Help() string {
	return `Give ids, or one of --creator, --id and --url. These three print a receipt, in the form of the API. --id
and --url work beside a data folder only, where they also erase the events about the image.

  calotype image delete 83eb7b2-5392-4565-b69e-aff66acddd00
  calotype image delete --creator user-7 --dry-run`
}

// Validate refuses what names nothing to delete, or several kinds of it.
func (c *imageDelete) Validate() error {
	given := c.Creator + c.ID + c.URL
	switch {
	case len(c.IDs) > 0 && given != "":
		return errors.New("ids and --creator, --id or --url exclude each other: give one of them")
	case len(c.IDs) == 0 && given == "":
		return errors.New("nothing to delete is given: give ids, --creator, --id or --url")
	}
	return nil
}

// Run deletes the images, or erases the image or creator and prints the receipt. If it was stopped, the next run
// continues.
func (c *imageDelete) Run(ctx context.Context) error {
	from, err := c.source()
	switch {
	case err != nil:
		return err
	case len(c.IDs) > 0:
		return c.withClient(ctx, true, func(client *apiclient.Client) error {
			return manage.DeleteImages(ctx, client, c.Output, c.IDs, c.DryRun)
		})
	case from.remote != nil && c.Creator == "":
		return usagef("--id and --url need a data folder: give the id without a flag to delete it at %s",
			from.described)
	case from.remote != nil:
		return c.withClient(ctx, false, func(client *apiclient.Client) error { return c.eraseRemote(ctx, client) })
	}
	return c.eraseLocal(ctx)
}

// eraseRemote erases a creator at a server, which counts nothing before.
func (c *imageDelete) eraseRemote(ctx context.Context, client *apiclient.Client) error {
	var plan images.DeletionPlan
	if c.DryRun || !c.Confirm {
		var err error
		plan.Images, plan.Bytes, plan.Drafts, err = manage.CountCreator(ctx, client, c.Creator)
		if err != nil {
			return err
		}
	}
	if c.DryRun {
		return c.printPlan(plan)
	}
	if err := c.confirm(client.Account, images.ErasureQuery{Creator: c.Creator}, plan); err != nil {
		return err
	}
	return manage.EraseCreator(ctx, client, c.Creator)
}

// printPlan prints the result of a dry run.
func (c *imageDelete) printPlan(plan images.DeletionPlan) error {
	return c.Print(os.Stdout, newDeletionPlan(plan), func(w io.Writer) {
		fmt.Fprintf(w, "would erase %s. Nothing was erased.\n", planText(plan))
	})
}

// eraseLocal erases beside a data folder.
func (c *imageDelete) eraseLocal(ctx context.Context) error {
	return c.withCore(ctx, true, func(core *images.Service) error {
		account, query, err := c.what(ctx, core)
		if err != nil {
			return err
		}
		plan, err := core.PlanErasure(ctx, account, query)
		if err != nil {
			return err
		}
		if c.DryRun {
			return c.printPlan(plan)
		}
		if err := c.confirm(account, query, plan); err != nil {
			return err
		}
		receipt, err := c.erase(ctx, core, account, query, plan)
		if err != nil {
			return err
		}
		text, err := json.MarshalIndent(cfapi.NewReceipt(receipt, time.Now()), "", "  ")
		if err != nil {
			return err
		}
		terminal.Show(os.Stdout, "%s\n", text)
		if receipt.OriginalsDue > 0 {
			return fmt.Errorf("the blob store refused to delete %d originals: a running server tries "+
				"again every minute, and so does this command", receipt.OriginalsDue)
		}
		return nil
	})
}

// erase erases with a progress.
func (c *imageDelete) erase(ctx context.Context, core *images.Service, account string, query images.ErasureQuery,
	plan images.DeletionPlan) (receipt images.Receipt, err error) {
	progress := terminal.StartProgress(os.Stderr, c.JSON, "erasure", "images and drafts")
	progress.Expect(plan.Images+plan.Drafts, 0)
	for done := int64(0); receipt.Ended.IsZero() && err == nil; {
		if receipt, err = core.Erase(ctx, account, query); err == nil {
			progress.Add(receipt.Images+receipt.Drafts-done, 0)
			done = receipt.Images + receipt.Drafts
		}
	}
	if err = progress.Stopped(ctx, err, "run the command again to continue"); err != nil {
		return receipt, err
	}
	return core.FinishErasure(ctx, account, query)
}

// confirm prints the number of a creator's images and asks for confirmation on a terminal; without a
// terminal it requires -confirm.
func (c *imageDelete) confirm(account string, q images.ErasureQuery, plan images.DeletionPlan) error {
	if q.Creator == "" || c.Confirm {
		return nil
	}
	found := fmt.Sprintf("the creator %s has %s in the account %s", terminal.Visible(q.Creator),
		planText(plan), account)
	if !terminal.IsTerminal(os.Stdin) {
		return fmt.Errorf("%s: nothing is deleted without -confirm, which deletes them permanently", found)
	}
	fmt.Fprintf(os.Stderr, "%s.\nDelete them permanently? Type yes: ", found)
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

// A deletionPlan is the JSON of what a deletion would delete.
type deletionPlan struct {
	Images  int64 `json:"images"`
	Drafts  int64 `json:"drafts"`
	Bytes   int64 `json:"bytes"`   // of originals
	Seconds int64 `json:"seconds"` // expected, rounded up
}

func newDeletionPlan(p images.DeletionPlan) deletionPlan {
	return deletionPlan{p.Images, p.Drafts, p.Bytes, int64((p.Time + time.Second - 1) / time.Second)}
}

// planText returns what a deletion would delete, for people.
func planText(p images.DeletionPlan) string {
	return fmt.Sprintf("%s (%s) and %s, in about %v", terminal.Count(p.Images, "image", "images"),
		terminal.Bytes(p.Bytes), terminal.Count(p.Drafts, "draft", "drafts"),
		time.Duration(newDeletionPlan(p).Seconds)*time.Second)
}
