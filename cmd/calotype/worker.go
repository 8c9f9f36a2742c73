package main

import (
	"os"

	"calotype/internal/render"
	"calotype/internal/render/vips"
)

type workerCommand struct{}

// Run is the process that decodes pictures. Nothing else in this program touches libvips.
func (workerCommand) Run() error {
	os.Exit(render.WorkerMain(vips.New))
	return nil
}
