package apiclient

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"calotype/internal/fields"
)

// An Image is an image or a draft, as the API returns it.
type Image struct {
	ID                string          `json:"id"`
	Filename          *string         `json:"filename"`
	Metadata          json.RawMessage `json:"metadata"`
	Meta              json.RawMessage `json:"meta"` // the same, from a server that has no metadata
	Creator           *string         `json:"creator"`
	Uploaded          time.Time       `json:"uploaded"` // of a draft: its creation
	RequireSignedURLs bool            `json:"requireSignedURLs"`
	Variants          []string        `json:"variants"`
	Draft             bool            `json:"draft"`
	Original          *Original       `json:"original"` // nil from Cloudflare
	Upload            *Upload         `json:"upload"`   // of a draft
}

// Original has the properties of the uploaded bytes.
type Original struct {
	Format   string   `json:"format"`
	Width    int      `json:"width"`
	Height   int      `json:"height"`
	Frames   int      `json:"frames"`
	FileSize int64    `json:"file_size"`
	SHA256   string   `json:"sha256"`
	Stripped []string `json:"stripped"`        // nil if nothing was looked for
	Received string   `json:"received_sha256"` // "" if SHA256 is that of the bytes as they came
	Phash    string   `json:"phash"`           // perceptual hash, hex; "" for none
}

// ReceivedSHA256 returns the SHA-256 of the bytes as they came, in hex.
func (o *Original) ReceivedSHA256() string { return cmp.Or(o.Received, o.SHA256) }

// Upload is the state of a draft's one-time URL.
type Upload struct {
	Expires   time.Time `json:"expires"`
	Attempts  int       `json:"attempts"`
	LastError *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"lastError"`
	Uses *struct {
		Allowed int `json:"allowed"`
		Used    int `json:"used"`
	} `json:"uses"`
}

// A ListQuery selects a page of images.
type ListQuery struct {
	Limit     int    // at most 10,000
	Token     string // of the previous page
	Ascending bool
	Drafts    bool
	Creator   *string  // "" is "without creator"
	Meta      []string // filters, such as status[eq]=active
	Prefix    string   // of the id
	Filename  string   // beginning of the file name
	SHA256    string   // of the bytes
	Near      string   // perceptual hash of a look-alike
	Distance  string   // of Near; "" for the default of the server
}

// values returns the query of a request. Error: a filter is malformed.
func (q ListQuery) values() (url.Values, error) {
	values := url.Values{"per_page": {strconv.Itoa(q.Limit)}}
	for name, value := range map[string]string{"continuation_token": q.Token, "prefix": q.Prefix,
		"filename": q.Filename, "sha256": q.SHA256, "near": q.Near, "distance": q.Distance} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if q.Ascending {
		values.Set("sort_order", "asc")
	}
	if q.Drafts {
		values.Set("draft", "true")
	}
	if q.Creator != nil {
		values.Set("creator", *q.Creator)
	}
	for _, filter := range q.Meta {
		left, value, found := strings.Cut(filter, "=")
		if !found || left == "" {
			return nil, fmt.Errorf("the filter %q is not valid: it should be like status=active, "+
				"size[gte:number]=5 or region.name[in]=eu|us", filter)
		}
		if !strings.HasSuffix(left, "]") {
			left += "[eq]"
		}
		values.Add("meta."+left, value)
	}
	return values, nil
}

// A Page is a page of images; Next is the token of the next page, "" on the last one.
type Page struct {
	Images []Image
	Next   string
}

// List returns a page of images, newest first unless the query says otherwise. With filters it may be short.
func (c *Client) List(ctx context.Context, q ListQuery) (Page, error) {
	values, err := q.values()
	if err != nil {
		return Page{}, err
	}
	var answer struct {
		Images []Image `json:"images"`
		Next   *string `json:"continuation_token"`
	}
	if err := c.call(ctx, request{method: http.MethodGet, path: "images/v2", query: values}, &answer); err != nil {
		return Page{}, err
	}
	page := Page{Images: answer.Images}
	if answer.Next != nil {
		page.Next = *answer.Next
	}
	if len(page.Images) > q.Limit {
		return Page{}, fmt.Errorf("%s sent %d images, not at most %d", c.base.Host, len(page.Images), q.Limit)
	}
	return page, nil
}

// imagePath returns the path of an image. Slashes of its id are not escaped, so an id that is the path of another
// resource, such as keys/default, is refused.
func imagePath(id string) (string, error) {
	if err := fields.CheckID(id); err != nil {
		return "", fmt.Errorf("%q is not the id of an image: %w", id, err)
	}
	segments := strings.Split(id, "/")
	for i, segment := range segments {
		segments[i] = url.PathEscape(segment)
	}
	return "images/v1/" + strings.Join(segments, "/"), nil
}

// Image returns an image or draft.
func (c *Client) Image(ctx context.Context, id string) (img Image, err error) {
	path, err := imagePath(id)
	if err == nil {
		err = c.call(ctx, request{method: http.MethodGet, path: path}, &img)
	}
	return img, err
}

// An OriginalBody is a download of an original.
type OriginalBody struct {
	io.ReadCloser
	SHA256 string // in hex; "" if the server does not say
}

var sha256Tag = regexp.MustCompile(`^"([0-9a-f]{64})"$`)

// Open returns the original of an image, which the caller closes.
func (c *Client) Open(ctx context.Context, id string) (*OriginalBody, error) {
	path, err := imagePath(id)
	if err != nil {
		return nil, err
	}
	response, err := c.send(ctx, request{method: http.MethodGet, path: path + "/blob"})
	if err != nil {
		return nil, err
	}
	body := &OriginalBody{ReadCloser: response.Body}
	if tag := sha256Tag.FindStringSubmatch(response.Header.Get("ETag")); tag != nil {
		body.SHA256 = tag[1]
	}
	return body, nil
}

// Delete deletes an image, or cancels a draft.
func (c *Client) Delete(ctx context.Context, id string) error {
	path, err := imagePath(id)
	if err != nil {
		return err
	}
	return c.call(ctx, request{method: http.MethodDelete, path: path}, nil)
}

// A Receipt lists the data that an erasure found and removed.
type Receipt struct {
	Complete bool `json:"complete"`
	Found    struct {
		Images int64 `json:"images"`
		Drafts int64 `json:"drafts"`
		Bytes  int64 `json:"bytes"`
	} `json:"found"`
	Whole json.RawMessage `json:"-"` // as the server sent it
}

// EraseCreator deletes images and drafts of a creator; the caller repeats it until the receipt is complete.
func (c *Client) EraseCreator(ctx context.Context, creator string) (r Receipt, err error) {
	err = c.call(ctx, request{method: http.MethodDelete, path: "images/v2",
		query: url.Values{"creator": {creator}}}, &r.Whole)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(r.Whole, &r); err != nil {
		return r, fmt.Errorf("reading the receipt: %w", err)
	}
	return r, nil
}

// A NewImage is a picture to upload. Open may be called several times, as a request is repeated if the server is busy.
type NewImage struct {
	Open     func() (io.ReadCloser, error)
	Filename string
	ID       string          // "" for a generated one
	Metadata json.RawMessage // a JSON object, or nil
	Creator  string          // "" for none
	Private  bool
}

// Upload uploads a picture.
func (c *Client) Upload(ctx context.Context, n NewImage) (img Image, err error) {
	boundary := multipart.NewWriter(io.Discard).Boundary()
	err = c.call(ctx, request{
		method: http.MethodPost, path: "images/v1", size: -1, contentType: "multipart/form-data; boundary=" + boundary,
		body: func() (io.ReadCloser, error) {
			file, err := n.Open()
			if err != nil {
				return nil, err
			}
			read, write := io.Pipe()
			// It ends at the latest when the transport closes the reader.
			go func() { _ = write.CloseWithError(errors.Join(n.writeForm(write, boundary, file), file.Close())) }()
			return read, nil
		},
	}, &img)
	return img, err
}

// writeForm writes the form of an upload, with the file at its end.
func (n NewImage) writeForm(w io.Writer, boundary string, file io.Reader) error {
	form := multipart.NewWriter(w)
	if err := form.SetBoundary(boundary); err != nil {
		return err
	}
	fields := [][2]string{{"id", n.ID}, {"metadata", string(n.Metadata)}, {"creator", n.Creator}}
	if n.Private {
		fields = append(fields, [2]string{"requireSignedURLs", "true"})
	}
	for _, field := range fields {
		if field[1] == "" {
			continue
		}
		if err := form.WriteField(field[0], field[1]); err != nil {
			return err
		}
	}
	part, err := form.CreateFormFile("file", n.Filename)
	if err != nil {
		return err
	}
	if _, err := io.Copy(part, file); err != nil {
		return err
	}
	return form.Close()
}
