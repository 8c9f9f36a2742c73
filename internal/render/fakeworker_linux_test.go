package render_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// fakeWorker is a worker process without libvips, whose jobs are commands in the input file. kind
// says what is wrong with it before the first job; "engine" is a sound one.
func fakeWorker(kind string) int {
	switch kind {
	case "engine":
		return render.WorkerMain(func() (render.Engine, error) { return fakeEngine{}, nil })
	case "no-heic":
		missing := map[imagefile.Format]string{imagefile.HEIC: "no libheif\nhere"}
		return render.WorkerMain(func() (render.Engine, error) { return fakeEngine{missing: missing}, nil })
	case "no-avif":
		missing := map[imagefile.Format]string{imagefile.AVIF: "no aom\nhere"}
		return render.WorkerMain(func() (render.Engine, error) { return fakeEngine{missingEncoders: missing}, nil })
	case "broken-engine":
		return render.WorkerMain(func() (render.Engine, error) {
			return nil, errors.New("no libvips\nhere")
		})
	case "parent":
		return fakeParent()
	case "exit":
		fmt.Fprintln(os.Stderr, "I will not")
		return 3
	}
	// The others speak for themselves.
	hello := `{"protocol":2,"version":"fake-1",` +
		`"sandbox":{"complete":false,"detail":"none"},"error":""}`
	switch kind {
	case "wrong-protocol":
		hello = strings.Replace(hello, ":2,", ":99,", 1)
	case "unknown-field":
		hello = strings.Replace(hello, `"protocol"`, `"extra":1,"protocol"`, 1)
	}
	f := os.NewFile(3, "server")
	io.ReadFull(f, make([]byte, 1))
	fmt.Fprintf(f, "\x00\x00\x00%c%s", len(hello), hello)
	var head [4]byte
	io.ReadFull(f, head[:])
	io.ReadFull(f, make([]byte, binary.BigEndian.Uint32(head[:])))
	switch kind {
	case "garbage":
		io.WriteString(f, "\x00\x00\x00\x05hello")
	case "huge":
		io.WriteString(f, "\xff\xff\xff\xff")
	case "two-values":
		io.WriteString(f, "\x00\x00\x00\x04{}{}")
	case "half":
		io.WriteString(f, "\x00\x00\x00\x10{")
		return 0
	case "unknown-kind":
		a := `{"kind":"great"}`
		fmt.Fprintf(f, "\x00\x00\x00%c%s", len(a), a)
	}
	time.Sleep(time.Hour)
	return 0
}

// fakeParent is a server that prints the ids of its workers, and that the test kills.
func fakeParent() int {
	p, err := render.NewPool(render.PoolConfig{Command: []string{os.Args[0], "worker", "engine"}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(render.PIDs(p))
	time.Sleep(time.Hour)
	return 0
}

// fakeEngine does what the input says.
type fakeEngine struct{ missing, missingEncoders map[imagefile.Format]string }

func (fakeEngine) Version() string { return "fake-1" }

func (e fakeEngine) Missing() map[imagefile.Format]string { return e.missing }

func (e fakeEngine) MissingEncoders() map[imagefile.Format]string { return e.missingEncoders }

func (fakeEngine) Libraries() map[imagefile.Format]string {
	return map[imagefile.Format]string{imagefile.JPEG: "libfake\n 1", "\x1b[2J": "not a format"}
}

func (fakeEngine) Examine(in *os.File, h imagefile.Header) (render.Properties, error) {
	properties := render.Properties{Frames: 1, Thumbhash: []byte("thumb")}
	properties.Width, properties.Height = h.Shown()
	text, err := io.ReadAll(io.NewSectionReader(in, 0, 1<<20))
	if err != nil {
		return properties, err
	}
	command, argument, _ := strings.Cut(string(text), " ")
	switch command {
	case "wide":
		properties.Width++
	case "frames":
		properties.Frames = 7
	case "hashless":
		properties.Thumbhash = nil
	case "trick":
		return properties, fmt.Errorf("%w: %s", render.ErrUndecodable, trick(argument))
	case "keep":
		return properties, fmt.Errorf("%w: %s", render.ErrUndecodable, keepInput(in))
	case "burn-later":
		go burn()
	case "try":
		return properties, fmt.Errorf("%w: %s", render.ErrUndecodable, try(argument))
	default:
		return properties, behave(command, argument)
	}
	return properties, nil
}

// behave executes the commands that both kinds of jobs have.
func behave(command, argument string) error {
	switch command {
	case "ok":
		return nil
	case "sleep":
		d, err := time.ParseDuration(argument)
		time.Sleep(d)
		return err
	case "burn":
		//lint:ignore SA5002 It burns processor time until it is killed.
		for {
		}
	case "take", "hold":
		n, err := strconv.Atoi(argument)
		if err != nil {
			return err
		}
		b, err := unix.Mmap(-1, 0, n<<20, unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return fmt.Errorf("%w: %w", render.ErrOutOfMemory, err)
		}
		if command == "hold" {
			return nil
		}
		return unix.Munmap(b)
	case "crash":
		fmt.Fprintln(os.Stderr, "crash\x1b[31m of", strings.Repeat("x", 100_000))
		os.Exit(1)
	case "stop":
		return unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGSTOP)
	case "memory":
		return fmt.Errorf("%w: all gone", render.ErrOutOfMemory)
	case "undecodable":
		return fmt.Errorf("%w: bad\nbytes \xff\x1b %s",
			render.ErrUndecodable, strings.Repeat("y", 500))
	case "encode":
		return fmt.Errorf("%w: no room", render.ErrEncode)
	}
	return fmt.Errorf("no command %q", command)
}

func (fakeEngine) Render(in, out *os.File, j render.Job) (render.Output, error) {
	text, err := io.ReadAll(io.NewSectionReader(in, 0, 1<<20))
	if err != nil {
		return render.Output{}, err
	}
	plan := j.Options.Plan(j.Header.Shown())
	command, argument, _ := strings.Cut(string(text), " ")
	switch command {
	case "small":
		plan.CanvasW--
	case "script":
		_, err := io.WriteString(out, "<script>alert(1)</script>")
		return render.Output{}, err
	case "nothing":
		return render.Output{}, nil
	case "fill":
		_, err := io.CopyN(out, zeros{}, 1<<30)
		return render.Output{}, fmt.Errorf("%w: %w", render.ErrEncode, err)
	case "write-input":
		_, err := in.WriteString("x")
		return render.Output{}, fmt.Errorf("%w: %w", render.ErrEncode, err)
	default:
		if err := behave(command, argument); err != nil {
			return render.Output{}, err
		}
	}
	m := image.NewGray(image.Rect(0, 0, plan.CanvasW, plan.CanvasH))
	m.SetGray(0, 0, color.Gray{Y: 9})
	return render.Output{}, png.Encode(out, m)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
