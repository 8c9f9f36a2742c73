package v4

import (
	"bytes"
	"io"
	"strconv"
	"unicode"
	"unicode/utf8"

	"calotype/internal/errs"
)

// A fileForm finds the picture among the parts of a form that are called file. There may be several:
// FilePond sends a text of its own before the picture, and a browser an empty part for each input in
// which nothing was chosen. So a part with a file name is the picture before one without; only
// where there is none, the one without is, as some clients send no file name.
type fileForm struct {
	body *Body
	file io.Writer // gets the picture

	filename string
	taken    bool         // file has got a picture
	seen     bool         // there was a part called file
	held     bytes.Buffer // of the first part without a file name that was not empty
	rivals   int          // more of these
}

// maxHeld bounds what is kept of a part that may be no picture, in bytes. What is larger is the
// picture.
const maxHeld = formPiece

// take reads a part called file.
func (f *fileForm) take(says disposition, part io.Reader) error {
	f.seen = true
	if says.filename != "" {
		if f.taken {
			return errTwoFiles
		}
		f.taken, f.filename = true, says.filename
		return copyPart(f.body, f.file, part)
	}
	var head bytes.Buffer
	if _, err := io.CopyN(&head, part, maxHeld+1); err != nil && err != io.EOF {
		return formError(f.body, err)
	}
	switch {
	case head.Len() > maxHeld && f.taken:
		return errTwoFiles
	case head.Len() > maxHeld:
		if isText(head.Bytes()) {
			return errText
		}
		f.taken = true
		return copyPart(f.body, f.file, io.MultiReader(&head, part))
	case head.Len() > 0 && f.held.Len() > 0:
		f.rivals++
	case head.Len() > 0:
		f.held = head
	}
	return nil
}

// end gives what was held to the file if there is nothing better.
func (f *fileForm) end() error {
	switch {
	case f.taken:
		return nil
	case !f.seen:
		return ErrNoFile
	case f.held.Len() == 0:
		return ErrNothingChosen
	case f.rivals > 0:
		return errTwoFiles
	case isText(f.held.Bytes()):
		return errText
	}
	_, err := f.held.WriteTo(f.file)
	return err
}

var errText error = errs.Errorf(errs.Invalid, "Bad request: the field file holds text, not a "+
	"file: append the File or Blob itself to the form, not its name, path, URL or base64")

// isText reports whether bytes without a file name are no picture but a text, such as the name of a
// file or its base64. No kind of picture that is taken begins like a text. A character may be cut at
// the end.
func isText(b []byte) bool {
	b = b[:min(len(b), 512)]
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			return !utf8.FullRune(b)
		}
		if unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' {
			return false
		}
		b = b[size:]
	}
	return true
}

// chunkHeaders are sent with a part of a picture, or to ask how to send the next.
var chunkHeaders = []string{"Tus-Resumable", "Upload-Length", "Upload-Offset", "Content-Range"}

// chunkFields are the fields in which upload widgets say in how many forms they send a file: those of
// Dropzone, Fine Uploader, Resumable.js, Flow.js and plupload.
var chunkFields = map[string]bool{"dztotalchunkcount": true, "qqtotalparts": true,
	"resumableTotalChunks": true, "flowTotalChunks": true, "chunks": true}

// pass reads a part that is not called file, and refuses what says that the picture comes in pieces.
func (f *fileForm) pass(
	name string, part io.Reader, other func(name string, value io.Reader) error,
) error {
	if chunkFields[name] {
		head, err := io.ReadAll(io.LimitReader(part, 20))
		if err != nil {
			return formError(f.body, err)
		}
		if n, err := strconv.Atoi(string(head)); err == nil && n > 1 {
			return errs.Errorf(errs.Invalid, "Bad request: chunked uploads are not supported: "+
				"turn chunking off, so that the whole picture comes in one form")
		}
		part = io.MultiReader(bytes.NewReader(head), part)
	}
	err := other(name, part)
	if err == nil {
		_, err = io.Copy(io.Discard, part)
	}
	if err != nil {
		return formError(f.body, err)
	}
	return nil
}
