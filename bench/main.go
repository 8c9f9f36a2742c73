// Command bench measures the server beside what one would use in its place: nginx for delivery,
// tusd for uploads, sharp and vipsthumbnail for pixels. README.md says what is measured and how to read it;
// make bench builds what this needs and runs it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

type bench struct {
	calotype, tusd, nginx, pipeline string // programs

	scratch  string // a folder for the data of all servers, removed at the end
	profiles string // a folder for profiles, kept
	rounds   int    // of each comparison
	effort   float64
	subjects *regexp.Regexp // of the part sharp
	rows     []row
}

// parts are what is measured, in order.
var parts = []struct {
	name string
	run  func(*bench) error
}{
	{"hits", (*bench).hits},
	{"accel", (*bench).accel},
	{"cold", (*bench).cold},
	{"sharp", (*bench).sharp},
	{"uploads", (*bench).uploads},
	{"drafts", (*bench).drafts},
	{"webhooks", (*bench).webhooks},
	{"memory", (*bench).memory},
	{"eager", (*bench).eager},
}

func main() {
	// Processes started from a thread that ends would end with it.
	runtime.LockOSThread()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	quick := flag.Bool("quick", false, "a few minutes instead of a quarter of an hour; more noise")
	only := flag.String("run", "", "regular expression of the parts to run: hits accel cold sharp "+
		"uploads drafts webhooks memory eager; sharp/GIF runs some subjects of a part")
	messages := flag.String("post", "", "for its own use: a file of messages to post")
	to := flag.String("to", "", "for its own use: where")
	flag.Parse()
	if *messages != "" {
		return postMessages(*messages, *to)
	}
	part, subject, _ := strings.Cut(*only, "/")
	wanted, err := regexp.Compile(part)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	b := &bench{rounds: 11, effort: 1}
	if b.subjects, err = regexp.Compile(subject); err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	if *quick {
		b.rounds, b.effort = 5, 0.4
	}
	if err := b.findPrograms(); err != nil {
		return err
	}
	if b.scratch, err = os.MkdirTemp("", "calotype-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.scratch)) }()
	if b.profiles, err = os.MkdirTemp("", "calotype-profiles-"); err != nil {
		return err
	}
	for _, part := range parts {
		if !wanted.MatchString(part.name) {
			continue
		}
		began := time.Now()
		if err := part.run(b); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		say("%s took %s", part.name, time.Since(began).Round(time.Second))
	}
	fmt.Println()
	printTable(os.Stdout, b.rows)
	fmt.Printf("\nCPU profiles of the server are in %s\n", b.profiles)
	return nil
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }

// findPrograms finds what make bench has built and installed.
func (b *bench) findPrograms() error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	b.calotype = filepath.Join(root, "bin", "bench-calotype")
	b.tusd = filepath.Join(root, "bin", "bench-tusd")
	b.pipeline = filepath.Join(root, "bin", "bench-pipeline")
	installed := filepath.Join(root, ".tools/bin/nginx")
	for _, place := range []string{"nginx", "/usr/sbin/nginx", installed} {
		if path, err := exec.LookPath(place); err == nil {
			b.nginx = path
		}
	}
	_, thumbnails := exec.LookPath("vipsthumbnail")
	_, calotype := os.Stat(b.calotype)
	_, tusd := os.Stat(b.tusd)
	_, pipeline := os.Stat(b.pipeline)
	_, sharp := os.Stat("bench/peers/sharp/node_modules/sharp")
	err = errors.Join(thumbnails, calotype, tusd, pipeline, sharp)
	if b.nginx == "" {
		err = errors.Join(err, errors.New("there is no nginx"))
	}
	if err != nil {
		return fmt.Errorf("run it by make bench: %s", strings.ReplaceAll(err.Error(), "\n", ", "))
	}
	return nil
}

// scaled returns n, fewer in a quick run, but at least 1.
func (b *bench) scaled(n int) int { return max(1, int(float64(n)*b.effort)) }

// inTurn measures two things in turn, after one round of each that does not count. Each of them
// returns its figures, which are put into the rows in their order.
func (b *bench) inTurn(rows []row, ours, theirs func() ([]float64, error)) error {
	for round := -1; round < b.rounds; round++ {
		a, err := ours()
		if err != nil {
			return err
		}
		t, err := theirs()
		if err != nil {
			return err
		}
		for i := range rows {
			if round >= 0 {
				rows[i].ours = append(rows[i].ours, a[i])
				rows[i].theirs = append(rows[i].theirs, t[i])
			}
		}
	}
	b.rows = append(b.rows, rows...)
	return nil
}

// cpuOf returns the CPU time that a server's tree uses while work runs.
func cpuOf(p *process, work func() error) (time.Duration, error) {
	before, err := p.cpu()
	if err != nil {
		return 0, err
	}
	if err := work(); err != nil {
		return 0, err
	}
	after, err := p.cpu()
	return after - before, err
}
