// Package manage has the commands that work through the API: they list, show, download, upload and delete images, and
// manage drafts, variants and signing keys of an account. Each command is a struct with its flags; its Run gets a
// client of the API, whether the server is remote or the API runs in the same process.
//
// The JSON of a command is a stable form, which docs/cli.md describes; it is not that of the API.
package manage

import (
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"calotype/internal/apiclient"
	"calotype/internal/terminal"
)

// ErrSomeFailed is returned after the report of a command that has failed for some of its files or images.
var ErrSomeFailed = errors.New("failed")

// An Image is the JSON of an image or draft.
type Image struct {
	ID       string        `json:"id"`
	Draft    bool          `json:"draft"`
	Filename *string       `json:"filename"`
	Creator  *string       `json:"creator"`
	Uploaded terminal.Time `json:"uploaded"` // of a draft: its creation
	Private  bool          `json:"private"`
	Format   *string       `json:"format"` // null of a draft, as the next seven
	Width    *int          `json:"width"`
	Height   *int          `json:"height"`
	Frames   *int          `json:"frames"`
	Bytes    *int64        `json:"bytes"`
	SHA256   *string       `json:"sha256"`
	Received *string       `json:"receivedSha256"` // of the bytes as they came
	// Stripped is what was removed before they were stored; null if nothing was looked for.
	Stripped []string        `json:"stripped"`
	Phash    *string         `json:"phash"` // null without a perceptual hash
	Metadata json.RawMessage `json:"metadata"`
	Variants []string        `json:"variants"` // delivery URLs
	Upload   *Upload         `json:"upload,omitempty"`
}

// Upload is the JSON of the state of a draft's one-time URL.
type Upload struct {
	State        string        `json:"state"` // waiting, refused, exhausted or expired
	Expires      terminal.Time `json:"expires"`
	Attempts     int           `json:"attempts"` // bodies refused because of their content
	AttemptsLeft int           `json:"attemptsLeft"`
	LastError    *Refusal      `json:"lastError"`
	UsesAllowed  int           `json:"usesAllowed"`
	UsesUsed     int           `json:"usesUsed"`
}

// A Refusal is the JSON of the last refusal of a body.
type Refusal struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// NewImage returns the JSON of an image, with the state of a draft at a time.
func NewImage(img apiclient.Image, now time.Time) Image {
	item := Image{
		ID: img.ID, Draft: img.Draft, Filename: img.Filename, Creator: img.Creator,
		Uploaded: terminal.Time(img.Uploaded), Private: img.RequireSignedURLs, Metadata: img.Metadata,
		Variants: img.Variants,
	}
	if item.Metadata == nil {
		item.Metadata = img.Meta
	}
	if item.Variants == nil {
		item.Variants = []string{}
	}
	if o := img.Original; o != nil {
		item.Format, item.Width, item.Height, item.Frames = &o.Format, &o.Width, &o.Height, &o.Frames
		item.Bytes, item.SHA256 = &o.FileSize, &o.SHA256
		item.Received, item.Stripped = new(o.ReceivedSHA256()), o.Stripped
		if o.Phash != "" {
			item.Phash = &o.Phash
		}
	}
	if u := img.Upload; u != nil {
		item.Upload = newUpload(*u, now)
	}
	return item
}

// maxAttempts is the number of refused bodies that end a one-time URL: docs/api.md names it.
const maxAttempts = 10

func newUpload(u apiclient.Upload, now time.Time) *Upload {
	upload := &Upload{
		State: "waiting", Expires: terminal.Time(u.Expires), Attempts: u.Attempts,
		AttemptsLeft: max(0, maxAttempts-u.Attempts), UsesAllowed: 1,
	}
	if u.LastError != nil {
		upload.State, upload.LastError = "refused", &Refusal{u.LastError.Code, u.LastError.Message}
	}
	if u.Uses != nil {
		upload.UsesAllowed, upload.UsesUsed = u.Uses.Allowed, u.Uses.Used
	}
	switch {
	case !now.Before(u.Expires):
		upload.State = "expired"
	case upload.AttemptsLeft == 0:
		upload.State = "exhausted"
	}
	return upload
}

// pixels writes the size of an image for people.
func (i Image) pixels() string {
	if i.Width == nil {
		return ""
	}
	return strconv.Itoa(*i.Width) + " x " + strconv.Itoa(*i.Height)
}

// text returns an optional text, "" for none.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// size writes an optional size for people.
func size(n *int64) string {
	if n == nil {
		return ""
	}
	return terminal.Bytes(*n)
}
