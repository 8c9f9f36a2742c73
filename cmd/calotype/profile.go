//go:build profile

package main

import (
	"log"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

// A binary with the build tag profile writes CPU profiles, for make bench: SIGUSR2 begins a profile, a
// second SIGUSR2 ends it, in the file that CALOTYPE_PROFILE names. The usual binary does not contain
// this code.
func init() {
	path := os.Getenv("CALOTYPE_PROFILE")
	if path == "" {
		return // for example a worker
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR2)
	go func() { // lives as long as the program
		for range signals {
			if err := profile(path, signals); err != nil {
				log.Print("profiling: ", err)
			}
		}
	}()
}

// profile writes one profile. It renames the file when it is complete.
func profile(path string, end <-chan os.Signal) error {
	f, err := os.Create(path + ".unfinished")
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	<-end
	pprof.StopCPUProfile()
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
