package intake

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"time"

	"calotype/internal/images"
)

const (
	formOverhead = 1 << 20   // bytes of a body besides its file
	drainBytes   = 128 << 20 // read and dropped before a refusal
	drainTime    = 30 * time.Second
	drainIdle    = 5 * time.Second // one that sends nothing waits for the answer
)

// A body is a request's body that must keep coming: a read fails when nothing came for a while,
// when the whole takes too long, or when there are more bytes than a form may have.
type body struct {
	io.ReadCloser
	control *http.ResponseController
	idle    time.Duration
	until   time.Time
	limit   int64
	read    int64
	expects bool  // the client waits for "100 Continue" before it sends
	err     error // what ended the body; io.EOF when it is complete
}

func newBody(w http.ResponseWriter, r *http.Request, idle, whole time.Duration, limit int64) *body {
	return &body{
		ReadCloser: r.Body, control: http.NewResponseController(w),
		idle: idle, until: time.Now().Add(whole), limit: limit,
		expects: r.Header.Get("Expect") != "",
	}
}

// Read returns an *images.Error for what the body is to blame for.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	deadline := time.Now().Add(b.idle)
	if b.until.Before(deadline) {
		deadline = b.until
	}
	if err := b.control.SetReadDeadline(deadline); err != nil &&
		!errors.Is(err, http.ErrNotSupported) {
		return 0, fmt.Errorf("setting a deadline: %w", err)
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = images.Errorf(images.TooSlow, "The upload came too slowly: nothing for %v, "+
			"or longer in all than is allowed", b.idle)
	case err != nil && err != io.EOF:
		err = images.Errorf(images.Aborted, "The request was aborted by the client")
	case b.read > b.limit:
		n, err = 0, images.Errorf(images.TooLarge, "The request is larger than the %d bytes allowed",
			b.limit)
	}
	if err == io.EOF {
		// Else the deadline would pass for a broken connection while the picture is decoded.
		if err := b.control.SetReadDeadline(time.Time{}); err != nil &&
			!errors.Is(err, http.ErrNotSupported) {
			return n, fmt.Errorf("lifting a deadline: %w", err)
		}
	}
	b.err = err
	return n, err
}

// drain reads what is left of the body, so that a client that sends first and listens later gets
// the answer. One that waits to be told to go on is simply not told.
func (b *body) drain() {
	if b.expects && b.read == 0 {
		return
	}
	if images.AsError(b.err).Kind == images.TooLarge {
		b.err = nil
	}
	b.limit = b.read + drainBytes
	b.until, b.idle = time.Now().Add(drainTime), min(b.idle, drainIdle)
	_, _ = io.Copy(io.Discard, b) // the answer is sent whatever came of it
}

// checkForm refuses what is not a form with files.
func checkForm(r *http.Request) error {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return images.Errorf(images.NotForm, "Content-Encoding %.20q is not accepted: send the "+
			"form as it is", encoding)
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return images.Errorf(images.NotForm, "Images must be uploaded as a form, not as raw image "+
			"data. Please use multipart/form-data format, with the picture in the field file")
	}
	return nil
}

// receive copies the form's file to upload and returns its declared name. Other fields are read
// and ignored.
func receive(r *http.Request, upload io.Writer) (filename string, err error) {
	form, err := r.MultipartReader()
	if err != nil {
		return "", images.Errorf(images.Invalid, "Bad request: Error parsing form fields")
	}
	found := false
	for {
		part, err := form.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", formError(r, err)
		}
		to := io.Discard
		if part.FormName() == "file" {
			if found {
				return "", images.Errorf(images.Invalid, "Bad request: there are two fields file; "+
					"a one-time URL takes one picture")
			}
			found, filename, to = true, declaredName(part), upload
		}
		if err := copyPart(r, to, part); err != nil {
			return "", err
		}
	}
	if !found {
		return "", images.Errorf(images.Invalid, "Bad request: there is no field file in the form; "+
			"the picture must be in a field of this name")
	}
	// What follows the last boundary is nothing, but it must have come.
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return "", formError(r, err)
	}
	return filename, nil
}

// formError says what is wrong when a form could not be read: the body, if it did not come whole,
// else the form.
func formError(r *http.Request, err error) error {
	if b, ok := r.Body.(*body); ok && b.err != nil && b.err != io.EOF {
		return b.err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return images.Errorf(images.Invalid, "Bad request: incomplete multipart stream")
	}
	return images.Errorf(images.Invalid, "Bad request: Error parsing form fields")
}

// copyPart copies a part to a writer, and tells a reading error from a writing one.
func copyPart(r *http.Request, to io.Writer, part io.Reader) error {
	sink := &writing{Writer: to}
	_, err := io.Copy(sink, part)
	if sink.err != nil || err == nil {
		return sink.err
	}
	return formError(r, err)
}

// writing remembers the error of its writer.
type writing struct {
	io.Writer
	err error
}

func (w *writing) Write(p []byte) (n int, err error) {
	n, w.err = w.Writer.Write(p)
	return n, w.err
}

// declaredName returns the file name as sent: part.FileName would apply the rules of this
// machine's paths to it.
func declaredName(part *multipart.Part) string {
	_, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	if err != nil {
		return ""
	}
	return params["filename"]
}
