package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A request is what is sent as it is.
type request struct {
	head string
	body []byte
}

// An answer of HTTP/1.1. The body is only kept where it is asked for.
type answer struct {
	status   int
	location string
	body     []byte
}

// A load sends requests on some connections that stay open, each waiting for its answer.
type load struct {
	address string
	conns   []net.Conn
	readers []*bufio.Reader
}

func newLoad(address string, connections int) (*load, error) {
	l := &load{address: address}
	for range connections {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
		l.conns = append(l.conns, conn)
		l.readers = append(l.readers, bufio.NewReaderSize(conn, 128<<10))
	}
	return l, nil
}

func (l *load) close() error {
	var errs []error
	for _, conn := range l.conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}

// send opens connections to the server, sends n requests on them as run does, and returns the CPU time of the
// server's tree and the time that both took.
func (p *process) send(
	connections, n, want int, of func(i int) request, each func(i int, a answer) error,
) (cpu, took time.Duration, err error) {
	l, err := newLoad(p.address, connections)
	if err != nil {
		return 0, 0, err
	}
	cpu, err = cpuOf(p, func() (err error) {
		took, err = l.run(n, want, of, each)
		return err
	})
	return cpu, took, errors.Join(err, l.close())
}

// run sends n requests and returns the time that it took. All must be answered with the status
// that is wanted. each is called for every answer if it is not nil, by several goroutines.
func (l *load) run(
	n, want int, of func(i int) request, each func(i int, a answer) error,
) (time.Duration, error) {
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make([]error, len(l.conns))
	began := time.Now()
	for c := range l.conns {
		group.Go(func() {
			for errs[c] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				a, err := l.exchange(c, of(i), each != nil)
				if err == nil && a.status != want {
					err = fmt.Errorf("%s answered with status %d, not %d: %.300s",
						l.address, a.status, want, a.body)
				}
				if err == nil && each != nil {
					err = each(i, a)
				}
				errs[c] = err
			}
		})
	}
	group.Wait()
	return time.Since(began), errors.Join(errs...)
}

func (l *load) exchange(c int, r request, keep bool) (a answer, err error) {
	if err := l.conns[c].SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return a, err
	}
	if len(r.body) == 0 {
		_, err = io.WriteString(l.conns[c], r.head)
	} else {
		_, err = (&net.Buffers{[]byte(r.head), r.body}).WriteTo(l.conns[c])
	}
	if err != nil {
		return a, err
	}
	in := l.readers[c]
	line, err := in.ReadString('\n')
	if err != nil {
		return a, err
	}
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return a, fmt.Errorf("no status line: %q", line)
	}
	if a.status, err = strconv.Atoi(fields[1]); err != nil {
		return a, err
	}
	length, err := readHeader(in, &a)
	if err != nil {
		return a, err
	}
	if !keep && a.status < 300 {
		_, err = in.Discard(length)
		return a, err
	}
	a.body = make([]byte, length)
	_, err = io.ReadFull(in, a.body)
	return a, err
}

var contentLength, location = []byte("content-length"), []byte("location")

// readHeader reads to the end of the header and returns the length of the body.
func readHeader(in *bufio.Reader, a *answer) (length int, err error) {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		name, value, more := bytes.Cut(line, []byte(":"))
		switch {
		case !more:
			return length, nil
		case bytes.EqualFold(name, contentLength):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		case bytes.EqualFold(name, location):
			a.location = string(bytes.TrimSpace(value))
		}
	}
}
