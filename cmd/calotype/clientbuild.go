//go:build !cgo

package main

type workerCommand struct{}

// hasEngine reports whether this build can decode pictures. A client build cannot.
const hasEngine = false

// Run returns an error: this build has no libvips.
func (workerCommand) Run() error { return wantEngine() }
