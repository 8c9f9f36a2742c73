package receipts

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf16"
)

// MetadataHash returns the SHA-256 of metadata in hex, "" for none. The hash is of the canonical form of RFC 8785, so
// that it depends on the value only, and a backend computes it from its own object.
func MetadataHash(meta json.RawMessage) (string, error) {
	if len(meta) == 0 {
		return "", nil
	}
	form, err := canonical(meta)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(form)
	return hex.EncodeToString(sum[:]), nil
}

// canonical returns a JSON value in the form of RFC 8785.
func canonical(value json.RawMessage) ([]byte, error) {
	var decoded any
	if err := json.Unmarshal(value, &decoded); err != nil {
		return nil, fmt.Errorf("reading metadata: %w", err)
	}
	var out bytes.Buffer
	if err := writeCanonical(&out, decoded); err != nil {
		return nil, fmt.Errorf("writing metadata: %w", err)
	}
	return out.Bytes(), nil
}

func writeCanonical(out *bytes.Buffer, value any) error {
	switch value := value.(type) {
	case map[string]any:
		return writeObject(out, value)
	case []any:
		out.WriteByte('[')
		for i, inner := range value {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := writeCanonical(out, inner); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	case string:
		writeString(out, value)
	case float64:
		if value == 0 {
			value = 0 // JavaScript writes a negative zero without its sign
		}
		number, err := json.Marshal(value) // which writes numbers as JavaScript does
		out.Write(number)
		return err
	case bool:
		out.WriteString(strconv.FormatBool(value))
	default:
		out.WriteString("null")
	}
	return nil
}

// writeObject writes the members in the order of their names as UTF-16.
func writeObject(out *bytes.Buffer, object map[string]any) error {
	names := slices.SortedFunc(maps.Keys(object), func(a, b string) int {
		return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
	})
	out.WriteByte('{')
	for i, name := range names {
		if i > 0 {
			out.WriteByte(',')
		}
		writeString(out, name)
		out.WriteByte(':')
		if err := writeCanonical(out, object[name]); err != nil {
			return err
		}
	}
	out.WriteByte('}')
	return nil
}

// writeString escapes quotes, backslashes and control characters only.
func writeString(out *bytes.Buffer, text string) {
	out.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r < ' ':
			out.WriteString(controls[r])
		default:
			out.WriteRune(r)
		}
	}
	out.WriteByte('"')
}

// controls are the escapes of the control characters.
var controls = func() (all [' ']string) {
	for c := range all {
		all[c] = fmt.Sprintf(`\u%04x`, c)
	}
	all['\b'], all['\t'], all['\n'], all['\f'], all['\r'] = `\b`, `\t`, `\n`, `\f`, `\r`
	return all
}()
