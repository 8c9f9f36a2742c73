package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"calotype/internal/images"
	"calotype/internal/terminal"
)

type accountDelete struct {
	namedAccount
	terminal.Output
	Confirm bool `help:"Confirm the deletion, which cannot be undone." env:"-"`
	DryRun  bool `help:"Only count what would be deleted." env:"-"`
}

// Run deletes the account with its images. If it was stopped, the next run continues.
func (c *accountDelete) Run(ctx context.Context) error {
	return c.withCore(ctx, true, func(core *images.Service) error {
		a, err := core.Accounts.ByID(ctx, c.ID)
		if err != nil {
			return err
		}
		plan, err := core.PlanAccountDeletion(ctx, a.ID)
		if err != nil {
			return err
		}
		if c.DryRun {
			return c.Print(os.Stdout, newDeletionPlan(plan), func(w io.Writer) {
				fmt.Fprintf(w, "would delete the account %s with %s, its keys, variants and tokens. "+
					"Nothing was deleted.\n", a.ID, planText(plan))
			})
		}
		if !c.Confirm {
			return fmt.Errorf("the account %s has %s; -confirm deletes them, its keys, variants and tokens "+
				"permanently", a.ID, planText(plan))
		}
		progress := terminal.StartProgress(os.Stderr, c.JSON, "deletion", "images and drafts")
		progress.Expect(plan.Images+plan.Drafts, 0)
		deleted, err := core.DeleteAccountInSteps(ctx, c.ID, func(n int) { progress.Add(int64(n), 0) })
		if err = progress.Stopped(ctx, err, "run the command again to continue"); err != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w (%d images and drafts are deleted; run the command again to continue)",
				err, deleted)
		}
		if err != nil {
			return err
		}
		return c.Print(os.Stdout, map[string]int{"deleted": deleted}, func(w io.Writer) {
			fmt.Fprintf(w, "deleted the account %s with %s\n", c.ID,
				terminal.Count(int64(deleted), "image or draft", "images and drafts"))
		})
	})
}
