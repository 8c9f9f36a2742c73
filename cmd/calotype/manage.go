package main

import (
	"context"

	"calotype/internal/apiclient"
	"calotype/internal/manage"
)

// The commands of package manage, each with the flags that select a server.

type draftCommands struct {
	List draftList `cmd:"" help:"List the drafts with their states."`
}

type variantCommands struct {
	List   variantList   `cmd:"" help:"List the variants."`
	Show   variantShow   `cmd:"" help:"Show a variant."`
	Create variantCreate `cmd:"" help:"Create a variant."`
	Delete variantDelete `cmd:"" help:"Delete a variant; its URLs are no longer delivered."`
}

type keyCommands struct {
	List   keyList   `cmd:"" help:"List the signing keys."`
	Create keyCreate `cmd:"" help:"Create a signing key; print its value."`
	Delete keyDelete `cmd:"" help:"Delete a signing key; its signatures are no longer valid."`
}

// A clientCommand is a command that works through the API.
type clientCommand interface {
	Run(context.Context, *apiclient.Client) error
}

// run runs a command with a client of the selected server.
func (t *Target) run(ctx context.Context, c clientCommand) error {
	return t.withClient(ctx, false, func(client *apiclient.Client) error { return c.Run(ctx, client) })
}

type imageList struct {
	Target
	manage.ImageList
}

func (c *imageList) Run(ctx context.Context) error { return c.run(ctx, &c.ImageList) }

type imageGet struct {
	Target
	manage.ImageGet
}

func (c *imageGet) Run(ctx context.Context) error {
	return c.withClient(ctx, true, func(client *apiclient.Client) error { return c.ImageGet.Run(ctx, client) })
}

type imageUpload struct {
	Target
	manage.ImageUpload
}

func (c *imageUpload) Run(ctx context.Context) error {
	return c.withUploads(ctx, func(client *apiclient.Client) error { return c.ImageUpload.Run(ctx, client) })
}

type draftList struct {
	Target
	manage.DraftList
}

func (c *draftList) Run(ctx context.Context) error { return c.run(ctx, &c.DraftList) }

type variantList struct {
	Target
	manage.VariantList
}

func (c *variantList) Run(ctx context.Context) error { return c.run(ctx, &c.VariantList) }

type variantShow struct {
	Target
	manage.VariantShow
}

func (c *variantShow) Run(ctx context.Context) error { return c.run(ctx, &c.VariantShow) }

type variantCreate struct {
	Target
	manage.VariantCreate
}

func (c *variantCreate) Run(ctx context.Context) error { return c.run(ctx, &c.VariantCreate) }

type variantDelete struct {
	Target
	manage.VariantDelete
}

func (c *variantDelete) Run(ctx context.Context) error { return c.run(ctx, &c.VariantDelete) }

type keyList struct {
	Target
	manage.KeyList
}

func (c *keyList) Run(ctx context.Context) error { return c.run(ctx, &c.KeyList) }

type keyCreate struct {
	Target
	manage.KeyCreate
}

func (c *keyCreate) Run(ctx context.Context) error { return c.run(ctx, &c.KeyCreate) }

type keyDelete struct {
	Target
	manage.KeyDelete
}

func (c *keyDelete) Run(ctx context.Context) error { return c.run(ctx, &c.KeyDelete) }

type statsCommand struct {
	Target
	manage.Stats
}

func (c *statsCommand) Run(ctx context.Context) error { return c.run(ctx, &c.Stats) }
