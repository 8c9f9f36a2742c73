package delivery

import (
	"net/url"
	"strings"

	"calotype/internal/errs"
)

const (
	// prefix is the optional prefix of a delivery path: Cloudflare has it in the URLs of a customer's domain.
	prefix = "/cdn-cgi/imagedelivery"

	hashLength = 22 // base64url characters
	// maxPath bounds a path in bytes: an id has at most 1024 characters of up to 4 bytes, each of
	// which is 3 bytes when escaped.
	maxPath = 1024*4*3 + 1024
)

// A target has the parts of a delivery path.
type target struct {
	hash    string // of the account: 22 base64url characters
	id      string // of the image, decoded
	variant string // name or options, decoded
	path    string // as received, without the prefix: what a signature signs

	transform bool   // the variant is the options of a transformation, which may be none
	source    string // the variant in the source of a transformation, decoded
}

// flexible reports whether the variant is options. No name of a variant has a "=".
func (t target) flexible() bool { return t.transform || strings.Contains(t.variant, "=") }

// receivedPath returns the escaped path as the client sent it, which is what a signature signs. If the path holds
// a character that should be escaped and is not, such as "|", EscapedPath does not return it: it escapes the
// decoded path, in which a %2F of an id has become a slash.
func receivedPath(u *url.URL) string {
	if plain, err := url.PathUnescape(u.RawPath); err == nil && plain == u.Path {
		return u.RawPath
	}
	return u.EscapedPath()
}

// splitPath splits an escaped path. The first segment is the hash of the account, the last one is the variant, and
// all segments between them are the id. Errors: Invalid; AccountUnknown if the first segment has not the form of a
// hash; ImageNotFound if in addition the path has too few segments, such as a browser's /favicon.ico.
func splitPath(escaped string) (target, error) {
	if len(escaped) > maxPath {
		return target{}, errs.Errorf(errs.Invalid,
			"The path is longer than %d bytes, which no image's can be", maxPath)
	}
	t := target{path: escaped}
	if strings.HasPrefix(escaped, prefix+"/") {
		t.path = escaped[len(prefix):]
	}
	hash, rest, _ := strings.Cut(strings.TrimPrefix(t.path, "/"), "/")
	if !strings.HasPrefix(t.path, "/") || !isHash(hash) {
		if !strings.Contains(rest, "/") {
			return target{}, errs.Errorf(errs.ImageNotFound, "There is nothing at this path")
		}
		return target{}, errs.Errorf(errs.AccountUnknown,
			"The path must begin with the hash of an account, which has %d characters", hashLength)
	}
	t.hash = hash
	slash := strings.LastIndexByte(rest, '/')
	if slash < 1 || slash == len(rest)-1 {
		return target{}, errs.Errorf(errs.Invalid,
			"The path must have the form /<account hash>/<image id>/<variant>")
	}
	var err error
	if t.id, err = url.PathUnescape(rest[:slash]); err == nil {
		t.variant, err = url.PathUnescape(rest[slash+1:])
	}
	if err != nil {
		return target{}, errs.Errorf(errs.Invalid,
			"The path is not well escaped: a percent sign of an id is written %%25")
	}
	return t, nil
}

func isHash(s string) bool {
	return len(s) == hashLength && !strings.ContainsFunc(s, func(c rune) bool {
		return c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') &&
			(c < 'a' || c > 'z')
	})
}
