package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"calotype/internal/images"
	"calotype/internal/terminal"
)

type sweepCommand struct {
	StateFlags
	terminal.Output
	Confirm bool `help:"Delete also a suspiciously large number." env:"-"`
	DryRun  bool `help:"Only count."`
}

// A sweepResult is the JSON of a sweep.
type sweepResult struct {
	Objects      int      `json:"objects"`
	Orphans      int      `json:"orphans"`
	OrphanBytes  int64    `json:"orphanBytes"`
	Deleted      int      `json:"deleted"`
	Held         bool     `json:"held"` // nothing is deleted without --confirm
	Foreign      int      `json:"foreign"`
	Missing      int      `json:"missing"`
	FirstMissing []string `json:"firstMissing"`
	Seconds      int64    `json:"seconds"` // expected for the deletion, of a dry run
}

func (c *sweepCommand) Run(ctx context.Context) error {
	return c.withCore(ctx, true, func(core *images.Service) error {
		report, err := core.Sweep(ctx, images.SweepOptions{Confirm: c.Confirm, DryRun: c.DryRun})
		if err != nil {
			return err
		}
		if err := c.print(report); err != nil {
			return err
		}
		if report.Missing > 0 {
			err = fmt.Errorf("%d images have no whole original: put it back from a backup, or delete "+
				"them. The first are:\n%s", report.Missing, strings.Join(report.FirstMissing, "\n"))
		}
		if report.Held {
			err = errors.Join(err, errors.New("this number of orphans indicates a database that is not "+
				"this store's newest, so nothing was deleted; --confirm deletes them"))
		}
		return err
	})
}

func (c *sweepCommand) print(r images.SweepReport) error {
	result := sweepResult{
		Objects: r.Objects, Orphans: r.Orphans, OrphanBytes: r.OrphanBytes, Deleted: r.Deleted, Held: r.Held,
		Foreign: r.Foreign, Missing: r.Missing, FirstMissing: r.FirstMissing,
		Seconds: int64((r.Time + time.Second - 1) / time.Second),
	}
	if result.FirstMissing == nil {
		result.FirstMissing = []string{}
	}
	return c.Print(os.Stdout, result, func(w io.Writer) {
		fmt.Fprintf(w, "%d originals, %d orphans older than a day (%s), %d deleted, %d objects not ours, "+
			"%d images without their original\n", r.Objects, r.Orphans, terminal.Bytes(r.OrphanBytes), r.Deleted,
			r.Foreign, r.Missing)
		if c.DryRun && r.Orphans > 0 {
			fmt.Fprintf(w, "expected time of the deletion: %v\n", time.Duration(result.Seconds)*time.Second)
		}
	})
}
