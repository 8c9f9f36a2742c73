//go:build profile

package main

import (
	"log"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

// A binary that is built with the tag profile writes CPU profiles, for make bench: SIGUSR2 begins
// one, a second SIGUSR2 ends it, in the file that CALOTYPE_PROFILE names. Nothing of this is in the
// program that is installed.
func init() {
	path := os.Getenv("CALOTYPE_PROFILE")
	if path == "" {
		return // a worker, say
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

// profile writes one profile. The file has its name when it is whole.
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
