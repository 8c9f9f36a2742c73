package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"calotype/internal/render"
)

// version is set by the build.
var version = "development"

// inspectTime bounds the start of the worker that reports its engine.
const inspectTime = 5 * time.Second

type versionCommand struct{}

// Help returns the text of --help below the usage.
func (versionCommand) Help() string {
	return `The first line is the version of the program. Then a worker reports the version of libvips and the
library of each format. calotype doctor also tries each format.`
}

// Run prints the versions. A worker that does not start is no error.
func (versionCommand) Run(ctx context.Context) error {
	fmt.Println(programVersion())
	show(os.Stdout, "%s", engineVersions(ctx, workerArgs()))
	return nil
}

func programVersion() string {
	return fmt.Sprintf("calotype %s (%s %s/%s)", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// engineVersions returns lines about the engine of a worker.
func engineVersions(ctx context.Context, worker []string) string {
	ctx, cancel := context.WithTimeout(ctx, inspectTime)
	defer cancel()
	found, err := render.Inspect(ctx, render.PoolConfig{Command: worker})
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Sprintf("engine  no answer within %v\n", inspectTime)
	case err != nil:
		return fmt.Sprintf("engine  does not start: %v\n", err)
	}
	var lines strings.Builder
	fmt.Fprintf(&lines, "engine  %s\n", render.EngineName(found.Version))
	for _, format := range render.Formats {
		library := cmp.Or(found.Libraries[format], "an unknown library")
		if library == render.NoHEVC {
			library = "refused, " + library
		}
		fmt.Fprintf(&lines, "%-7s %s\n", format, library)
	}
	return lines.String()
}
