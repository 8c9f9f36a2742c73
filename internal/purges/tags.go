package purges

import (
	"crypto/sha256"
	"encoding/hex"

	"calotype/internal/accounts"
)

// The tags by which a cache in front of the server can purge deliveries. A tag is "i-", "v-", "p-" or "a-" and the
// first 16 bytes, in hex, of the SHA-256 of "calotype:" and the internal key of an image, the account's ID and "/" and
// the variant's name, or the account's ID. So tags reveal nothing, and an image keeps its tag when its id changes.

// Tags returns the tags of a delivery: of the image in any variant, of the variant for any image of the account, of the
// account, and if the delivery needs a signature, of all such deliveries of the account.
func Tags(account, key, variant string, private bool) []string {
	tags := []string{tag("i-", key), tag("v-", account+"/"+variant), tag("a-", account)}
	if private {
		tags = append(tags, tag("p-", account))
	}
	return tags
}

// tagOf returns the tag of stale deliveries.
func tagOf(s accounts.Stale) string {
	switch {
	case s.Key != "":
		return tag("i-", s.Key)
	case s.Variant != "":
		return tag("v-", s.Account+"/"+s.Variant)
	case s.Private:
		return tag("p-", s.Account)
	default:
		return tag("a-", s.Account)
	}
}

func tag(kind, name string) string {
	sum := sha256.Sum256([]byte("calotype:" + name))
	return kind + hex.EncodeToString(sum[:16])
}
