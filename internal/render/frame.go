package render

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"calotype/internal/imagefile"
)

// maxFrame limits one message of the protocol, in bytes. Pictures are never sent in frames.
const maxFrame = 64 << 10

// protocol is the number of the frame protocol. Both ends are the same binary; the number only
// detects a Command that starts another program.
const protocol = 2

// The kinds of job and of answer.
const (
	opExamine = "examine"
	opRender  = "render"

	kindOK          = "ok"
	kindUndecodable = "undecodable"
	kindEncode      = "encode"
	kindMemory      = "memory"
	kindLimit       = "limit"
	kindFailed      = "failed"
)

// A hello is the first frame of a worker. The file with the worker's requests for
// threads is attached, if the kernel supports it.
type hello struct {
	Protocol int          `json:"protocol"`
	Version  string       `json:"version"`
	Sandbox  SandboxState `json:"sandbox"`
	Error    string       `json:"error"` // why the worker cannot work; "" if it can
	// Missing holds the formats that the worker cannot decode, with the reasons.
	Missing map[imagefile.Format]string `json:"missing"`
	// MissingEncoders holds the output formats that the worker cannot encode, with the reasons.
	MissingEncoders map[imagefile.Format]string `json:"missing_encoders"`
	// Libraries are those of each format, with their versions.
	Libraries map[imagefile.Format]string `json:"libraries"`
}

// A request is one job. Its files are attached: the input, and the output of a rendition.
type request struct {
	Op  string `json:"op"`
	Job Job    `json:"job"`
}

// An answer is the result of one job.
type answer struct {
	Kind       string     `json:"kind"`
	Reason     string     `json:"reason"`
	Properties Properties `json:"properties"`
	Output     Output     `json:"output"`
	// Measured is the number of pixels of a rendition that is over the limit.
	Measured int64 `json:"measured"`
}

// writeFrame sends v as one frame with open files attached to its first byte.
func writeFrame(conn *net.UnixConn, v any, files ...*os.File) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding a frame: %w", err)
	}
	if len(body) > maxFrame {
		return fmt.Errorf("frame of %d bytes is over the limit of %d", len(body), maxFrame)
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	frame = append(frame, body...)
	n, err := sendWithFiles(conn, frame, files)
	if err == nil && n < len(frame) {
		_, err = conn.Write(frame[n:])
	}
	if err != nil {
		return fmt.Errorf("sending a frame: %w", err)
	}
	return nil
}

// sendWithFiles sends some first bytes of frame, and files with them.
func sendWithFiles(conn *net.UnixConn, frame []byte, files []*os.File) (int, error) {
	if len(files) == 0 {
		return 0, nil
	}
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	n, _, err := conn.WriteMsgUnix(frame, unix.UnixRights(fds...), nil)
	return n, err
}

// readFrame reads one frame into v. Unknown fields and anything after the value are errors.
func readFrame(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("reading a frame: %w", err)
	}
	return readBody(r, head, v)
}

// readBody reads the body of a frame, after its length.
func readBody(r io.Reader, head [4]byte, v any) error {
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return fmt.Errorf("frame of %d bytes is over the limit of %d", n, maxFrame)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return fmt.Errorf("reading a frame: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("decoding a frame: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("decoding a frame: more than one value")
	}
	return nil
}

// readFrameFiles is readFrame with at most max attached files, which the caller closes. The server
// reads only the hello with it: a worker that has read a foreign byte cannot send files to it.
func readFrameFiles(conn *net.UnixConn, v any, max int) ([]*os.File, error) {
	var head [4]byte
	oob := make([]byte, unix.CmsgSpace(4*max))
	n, oobn, _, _, err := conn.ReadMsgUnix(head[:], oob)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, io.EOF
	}
	files, err := filesOf(oob[:oobn])
	if err == nil {
		_, err = io.ReadFull(conn, head[n:])
	}
	if err == nil {
		err = readBody(conn, head, v)
	}
	if err != nil {
		closeAll(files)
		return nil, err
	}
	return files, nil
}

// filesOf opens the descriptors in a control message.
func filesOf(oob []byte) ([]*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("reading a control message: %w", err)
	}
	var files []*os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			closeAll(files)
			return nil, fmt.Errorf("reading file descriptors: %w", err)
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "job"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// socketpair returns a connection for this process and a file for the other end.
func socketpair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a socket pair: %w", err)
	}
	unix.CloseOnExec(fds[0])
	unix.CloseOnExec(fds[1])
	ours, theirs := os.NewFile(uintptr(fds[0]), "worker"), os.NewFile(uintptr(fds[1]), "server")
	conn, err := connOf(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}

// connOf turns a socket into a connection and closes f.
func connOf(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("opening the worker's socket: %w", err)
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("the worker's socket is %T, not a Unix socket", c)
	}
	return conn, nil
}
