package main

import (
	"context"
	"errors"
	"os"

	"calotype/internal/cdn"
	"calotype/internal/sqldb"
)

// purgeToken is the variable with the token of -purge-url. It is no flag, because lists of processes show flags.
const purgeToken = "CALOTYPE_PURGE_TOKEN"

// checkPurges refuses flags of a receiver of purges that could not work.
func (c *serveCommand) checkPurges() error {
	token := os.Getenv(purgeToken)
	if c.PurgeURL != "" {
		return cdn.Check(c.PurgeForm, c.PurgeURL, token)
	}
	if token != "" {
		return errors.New(purgeToken + " needs the flag -purge-url")
	}
	return nil
}

// purger makes the Sender of purges; nil without -purge-url. From then on changes are recorded, or not.
func (c *serveCommand) purger(ctx context.Context, n *node) (*cdn.Sender, error) {
	log := n.logs.immediate
	paths, sender := false, (*cdn.Sender)(nil)
	if c.PurgeURL != "" {
		receiver, err := cdn.NewReceiver(ctx, c.PurgeForm, c.PurgeURL, os.Getenv(purgeToken))
		if err != nil {
			return nil, err
		}
		paths = receiver.Paths()
		sender = cdn.New(cdn.Config{Purges: n.core.Purges, Receiver: receiver, URLs: n.urls, Log: log,
			Observe: n.watch.Purges(cdn.Outcomes)})
	}
	err := n.core.Purges.SetReceiver(ctx, sender != nil, paths)
	if sqldb.IsFull(err) { // a server starts on a full disk
		log.Error("out of disk: changes since the last start may not be purged from caches", "err", err)
		return sender, nil
	}
	return sender, err
}
