// Command release describes the archives that scripts/dist builds: the licences of all their parts, the list of parts
// (SBOM), and the C library that they need.
//
//	release notice -program FILE -engine DIR -sysroot DIR -web DIR -licences DIR
//	release sbom   -program FILE -engine DIR -sysroot DIR -web DIR -version VERSION -go FILE -libraries DIR
//	release notice -program FILE -web DIR                            (of a client build)
//	release sbom   -program FILE -web DIR -version VERSION -go FILE  (of a client build)
//	release glibc  [-max VERSION] FILE...
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// A source names the files from which the parts of an archive are read.
type source struct {
	program  string // the program of the archive
	engine   string // the folder of scripts/engine, for its architecture; "" for a client build
	sysroot  string // the folder of scripts/sysroot, for its architecture
	web      string // a build of the web pages with source maps
	root     string // of the repository; "" is the working directory
	version  string
	licences string // the folder to which notice copies texts of licences
	goParts  string // the list of cyclonedx-gomod
	lib      string // the libraries of the archive
	maximum  string
}

func run(args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("usage: release notice|sbom|glibc")
	}
	var s source
	flags := flag.NewFlagSet("release "+args[0], flag.ContinueOnError)
	flags.StringVar(&s.program, "program", "", "the program of the archive")
	flags.StringVar(&s.engine, "engine", "", "the folder of the engine")
	flags.StringVar(&s.sysroot, "sysroot", "", "the folder of the sysroot")
	flags.StringVar(&s.web, "web", "", "the folder of a build of the web page with source maps")
	flags.StringVar(&s.version, "version", "", "the version of the archive")
	flags.StringVar(&s.licences, "licences", "", "the folder to copy texts of licences to")
	flags.StringVar(&s.goParts, "go", "", "the list of Go modules by cyclonedx-gomod")
	flags.StringVar(&s.lib, "libraries", "", "the folder of the archive's libraries")
	flags.StringVar(&s.maximum, "max", "", "fail if a file needs a newer glibc")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "notice":
		return writeNotice(out, s)
	case "sbom":
		return writeSBOM(out, s)
	case "glibc":
		return printGlibc(out, flags.Args(), s.maximum)
	default:
		return fmt.Errorf("unknown command %q", args[0])
	}
}
