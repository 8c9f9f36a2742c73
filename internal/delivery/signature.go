package delivery

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
)

// maxQuery bounds the query of a signed URL in bytes.
const maxQuery = 4096

// The refusals. All except one are the same, so that a guess reveals nothing; only a client with a
// valid signature gets the refusal of an expired URL.
var (
	errSignature = errs.Errorf(errs.SignatureRefused,
		"Image access denied: the URL of a private image must carry a valid signature")
	errExpired = errs.Errorf(errs.SignatureRefused, "Image access denied: the URL has expired")
)

// A signature is the parsed query of a signed URL.
type signature struct {
	sum     string // sig as given, meant to be lowercase hex of HMAC-SHA256
	signed  string // the part of the query that was signed, with its "?"; "" without a query
	expires bool
	exp     int64 // Unix seconds, when expires
}

var errMalformed = errors.New("delivery: malformed signature")

// parseSignature parses a raw query. The signed text is the pairs except sig, unchanged and in the received order.
func parseSignature(rawQuery string) (signature, error) {
	if len(rawQuery) > maxQuery {
		return signature{}, errMalformed
	}
	var s signature
	var rest []string
	found := false
	for pair := range strings.SplitSeq(rawQuery, "&") {
		key, value, _ := strings.Cut(pair, "=")
		switch {
		case key == "sig" && !found:
			s.sum, found = value, true
			continue
		case key == "exp" && !s.expires:
			var err error
			if s.exp, err = parseExpiry(value); err != nil {
				return signature{}, err
			}
			s.expires = true
		case isReserved(key):
			return signature{}, errMalformed
		}
		rest = append(rest, pair)
	}
	if len(rest) > 0 {
		s.signed = "?" + strings.Join(rest, "&")
	}
	if !found {
		return signature{}, errMalformed
	}
	return s, nil
}

// isReserved reports whether key means exp or sig: a second one, or one in another spelling.
func isReserved(key string) bool {
	plain, err := url.QueryUnescape(key)
	return err != nil || plain == "exp" || plain == "sig"
}

// parseExpiry parses Unix seconds: digits only, so that a time has one form.
func parseExpiry(value string) (int64, error) {
	if value == "" || strings.Trim(value, "0123456789") != "" {
		return 0, errMalformed
	}
	exp, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, errMalformed
	}
	return exp, nil
}

// checkSignature checks the signature of a private image's URL. path is as received, without the prefix. The signed
// path may have the prefix or not, because a proxy may add or remove it. Any key of the account is valid.
func checkSignature(
	path, rawQuery string, keys []accounts.SigningKey, now time.Time,
) (signature, error) {
	s, err := parseSignature(rawQuery)
	if err != nil || !s.signs(path, keys) && !s.signs(prefix+path, keys) {
		return signature{}, errSignature
	}
	if s.expires && s.exp < now.Unix() {
		return signature{}, errExpired
	}
	return s, nil
}

// signs reports whether one of keys made s for path.
func (s signature) signs(path string, keys []accounts.SigningKey) bool {
	for _, key := range keys {
		// An empty key would be known to all.
		if key.Value != "" && hmac.Equal([]byte(sign(key.Value, path+s.signed)), []byte(s.sum)) {
			return true
		}
	}
	return false
}

// sign returns HMAC-SHA256 in lowercase hex. The key's text is used as it is, though it looks like
// base64.
func sign(key, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}
