package delivery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"

	"calotype/internal/httpframe"
	"calotype/internal/text"
)

// An info is the answer to format=json: the size of a rendition and its original.
type info struct {
	Width    int          `json:"width"`  // pixels, as shown
	Height   int          `json:"height"` // pixels
	Original infoOriginal `json:"original"`
}

type infoOriginal struct {
	FileSize int64  `json:"file_size"` // bytes
	Width    int    `json:"width"`     // pixels, as shown
	Height   int    `json:"height"`    // pixels
	Format   string `json:"format"`    // media type
}

// infoTag is the length of the entity tag of an info, in hexadecimal digits.
const infoTag = 32

// sendInfo answers with an info, under the same rules of caching as the picture.
func (d *delivery) sendInfo(w *httpframe.Response, r *http.Request, c choice, caching string) error {
	from := c.Image.Original
	width, height, err := d.Renditions.Size(r.Context(), c.Resolved, fallback(from, c.Variant.Options))
	if err != nil {
		return err
	}
	body, err := json.Marshal(info{width, height,
		infoOriginal{from.Size, from.Width, from.Height, from.Header.Format.MIME()}})
	if err != nil {
		return fmt.Errorf("encoding the description of a picture: %w", err)
	}
	etag := `"` + text.Hash(string(body))[:infoTag] + `"`
	if notModified(w, r, c, etag, caching) {
		return nil
	}
	setPictureHeaders(w.Header(), c, etag, caching)
	w.Header()["Content-Type"] = []string{"application/json"}
	return serveContent(w, r, bytes.NewReader(append(body, '\n')))
}
