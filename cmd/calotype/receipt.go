package main

import (
	"context"
	"errors"
	"fmt"

	"calotype/internal/images"
)

type receiptKeyCommands struct {
	Rotate receiptKeyRotate `cmd:"" help:"Delete stolen keys, and make a new one that signs at once."`
}

type receiptKeyRotate struct {
	StateFlags
	Now bool `help:"Delete the present keys at once." env:"-"`
}

// Help returns the text of --help below the usage.
func (receiptKeyRotate) Help() string {
	return `The server rotates the keys by itself, each 30 days. This command is for keys that may be stolen, with
the database or a backup of it. It deletes all of them and makes one that signs at once, beside a running
server or without one. Each node signs by the new key within a minute. Receipts of the old keys, which are
valid for an hour at most, are refused by backends that have read the new keys. Have each backend read
/.well-known/jwks.json once more, a minute later: until then it trusts the old keys.`
}

// errNotNow refuses a rotation that would delete no key.
var errNotNow = errors.New("the server rotates its keys by itself; --now deletes the present keys at once, and " +
	"receipts that they have signed in the last hour")

func (c *receiptKeyRotate) Run(ctx context.Context) error {
	if !c.Now {
		return errNotNow
	}
	return c.withCore(ctx, false, func(core *images.Service) error {
		id, err := core.Receipts.Replace(ctx)
		if err != nil {
			return err
		}
		fmt.Println(id)
		return nil
	})
}
