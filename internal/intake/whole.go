package intake

import (
	"errors"
	"io"
	"net/http"

	"calotype/internal/cfapi"
	"calotype/internal/images"
)

// whole receives a picture that comes in one request, and turns the draft into an image.
func (c *call) whole(kind bodyKind) error {
	ctx := c.r.Context()
	upload, err := c.Core.BeginUpload(ctx, images.UploadRequest{
		Ticket:         ticketOf(c.r),
		IdempotencyKey: c.r.Header.Get("Idempotency-Key"),
		Size:           c.r.ContentLength,
	})
	if err != nil {
		return err
	}
	defer upload.Close()
	c.line.image = upload.Draft()
	if err := cfapi.CheckDeclaredSize(c.r, upload); err != nil {
		return err
	}
	filename, err := c.receive(kind, upload)
	if err != nil {
		return upload.Refuse(ctx, err)
	}
	img, err := upload.Finish(ctx, filename)
	if err != nil {
		return err
	}
	return c.accepted(img, http.StatusOK)
}

// receive writes the picture in the body to a file, and returns the declared name of the picture.
func (c *call) receive(kind bodyKind, file io.Writer) (filename string, err error) {
	if kind == formBody {
		return cfapi.ReadFileForm(c.r, c.body, file, ignore)
	}
	if err := copyBody(file, c.body); err != nil {
		return "", err
	}
	return declaredName(c.r), nil
}

// ignore passes over a field: only the file is taken, and nothing is ever fetched.
func ignore(string, io.Reader) error { return nil }

// pieceSize is the number of bytes that are read from a body at a time.
const pieceSize = 64 << 10

// copyBody copies a body to its end. The error is that of the body or of the file.
func copyBody(file io.Writer, body io.Reader) error {
	piece := make([]byte, pieceSize)
	for {
		n, err := body.Read(piece)
		if n > 0 {
			if _, err := file.Write(piece[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func ticketOf(r *http.Request) string { return r.URL.Query().Get("ticket") }
