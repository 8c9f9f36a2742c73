package cfapi

import (
	"bytes"
	"io"
	"strconv"
	"unicode"
	"unicode/utf8"

	"calotype/internal/errs"
)

// A fileForm finds the picture among the parts of a form that are called file. There may be several:
// FilePond sends a text before the picture, and a browser an empty part for each input without a chosen
// file. So a part with a file name takes precedence over one without. If no part has a file name, a part
// without one is the picture, because some clients send no file name.
type fileForm struct {
	body *Body
	file io.Writer // gets the picture

	filename string
	taken    bool         // the picture was written to file
	seen     bool         // there was a part called file
	held     bytes.Buffer // the first part without a file name that was not empty
	rivals   int          // number of further such parts
}

// maxHeld limits the buffer for a part that may not be a picture, in bytes. A larger part is the
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

// end writes the held part to the file if no part with a file name was found.
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

// isText reports whether a part without a file name is a text and not a picture, such as the name of a
// file or its base64. No accepted format begins like a text, except SVG, which begins with a less-than
// sign. The last character may be incomplete.
func isText(b []byte) bool {
	b = b[:min(len(b), 512)]
	if bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\ufeff")), " \t\r\n"), []byte("<")) {
		return false
	}
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

// chunkHeaders are headers of protocols for resumable uploads. They mean that a body is a part of a picture, except on
// the paths of resumable uploads.
var chunkHeaders = []string{"Tus-Resumable", "Upload-Length", "Upload-Offset", "Content-Range"}

// chunkFields are the fields with which upload widgets send a file in several forms: those of
// Dropzone, Fine Uploader, Resumable.js, Flow.js and plupload.
var chunkFields = map[string]bool{"dztotalchunkcount": true, "qqtotalparts": true,
	"resumableTotalChunks": true, "flowTotalChunks": true, "chunks": true}

// pass reads a part that is not called file, and refuses one that announces a chunked upload.
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
