// Command pipeline renders a file several times in this one process, by the engine of the workers and without a
// sandbox, and prints the microseconds of each rendering. So it shows what HTTP, the rows of the database, the cache
// and the worker process add.
//
// Usage: pipeline FILE FORMAT OPTIONS N
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"calotype/internal/imagefile"
	"calotype/internal/render"
	"calotype/internal/render/vips"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pipeline:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 {
		return errors.New("usage: pipeline FILE FORMAT OPTIONS N")
	}
	options, err := render.ParseOptions(args[2])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	engine, err := vips.New()
	if err != nil {
		return err
	}
	in, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer in.Close()
	job, err := jobOf(engine, in)
	if err != nil {
		return err
	}
	job.Format, job.Options = imagefile.Format(args[1]), options
	for range n {
		took, err := renderOnce(engine, in, job)
		if err != nil {
			return err
		}
		fmt.Println(took.Microseconds())
	}
	return nil
}

// jobOf examines a file, as the server does at its upload.
func jobOf(engine render.Engine, in *os.File) (render.Job, error) {
	info, err := in.Stat()
	if err != nil {
		return render.Job{}, err
	}
	header, err := imagefile.ReadHeader(in, info.Size())
	if err != nil {
		return render.Job{}, err
	}
	properties, err := engine.Examine(in, header)
	return render.Job{Header: header, Alpha: properties.Alpha}, err
}

// renderOnce renders into a new file, as the server's cache has it.
func renderOnce(engine render.Engine, in *os.File, job render.Job) (took time.Duration, err error) {
	began := time.Now()
	out, err := os.CreateTemp("", "calotype-pipeline-")
	if err != nil {
		return 0, err
	}
	_, err = engine.Render(in, out, job)
	took = time.Since(began)
	return took, errors.Join(err, out.Close(), os.Remove(out.Name()))
}
