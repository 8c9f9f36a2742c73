package main

import (
	"github.com/alecthomas/kong"

	"calotype/internal/manual"
)

// manCommand prints the manual page of the command tree. Packages install it.
type manCommand struct{}

func (manCommand) Run(ctx *kong.Context) error { return manual.Write(ctx.Stdout, ctx.Model, version) }

// completionCommand prints a script with which a shell completes commands and flags. Packages install it.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (c *completionCommand) Run(ctx *kong.Context) error {
	return manual.WriteCompletion(ctx.Stdout, ctx.Model, c.Shell)
}
