// Package text has the forms of the texts that the database stores: random keys and ids, hashes, and the
// rules for text from clients, which PostgreSQL could not store otherwise.
package text

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// newKey returns a new random name, 26 characters of [a-z2-7].
func NewKey() string { return strings.ToLower(rand.Text()) }

// hashHex returns the SHA-256 of s in hex.
func Hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// newHexID returns a random id in the API's form for accounts, webhooks and policies.
func NewHexID() string {
	id := make([]byte, 16)
	rand.Read(id)
	return hex.EncodeToString(id)
}

// IsKey reports whether s has the form of an internal key, as newKey makes them.
func IsKey(s string) bool {
	return len(s) == 26 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// plainText reports whether s is UTF-8 without control characters.
func IsPlain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// plainLines reports whether s is plain text, or lines of it. Line breaks and tabs are allowed in
// metadata, because descriptions of several lines are common and harmless.
func IsPlainLines(s string) bool {
	return IsPlain(strings.NewReplacer("\n", "", "\r", "", "\t", "").Replace(s))
}
