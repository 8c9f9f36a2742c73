package render

import (
	"calotype/internal/imagefile"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// An Engine decodes and encodes pictures. It runs in a worker process only. Its errors wrap ErrUndecodable,
// ErrEncode or ErrOutOfMemory.
type Engine interface {
	// Version returns the version of the pipeline and its libraries. Renditions of different versions
	// may differ.
	Version() string
	// Missing returns the formats of originals that cannot be decoded, because a library is missing, with
	// the reasons.
	Missing() map[imagefile.Format]string
	// MissingEncoders returns the output formats that cannot be encoded, with the reasons.
	MissingEncoders() map[imagefile.Format]string
	// Libraries returns the loaded libraries of each format with their versions, "" for one that is not known. For
	// HEIC it may return NoHEVC.
	Libraries() map[imagefile.Format]string
	// Examine decodes all of in strictly. h is the result of ReadHeader.
	Examine(in *os.File, h imagefile.Header) (Properties, error)
	// Render writes the rendition of in to out, an empty file. Error besides: *imagefile.LimitError if the Plan, which
	// depends on the pixels, has too many.
	Render(in, out *os.File, j Job) (Output, error)
}

// workerFD is the descriptor of a worker's socket.
const workerFD = 3

// WorkerMain is the main function of a worker process: it enters the sandbox, starts the engine and serves jobs
// until the server ends the connection. The return value is the exit status. main does
//
//	os.Exit(render.WorkerMain(vips.New))
func WorkerMain(newEngine func() (Engine, error)) int {
	// A write over RLIMIT_FSIZE is then an error of that write, not a signal that ends the worker.
	signal.Ignore(syscall.SIGXFSZ, syscall.SIGPIPE)
	conn, err := connOf(os.NewFile(workerFD, "server"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "this command is started by the server, not by hand:", err)
		return 2
	}
	defer conn.Close()
	// The server completes its part before the worker enters the sandbox.
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return report(err)
	}
	box := enterSandbox()
	engine, err := newEngine()
	if err != nil {
		return report(writeFrame(conn, hello{Protocol: protocol, Error: sanitise(err.Error())}))
	}
	h := hello{Protocol: protocol, Version: engine.Version(), Libraries: engine.Libraries(), Missing: engine.Missing(),
		MissingEncoders: engine.MissingEncoders()}
	if err := sealAndGreet(conn, box, h); err != nil {
		return report(err)
	}
	return report(serve(conn, engine))
}

// sealAndGreet completes the set-up of a worker, and sends the server the file with requests for threads.
func sealAndGreet(conn *net.UnixConn, box *sandbox, h hello) error {
	box.seal()
	h.Sandbox = box.state
	if box.requests == nil {
		return writeFrame(conn, h)
	}
	// Only the server may answer requests.
	defer box.requests.Close()
	return writeFrame(conn, h, box.requests)
}

// report prints why a worker ends, unless the server has closed the connection, and returns the exit status.
func report(err error) int {
	if err == nil || errors.Is(err, io.EOF) {
		return 0
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// serve does jobs one after the other until conn ends.
func serve(conn *net.UnixConn, engine Engine) error {
	for {
		var r request
		files, err := readFrameFiles(conn, &r, 2)
		if err != nil {
			return err
		}
		a := do(engine, r, files)
		closeAll(files)
		if err := writeFrame(conn, a); err != nil {
			return err
		}
	}
}

func do(engine Engine, r request, files []*os.File) answer {
	var a answer
	var err error
	switch {
	case r.Op == opExamine && len(files) == 1:
		a.Properties, err = engine.Examine(files[0], r.Job.Header)
	case r.Op == opRender && len(files) == 2:
		a.Output, err = engine.Render(files[0], files[1], r.Job)
	default:
		err = fmt.Errorf("job %q with %d files", r.Op, len(files))
	}
	kind, class := kindOf(err)
	if limit := new(imagefile.LimitError); errors.As(err, &limit) {
		return answer{Kind: kindLimit, Measured: limit.Measured}
	}
	if err != nil {
		reason := err.Error()
		if class != nil {
			// The server adds the class to the reason again.
			reason = strings.TrimPrefix(reason, class.Error()+": ")
		}
		return answer{Kind: kind, Reason: sanitise(reason)}
	}
	a.Kind = kind
	return a
}

// kindOf returns the kind and the class of a job's error.
func kindOf(err error) (kind string, class error) {
	switch {
	case err == nil:
		return kindOK, nil
	case errors.Is(err, ErrOutOfMemory):
		return kindMemory, ErrOutOfMemory
	case errors.Is(err, ErrUndecodable):
		return kindUndecodable, ErrUndecodable
	case errors.Is(err, ErrEncode):
		return kindEncode, ErrEncode
	}
	return kindFailed, nil
}

// maxReason limits a worker's text about a failure, in bytes.
const maxReason = 200

// sanitise returns one short line of printable ASCII from a library's message about hostile bytes.
func sanitise(s string) string { return sanitiseTo(s, maxReason) }

// sanitiseTo is sanitise with another limit, in bytes.
func sanitiseTo(s string, most int) string {
	out := make([]byte, 0, min(len(s), most))
	space := false
	for i := 0; i < len(s) && len(out) < most; i++ {
		c := s[i]
		if c <= ' ' || c > '~' {
			space = len(out) > 0
			continue
		}
		if space && len(out) < most-1 {
			out = append(out, ' ')
		}
		space = false
		out = append(out, c)
	}
	return string(out)
}
