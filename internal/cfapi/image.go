package cfapi

import (
	"encoding/json"
	"time"

	"calotype/internal/images"
	"calotype/internal/uploadpolicy"
)

// TimeFormat is the format of times in answers: RFC 3339 in UTC with milliseconds.
const TimeFormat = "2006-01-02T15:04:05.000Z07:00"

// Image is the Image object. The keys are in Cloudflare's order, our keys after Cloudflare's.
type Image struct {
	ID       string  `json:"id"`
	Filename *string `json:"filename"` // null in a draft: clients read it unconditionally
	// Meta and Metadata are the same value: recordings and SDKs have meta, Cloudflare's guide has
	// metadata. Both are absent without metadata.
	Meta              json.RawMessage `json:"meta,omitempty"`
	Metadata          json.RawMessage `json:"metadata,omitempty"`
	Creator           *string         `json:"creator,omitempty"`
	Uploaded          string          `json:"uploaded"`
	RequireSignedURLs bool            `json:"requireSignedURLs"`
	Variants          []string        `json:"variants"`
	Draft             bool            `json:"draft,omitempty"` // true or absent
	Original          *Original       `json:"original,omitempty"`
	Upload            *Upload         `json:"upload,omitempty"`
	Receipt           string          `json:"receipt,omitempty"` // of an upload by a one-time URL: package receipts
}

// Original is our extension to the Image object: properties of the uploaded bytes.
type Original struct {
	Format    string `json:"format"`
	Width     int    `json:"width"` // as shown, in pixels
	Height    int    `json:"height"`
	Frames    int    `json:"frames"`
	FileSize  int64  `json:"file_size"` // bytes
	SHA256    string `json:"sha256"`    // hex
	Thumbhash string `json:"thumbhash,omitempty"`
	Phash     string `json:"phash,omitempty"` // package phash, hex
	// Stripped are the names of what was removed before the bytes were stored; absent if nothing was looked for.
	Stripped []string `json:"stripped,omitzero"`
	// ReceivedSHA256 is the SHA-256 of the bytes as they came, in hex; absent if these are stored.
	ReceivedSHA256 string `json:"received_sha256,omitempty"`
}

// Upload is our extension to a draft: the state of its one-time URL.
type Upload struct {
	Expires   string               `json:"expires"`
	Attempts  int                  `json:"attempts"` // bodies refused because of their content
	LastError *Reason              `json:"lastError"`
	Uses      *Uses                `json:"uses,omitempty"` // of a link only
	Policy    *uploadpolicy.Policy `json:"policy,omitempty"`
}

// Uses has the accepted uploads of a link: how many it allows, and how many there are.
type Uses struct {
	Allowed int `json:"allowed"`
	Used    int `json:"used"`
}

// A Reason is the code and message of a refused body, as in the answer to the uploader.
type Reason struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// OwnerImage returns the complete Image object, for clients with a token. The variants are those of
// URLs.Variants.
func OwnerImage(img images.Image, variants []string) Image {
	v := UploaderImage(img, variants)
	v.Meta, v.Metadata = img.Meta, img.Meta
	v.Creator = img.Creator
	if img.Ticket != nil {
		v.Upload = newUpload(*img.Ticket)
	}
	return v
}

// UploaderImage returns the Image object for the end user who uploads: without metadata and creator,
// which are never shown to them, and without the draft's history.
func UploaderImage(img images.Image, variants []string) Image {
	v := Image{
		ID:                img.ID,
		Filename:          img.Filename,
		Uploaded:          FormatTime(img.Uploaded),
		RequireSignedURLs: img.RequireSignedURLs,
		Variants:          variants,
		Draft:             img.Draft,
	}
	if v.Variants == nil {
		v.Variants = []string{}
	}
	if o := img.Original; o != nil {
		v.Original = &Original{
			Format: string(o.Header.Format), Width: o.Width, Height: o.Height, Frames: o.Header.Frames,
			FileSize: o.Size, SHA256: o.SHA256, Thumbhash: o.Thumbhash, Phash: o.Phash, Stripped: o.Stripped,
			ReceivedSHA256: receivedOf(o),
		}
	}
	return v
}

// receivedOf returns the SHA-256 of the bytes as they came; "" if these are stored.
func receivedOf(o *images.Original) string {
	if received := o.ReceivedSHA256(); received != o.SHA256 {
		return received
	}
	return ""
}

// Uploaded returns the answer of an upload by a one-time URL: the UploaderImage with its receipt.
func (u URLs) Uploaded(img images.UploadedImage) WithInfo {
	result := UploaderImage(img.Image, u.Variants(img.Hash, img.ID, img.Variants))
	result.Receipt = img.Receipt
	return WithInfo{Result: result}
}

func newUpload(t images.Ticket) *Upload {
	u := &Upload{Expires: FormatTime(t.Expires), Attempts: t.Refusals, LastError: LastError(t)}
	if !t.Policy.IsZero() {
		u.Policy = &t.Policy
	}
	if t.Uses > 1 {
		u.Uses = &Uses{Allowed: t.Uses, Used: t.Used}
	}
	return u
}

// LastError returns the last refusal of a body of a ticket, nil for none.
func LastError(t images.Ticket) *Reason {
	if t.LastMessage == "" {
		return nil
	}
	return &Reason{Code: refusals[t.LastKind].code, Message: t.LastMessage}
}

// FormatTime returns a time in the format of answers.
func FormatTime(t time.Time) string { return t.UTC().Format(TimeFormat) }
