package main

import (
	"os"

	"calotype/internal/render"
	"calotype/internal/render/vips"
)

type workerCommand struct{}

// Run is the main function of a worker process, which decodes pictures. No other part of this program
// uses libvips.
func (workerCommand) Run() error {
	os.Exit(render.WorkerMain(vips.New))
	return nil
}
