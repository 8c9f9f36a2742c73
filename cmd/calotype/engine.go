package main

import "errors"

// noEngineStatus is the exit status of a command that this build cannot run.
const noEngineStatus = 2

// errNoEngine is the error of commands that decode pictures, in a client build.
var errNoEngine = errors.New("this build has no engine: it is the client build, without libvips. To serve or to " +
	"import pictures, install calotype_<version>_linux_<architecture>.tar.gz, the .deb or the container image, or " +
	"build from the source with make; docs/install.md describes them")

// wantEngine returns an error in a client build.
func wantEngine() error {
	if hasEngine {
		return nil
	}
	return exitError{noEngineStatus, errNoEngine}
}
