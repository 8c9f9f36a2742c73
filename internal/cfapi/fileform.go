package cfapi

import (
	"bufio"
	"errors"
	"io"
	"math"
	"mime/multipart"
	"net/http"
	"strings"
	"sync"

	"calotype/internal/errs"
)

// FormOverhead is the number of bytes that a form may have besides its file.
const FormOverhead = 1 << 20

// IsPlain reports whether a Content-Encoding means no compression: some clients put the character set or
// the transfer encoding there.
func IsPlain(encoding string) bool {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity", "utf-8", "binary":
		return true
	}
	return false
}

// CheckFileForm refuses requests that are not a form with files: NotForm.
func CheckFileForm(r *http.Request) error {
	if err := CheckPlain(r); err != nil {
		return err
	}
	if name := ChunkHeader(r); name != "" {
		return errs.Errorf(errs.NotForm, "Chunked and resumable uploads (tus, %s) are not "+
			"supported here: send the whole picture in one form, in the field file, or resume uploads at a one-time "+
			"URL of direct_upload", name)
	}
	if _, isForm := FormBoundary(r.Header.Get("Content-Type")); !isForm {
		return errs.Errorf(errs.NotForm, "Images must be uploaded as a form, not as raw image "+
			"data. Please use multipart/form-data format, with the picture in the field file")
	}
	return CheckBoundary(r)
}

// CheckPlain refuses a body with a Content-Encoding: NotForm.
func CheckPlain(r *http.Request) error {
	if encoding := r.Header.Get("Content-Encoding"); !IsPlain(encoding) {
		return errs.Errorf(errs.NotForm, "Content-Encoding %.20q is not accepted: send the "+
			"body as it is", encoding)
	}
	return nil
}

// ChunkHeader returns the name of a header by which a request has a part of a picture only, "" for none.
func ChunkHeader(r *http.Request) string {
	for _, name := range chunkHeaders {
		if r.Header.Get(name) != "" {
			return name
		}
	}
	return ""
}

// CheckBoundary refuses a form whose Content-Type has no boundary: NotForm.
func CheckBoundary(r *http.Request) error {
	if boundary, _ := FormBoundary(r.Header.Get("Content-Type")); boundary == "" {
		return errs.Errorf(errs.NotForm, "The Content-Type multipart/form-data has no boundary: "+
			"do not set this header yourself; the browser or the HTTP client sets it for a form")
	}
	return nil
}

// A SizeLimit is the limit of a file's size, in bytes, and the refusal of a larger file.
type SizeLimit interface {
	MaxBytes() int64
	TooLarge() error
}

// CheckDeclaredSize refuses a form whose declared size is too large, if its client waits for 100
// Continue: such a client need not send the body. Other forms are read to their end, because
// most clients do not read an answer while they send.
func CheckDeclaredSize(r *http.Request, limit SizeLimit) error {
	if r.Header.Get("Expect") == "" || r.ContentLength <= limit.MaxBytes()+FormOverhead {
		return nil
	}
	return limit.TooLarge()
}

// ErrNoFile refuses a form without a picture. The other fields were read.
var ErrNoFile error = errs.Errorf(errs.Invalid, "Bad request: there is no field file in the "+
	"form; the picture must be in a field of this name")

// ErrNothingChosen refuses a form whose user chose no file. The other fields were read.
var ErrNothingChosen error = errs.Errorf(errs.Invalid, "Bad request: no picture was chosen; "+
	"the field file is empty")

var errTwoFiles error = errs.Errorf(errs.Invalid, "Bad request: there are two fields file; "+
	"one request takes one picture")

// ReadFileForm reads a form from body: the picture in its field file goes to file, every other field
// to other, which need not read it. It returns the declared name of the file, with its folders.
// Errors of form and body are *errs.Error: ErrNoFile, ErrNothingChosen, Invalid, TooLarge, TooSlow,
// Aborted.
func ReadFileForm(
	r *http.Request, body *Body, file io.Writer, other func(name string, value io.Reader) error,
) (filename string, err error) {
	boundary, _ := FormBoundary(r.Header.Get("Content-Type"))
	in := readers.Get().(*bufio.Reader)
	in.Reset(body)
	defer func() { in.Reset(nil); readers.Put(in) }()
	bounded := &headerBound{Reader: in}
	parts := multipart.NewReader(bounded, boundary)
	form := fileForm{body: body, file: file}
	for {
		bounded.left = maxPartHeader
		part, err := parts.NextRawPart()
		bounded.left = math.MaxInt64
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", formError(body, err)
		}
		says := parseDisposition(part.Header.Get("Content-Disposition"))
		if says.name == "file" {
			err = form.take(says, part)
		} else {
			err = form.pass(says.name, part, other)
		}
		if err != nil {
			return "", err
		}
	}
	// The rest after the last boundary is ignored, but must be received.
	if _, err := io.Copy(io.Discard, body); err != nil {
		return "", formError(body, err)
	}
	return form.filename, form.end()
}

// The parser of forms reads and writes about 4 KB at a time, which would need a system call each. These
// buffers make larger pieces.
var (
	readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, formPiece) }}
	writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, formPiece) }}
)

const formPiece = 64 << 10 // bytes

// maxPartHeader limits the header of a part, in bytes. The parser would buffer 10 MB.
const maxPartHeader = 64 << 10

// headerBound refuses a form with a part header over maxPartHeader.
type headerBound struct {
	io.Reader
	left int64
}

func (b *headerBound) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errs.Errorf(errs.Invalid, "Bad request: the header of a part is larger than "+
			"the %d bytes allowed", maxPartHeader)
	}
	n, err := b.Reader.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// formError returns the error of a form that could not be read: the body's error if the body is
// incomplete, else the form's. An error of the consumer of a field is returned unchanged.
func formError(body *Body, err error) error {
	if refusal := new(errs.Error); errors.As(err, &refusal) {
		return err
	}
	if body.err != nil && body.err != io.EOF {
		return body.err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errs.Errorf(errs.Invalid, "Bad request: incomplete multipart stream")
	}
	return errs.Errorf(errs.Invalid, "Bad request: Error parsing form fields")
}

// copyPart copies a part to a writer, and distinguishes errors of reading and of writing.
func copyPart(body *Body, to io.Writer, part io.Reader) error {
	sink := &writing{Writer: to}
	out := writers.Get().(*bufio.Writer)
	out.Reset(sink)
	defer func() { out.Reset(nil); writers.Put(out) }()
	_, err := out.ReadFrom(part)
	if err == nil {
		err = out.Flush()
	}
	if sink.err != nil || err == nil {
		return sink.err
	}
	return formError(body, err)
}

// writing stores the error of its writer.
type writing struct {
	io.Writer
	err error
}

func (w *writing) Write(p []byte) (n int, err error) {
	n, w.err = w.Writer.Write(p)
	return n, w.err
}
