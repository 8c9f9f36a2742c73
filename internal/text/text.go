// Package text has the forms of texts: random keys and ids, hashes and numbers, and the rules for text from
// clients, which PostgreSQL could not store otherwise.
package text

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// NewKey returns a new random name, 26 characters of [a-z2-7].
func NewKey() string { return strings.ToLower(rand.Text()) }

// Hash returns the SHA-256 of s in hex.
func Hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// NewHexID returns a random id in the API's form for accounts, webhooks and policies.
func NewHexID() string {
	id := make([]byte, 16)
	rand.Read(id)
	return hex.EncodeToString(id)
}

// IsKey reports whether s has the form of an internal key, as NewKey makes them.
func IsKey(s string) bool {
	return len(s) == 26 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// IsPlain reports whether s is UTF-8 without control characters.
func IsPlain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// IsPlainLines reports whether s is plain text, or lines of it. Line breaks and tabs are allowed in
// metadata, because descriptions of several lines are common and harmless.
func IsPlainLines(s string) bool {
	return IsPlain(strings.NewReplacer("\n", "", "\r", "", "\t", "").Replace(s))
}

// WholeNumber returns a whole number such as 1e2 or 100.0 as 100, and any other text unchanged.
func WholeNumber(s string) string {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n != math.Trunc(n) || math.Abs(n) > 1e15 {
		return s
	}
	return strconv.FormatInt(int64(n), 10)
}
