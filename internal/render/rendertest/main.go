// Command rendertest is a worker with libvips and nothing else, for the tests of package render: their own
// binary does not link libvips.
package main

import (
	"os"

	"calotype/internal/render"
	"calotype/internal/render/vips"
)

func main() { os.Exit(render.WorkerMain(vips.New)) }
