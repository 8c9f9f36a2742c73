package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strings"
	"unicode/utf8"

	"calotype/internal/cfapi"
	"calotype/internal/errs"
)

// maxFields limits the fields of one request.
const maxFields = 100

// A field is one named value of a request, whatever its encoding: text from a form or a JSON
// string, other JSON unchanged.
type field struct {
	name string
	text string
	json json.RawMessage // nil if the value is text
}

// A form is the fields of a write request in the order they came. Known clients use all three
// encodings for the same fields, so handlers do not depend on the encoding. A JSON null counts as an absent
// field, because SDKs send it for absent values; only an edit distinguishes the two.
type form []field

// isNull reports whether the value is a JSON null.
func (v field) isNull() bool { return string(v.json) == "null" }

// decodeForm parses a body by its declared type. An empty body is an empty form with every type, because some
// clients declare JSON in every request. Errors: Invalid, NotForm.
func decodeForm(contentType string, body []byte) (form, error) {
	content := bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))) // a mark of UTF-8
	if len(content) == 0 {
		return nil, nil
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		media = ""
	}
	boundary, isForm := cfapi.FormBoundary(contentType)
	isJSON := media == "application/json" || strings.HasSuffix(media, "+json")
	switch {
	case isForm:
		return decodeMultipart(boundary, body)
	// The curl call of Cloudflare's guide sends JSON with curl's default type, and fetch sends a string
	// as text.
	case isJSON || content[0] == '{':
		return decodeJSON(content)
	case media == "application/x-www-form-urlencoded" || contentType == "":
		return decodeURLEncoded(string(content))
	}
	return nil, errs.Errorf(errs.NotForm, "The body's Content-Type is not supported: send "+
		"multipart/form-data, application/x-www-form-urlencoded or application/json.")
}

func decodeMultipart(boundary string, body []byte) (form, error) {
	if boundary == "" {
		return nil, invalid("The Content-Type multipart/form-data lacks its boundary: " +
			"let the HTTP client set this header.")
	}
	incomplete := invalid("The body is an incomplete multipart stream: it must end with its final boundary.")
	parts := multipart.NewReader(bytes.NewReader(body), boundary)
	var f form
	for {
		part, err := parts.NextPart()
		if err == io.EOF { // the final boundary; a body cut short is a wrapped EOF
			return f, nil
		}
		if err != nil {
			return nil, incomplete
		}
		if len(f) == maxFields {
			return nil, tooManyFields()
		}
		name := cfapi.PartName(part)
		if name == "" {
			return nil, invalid(`A part of the multipart body has no name: it needs the header ` +
				`Content-Disposition: form-data; name="...".`)
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return nil, incomplete
		}
		f = append(f, field{name: name, text: string(text)})
	}
}

// decodeURLEncoded preserves the order of the fields, unlike url.ParseQuery.
func decodeURLEncoded(body string) (form, error) {
	var f form
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		if len(f) == maxFields {
			return nil, tooManyFields()
		}
		before, after, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(before)
		text, err2 := url.QueryUnescape(after)
		if err := errors.Join(err, err2); err != nil {
			return nil, invalid("The body is not valid application/x-www-form-urlencoded: " +
				"a percent sign must be written %%25.")
		}
		f = append(f, field{name: name, text: text})
	}
	return f, nil
}

// decodeJSON reads an object by its tokens, because a map would hide fields that are given twice.
// PHP encodes an empty map as an empty array.
func decodeJSON(body []byte) (form, error) {
	var whole json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil {
		return nil, invalid("The body is not valid JSON: %v.", err)
	}
	if !utf8.Valid(body) {
		return nil, invalid("The body is not valid JSON: it is not UTF-8.")
	}
	if s := string(body); s == "null" || s[0] == '[' && strings.TrimSpace(s[1:]) == "]" {
		return nil, nil
	}
	if body[0] != '{' {
		return nil, invalid(`The JSON body must be an object, such as {"requireSignedURLs":true}.`)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("reading JSON found valid before: %w", err)
	}
	var f form
	for dec.More() {
		if len(f) == maxFields {
			return nil, tooManyFields()
		}
		name, err := dec.Token()
		var value json.RawMessage
		if err = errors.Join(err, dec.Decode(&value)); err != nil {
			return nil, fmt.Errorf("reading JSON found valid before: %w", err)
		}
		next := field{name: name.(string), json: value}
		if value[0] == '"' {
			next.json = nil
			if err := json.Unmarshal(value, &next.text); err != nil {
				return nil, fmt.Errorf("reading JSON found valid before: %w", err)
			}
		}
		f = append(f, next)
	}
	return f, nil
}

func invalid(format string, args ...any) error {
	return errs.Errorf(errs.Invalid, format, args...)
}

func tooManyFields() error {
	return invalid("The body has more than %d fields.", maxFields)
}
