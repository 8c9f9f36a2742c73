package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"calotype/internal/imagefile"
	"calotype/internal/render"
	"calotype/internal/terminal"
)

// version is set by the build.
var version = "development"

// inspectTime bounds the start of the worker that reports its engine.
const inspectTime = 5 * time.Second

type versionCommand struct{ terminal.Output }

// Help returns the text of --help below the usage.
func (versionCommand) Help() string {
	return `The first line is the version of the program. Then a worker reports the version of libvips and the
library of each format. calotype doctor also tries each format. A client build has no engine.`
}

// versions is the JSON of the versions.
type versions struct {
	Version  string            `json:"version"`
	Go       string            `json:"go"`
	Platform string            `json:"platform"`
	Engine   *string           `json:"engine"`  // null if no worker has reported it
	Problem  string            `json:"problem"` // the reason; "" without one
	Formats  map[string]string `json:"formats"` // the library of each
}

// Run prints the versions. A worker that does not start is no error.
func (c versionCommand) Run(ctx context.Context) error {
	problem := "none: client build"
	var found render.Inspection
	if hasEngine {
		found, problem = inspectEngine(ctx, workerArgs())
	}
	v := versions{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Problem: problem, Formats: map[string]string{}}
	if problem == "" {
		v.Engine = new(render.EngineName(found.Version))
		for _, format := range render.Formats {
			v.Formats[string(format)] = libraryOf(found, format)
		}
	}
	return c.Print(os.Stdout, v, func(w io.Writer) {
		fmt.Fprintln(w, programVersion())
		if problem != "" {
			terminal.ShowLine(w, "engine  %s", problem)
			return
		}
		terminal.ShowLine(w, "engine  %s", *v.Engine)
		for _, format := range render.Formats {
			terminal.ShowLine(w, "%-7s %s", format, v.Formats[string(format)])
		}
	})
}

func programVersion() string {
	return fmt.Sprintf("calotype %s (%s %s/%s)", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// inspectEngine has a worker report its engine, or returns why there is no report.
func inspectEngine(ctx context.Context, worker []string) (found render.Inspection, problem string) {
	ctx, cancel := context.WithTimeout(ctx, inspectTime)
	defer cancel()
	found, err := render.Inspect(ctx, render.PoolConfig{Command: worker})
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return found, fmt.Sprintf("no answer within %v", inspectTime)
	case err != nil:
		return found, fmt.Sprintf("does not start: %v", err)
	}
	return found, ""
}

// libraryOf returns the library of a format.
func libraryOf(found render.Inspection, format imagefile.Format) string {
	library := cmp.Or(found.Libraries[format], "an unknown library")
	if library == render.NoHEVC {
		library = "refused, " + library
	}
	return library
}
