// Package fields has the rules for the fields of an image that clients set: id, creator, metadata and file name.
package fields

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"calotype/internal/errs"
	"calotype/internal/text"
)

// The bounds of fields.
const (
	MaxIDRunes       = 1024
	MaxMetaBytes     = 1024
	MaxFilenameBytes = 255

	maxCreatorBytes = 1024
)

// UUID is the form of generated ids.
var UUID = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// ReservedSegments are the first segments of paths that the API reserves.
var ReservedSegments = []string{"stats", "keys", "variants", "config", "batch_token",
	"direct_upload"}

// foreignExtensions are refused at the end of a custom id: a cache or a browser could treat the
// delivered picture as another type.
var foreignExtensions = strings.Fields(`asp aspx bat bin bz2 cgi class cmd com css csv dll dmg doc
	docx eot exe gz hta htm html jar js json jsp jspx mht mhtml mjs mkv mov mp3 mp4 mpeg msi ogg otf
	pdf phar php phtml pl ppt pptx ps1 py rar rb rtf sh shtml sql sqlite svgz swf tar tgz ttf txt
	vbs wasm wav webm woff woff2 wsf xht xhtml xls xlsx xml xsl xslt yaml yml zip 7z`)

// CheckCustomID refuses an id that a client may not choose. Error: InvalidID.
func CheckCustomID(id string) error {
	if UUID.MatchString(id) {
		return RefusedID("Must not be UUID")
	}
	last := id[strings.LastIndexByte(id, '/')+1:]
	if dot := strings.LastIndexByte(last, '.'); dot >= 0 &&
		slices.Contains(foreignExtensions, strings.ToLower(last[dot+1:])) {
		return RefusedID("Must not use a non-image file name extension")
	}
	return CheckID(id)
}

// CheckID refuses an id that no path could name, generated or custom. Error: InvalidID.
func CheckID(id string) error {
	switch {
	case !text.IsPlain(id):
		return RefusedID("it must be UTF-8 without control characters")
	case id == "":
		return RefusedID("it is empty")
	case utf8.RuneCountInString(id) > MaxIDRunes:
		return RefusedID("it is too long")
	case strings.HasPrefix(id, "/") || strings.HasSuffix(id, "/"):
		return RefusedID("it must not begin or end with a slash")
	}
	segments := strings.Split(id, "/")
	for _, segment := range segments {
		if segment == "" || segment == "." || segment == ".." {
			return RefusedID(`it must not hold an empty, "." or ".." segment`)
		}
	}
	if slices.Contains(ReservedSegments, segments[0]) {
		return RefusedID(`it must not begin with the segment "` + segments[0] +
			`", which the API keeps for itself`)
	}
	return nil
}

// EscapedBytes returns the length of an id in a URL, with slashes not escaped.
func EscapedBytes(id string) int {
	return len(url.PathEscape(id)) - strings.Count(id, "/")*(len("%2F")-len("/"))
}

// RefusedID returns an InvalidID error with a reason.
func RefusedID(reason string) error {
	return errs.Errorf(errs.InvalidID, "The custom id is not valid: %s. A custom id has at most %d "+
		"characters of UTF-8 and may hold any number of subpaths", reason, MaxIDRunes)
}

// CheckCreator refuses a creator that is too long or not plain text. Error: Invalid.
func CheckCreator(creator string) error {
	if !text.IsPlain(creator) || len(creator) > maxCreatorBytes {
		return errs.Errorf(errs.Invalid, "creator is not valid: it must be UTF-8 without control "+
			"characters, %d bytes at most", maxCreatorBytes)
	}
	return nil
}

// CompactMeta returns metadata as compact JSON, nil for none. Error: Invalid.
func CompactMeta(meta json.RawMessage) (json.RawMessage, error) {
	if len(meta) == 0 {
		return nil, nil
	}
	refuse := func(reason string) (json.RawMessage, error) {
		return nil, errs.Errorf(errs.Invalid, `metadata is not valid: %s. It should be a JSON object such as `+
			`{"key":"value"}`, reason)
	}
	var compact bytes.Buffer
	if !utf8.Valid(meta) || json.Compact(&compact, meta) != nil {
		return refuse("it is not JSON in UTF-8")
	}
	if compact.Len() > MaxMetaBytes {
		var err error
		if compact, err = unescaped(compact.Bytes()); err != nil {
			return refuse("it is not JSON in UTF-8")
		}
	}
	if compact.Len() > MaxMetaBytes {
		return refuse("it is longer than 1024 bytes")
	}
	if compact.Bytes()[0] != '{' {
		return refuse("it is not an object")
	}
	var value any
	if err := json.Unmarshal(compact.Bytes(), &value); err != nil {
		if errors.As(err, new(*json.UnmarshalTypeError)) {
			return refuse("it holds a number that is out of range")
		}
		return refuse("it is not JSON in UTF-8")
	}
	if hasControls(value) {
		return refuse("it holds control characters")
	}
	return compact.Bytes(), nil
}

// unescaped writes the strings of compact JSON without unneeded escapes: some clients send every
// character beyond ASCII as six bytes.
func unescaped(compact []byte) (out bytes.Buffer, err error) {
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for i := 0; i < len(compact); i++ {
		if compact[i] != '"' {
			out.WriteByte(compact[i])
			continue
		}
		end := i + 1
		for compact[end] != '"' {
			if compact[end] == '\\' {
				end++
			}
			end++
		}
		var text string
		if err = json.Unmarshal(compact[i:end+1], &text); err == nil {
			err = enc.Encode(text)
		}
		if err != nil {
			return out, err
		}
		out.Truncate(out.Len() - 1) // the line break
		i = end
	}
	return out, nil
}

// hasControls reports whether a JSON value of at most MaxMetaBytes holds control characters.
func hasControls(value any) bool {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			if !text.IsPlain(name) || hasControls(inner) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(value, hasControls)
	case string:
		return !text.IsPlainLines(value)
	}
	return false
}

// CleanFilename returns the part of a declared file name that may be stored: folders and name, in
// UTF-8, without control and bidirectional formatting characters, 255 bytes at most. Of a path with
// backslashes, which is one of the client's disk, only the name is kept. No segment is "..".
func CleanFilename(name string) string {
	name = name[strings.LastIndexByte(name, '\\')+1:]
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, name)
	name = withoutDots(name)
	if len(name) <= MaxFilenameBytes {
		return name
	}
	cut := MaxFilenameBytes
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return withoutDots(name[:cut])
}

// withoutDots removes the segments of a path that are empty or dots only.
func withoutDots(path string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(path, "/"), func(segment string) bool {
		return strings.Trim(segment, ".") == ""
	}), "/")
}
