//go:build cgo

package main

import (
	"os"

	"calotype/internal/render"
	"calotype/internal/render/vips"
)

type workerCommand struct{}

// hasEngine reports whether this build can decode pictures. A client build cannot.
const hasEngine = true

// Run is the main function of a worker process, which decodes pictures. No other part of this program
// uses libvips.
func (workerCommand) Run() error {
	os.Exit(render.WorkerMain(vips.New))
	return nil
}
