package importer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/render"
)

// The answers of a source, without the fields that the importer does not use. The answers are not trusted.

type envelope struct {
	Result  json.RawMessage `json:"result"`
	Success bool            `json:"success"`
	Errors  []struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"errors"`
}

// decodeResult reads the result of an envelope.
func decodeResult(body []byte, result any) error {
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		return fmt.Errorf("the answer is not the JSON of the API: %w", err)
	}
	if !e.Success {
		return errors.New("the answer says that it is no success")
	}
	if err := json.Unmarshal(e.Result, result); err != nil {
		return fmt.Errorf("the result has another shape: %w", err)
	}
	return nil
}

// A page is one of the list of images.
type page struct {
	Images []sourceImage `json:"images"`
	Next   *string       `json:"continuation_token"` // null on the last page
}

// A sourceImage is the Image object. Cloudflare calls the metadata meta, some of its pages metadata,
// and has no field original; a Calotype has one.
type sourceImage struct {
	ID                string          `json:"id"`
	Filename          *string         `json:"filename"`
	Meta              json.RawMessage `json:"meta"`
	Metadata          json.RawMessage `json:"metadata"`
	Creator           *string         `json:"creator"`
	Uploaded          string          `json:"uploaded"`
	RequireSignedURLs bool            `json:"requireSignedURLs"`
	Variants          []string        `json:"variants"`
	Draft             bool            `json:"draft"`
	Original          *struct {
		FileSize int64  `json:"file_size"`
		SHA256   string `json:"sha256"`
	} `json:"original"`
}

// imported returns the image for the core.
func (i sourceImage) imported() images.ImportedImage {
	out := images.ImportedImage{
		ID: i.ID, Creator: i.Creator, RequireSignedURLs: i.RequireSignedURLs,
	}
	// Without a valid time the core refuses this image only, not the whole page.
	out.Uploaded, _ = time.Parse(time.RFC3339, i.Uploaded)
	if i.Filename != nil {
		out.Filename = *i.Filename
	}
	for _, meta := range []json.RawMessage{i.Meta, i.Metadata} {
		if out.Meta == nil && len(meta) > 0 && !bytes.Equal(meta, []byte("null")) {
			out.Meta = meta
		}
	}
	if o := i.Original; o != nil {
		out.Size, out.SHA256 = max(o.FileSize, 0), strings.ToLower(o.SHA256)
	}
	return out
}

// hash returns the account hash in the image's delivery URLs, "" if it has no URLs.
func (i sourceImage) hash() string {
	for _, url := range i.Variants {
		before, _, found := strings.Cut(url, "/"+i.ID+"/")
		hash := before[strings.LastIndexByte(before, '/')+1:]
		if found && accounts.IsHash(hash) {
			return hash
		}
	}
	return ""
}

type sourceKeys struct {
	Keys []struct{ Name, Value string } `json:"keys"`
}

type sourceConfig struct {
	FlexibleVariants *bool              `json:"flexible_variants"`
	PrivateOptions   *bool              `json:"private_options"` // this and the next two: of a Calotype
	PrivateCustomIDs *bool              `json:"private_custom_ids"`
	LenientOptions   *bool              `json:"lenient_options"`
	StripOriginals   *imagefile.Privacy `json:"strip_originals"` // of a Calotype
	AutoQuality      *bool              `json:"auto_quality"`    // of a Calotype
	BrowserTTL       *float64           `json:"browser_ttl"`     // seconds
}

type sourceVariants struct {
	Variants map[string]sourceVariant `json:"variants"`
}

type sourceVariant struct {
	Options                map[string]json.RawMessage `json:"options"`
	NeverRequireSignedURLs bool                       `json:"neverRequireSignedURLs"`
}

// variant returns the variant. An unsupported option is an error, because the picture would show what the
// option hides, such as a drawing.
func (v sourceVariant) variant(id string) (images.Variant, error) {
	out := images.Variant{ID: id, NeverRequireSignedURLs: v.NeverRequireSignedURLs}
	ttl, err := render.TextOfJSON(v.Options["browser_ttl"])
	if err == nil && ttl != "" {
		var seconds int64
		seconds, err = strconv.ParseInt(ttl, 10, 32)
		out.BrowserTTL = time.Duration(seconds) * time.Second
	}
	if err != nil {
		return out, fmt.Errorf("options.browser_ttl: %w", err)
	}
	delete(v.Options, "browser_ttl")
	if out.Options, err = render.OptionsOfJSON(v.Options); err != nil {
		return out, fmt.Errorf("options.%w", err)
	}
	return out, nil
}

// refusal parses the body of an answer other than a success: the JSON envelope of today, or the line
// "ERROR 5404: Image not found" of earlier years.
func refusal(status int, body []byte) *statusError {
	e := &statusError{status: status}
	var answer envelope
	text := strings.TrimSpace(string(body))
	if json.Unmarshal(body, &answer) == nil && len(answer.Errors) > 0 {
		e.code, e.message = answer.Errors[0].Code, answer.Errors[0].Message
	} else if rest, ok := strings.CutPrefix(text, "ERROR "); ok {
		code, message, _ := strings.Cut(rest, ":")
		if n, err := strconv.Atoi(code); err == nil {
			e.code, e.message = n, strings.TrimSpace(message)
		}
	}
	e.message = strings.Join(strings.Fields(strings.ToValidUTF8(e.message, "")), " ") // one line
	if len(e.message) > 300 {
		e.message = strings.ToValidUTF8(e.message[:300], "") + "..."
	}
	return e
}
