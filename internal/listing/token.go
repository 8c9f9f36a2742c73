package listing

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// A position is a position in the order of a list: by time, or by name.
type position struct {
	uploaded int64 // microseconds
	name     string
	key      string
}

// compare compares positions of a list by uploads.
func (p position) compare(other position) int {
	return cmp.Or(cmp.Compare(p.uploaded, other.uploaded), strings.Compare(p.key, other.key))
}

// byUpload is the position of an image in the lists that are in the order of uploads.
func byUpload(img images.Image) position {
	return position{uploaded: sqldb.Micros(img.Uploaded), key: img.Key}
}

// position is the position of an image in the list.
func (q Query) position(img images.Image) position {
	switch {
	case q.Prefix != "":
		return position{name: firstCharacters(img.ID), key: img.Key}
	case q.Filename != "":
		return position{name: *img.Filename, key: img.Key}
	}
	return byUpload(img)
}

// named reports whether the list is in the order of names.
func (q Query) named() bool { return q.Prefix != "" || q.Filename != "" }

// listName identifies a list: its account, order and filters. A token is refused in another list, where its
// position would skip images, or list them twice.
func (q Query) listName(account string) string {
	creator := "any"
	if q.Creator != nil {
		creator = strconv.Quote(*q.Creator)
	}
	name := fmt.Sprintf("%q %v %s", account, q.Ascending, creator)
	if q.Drafts {
		name += " drafts"
	}
	if q.named() {
		name += fmt.Sprintf(" %q %q", q.Prefix, q.Filename)
	}
	if q.SHA256 != "" {
		name += " sha256 " + q.SHA256
	}
	if q.Near != nil {
		name += " near " + q.Near.String()
	}
	for _, f := range q.Meta {
		name += "\n" + f.String()
	}
	return text.Hash(name)[:32]
}

// token returns the continuation token of the page after a position.
func (q Query) token(account string, last position) string {
	at := strconv.FormatInt(last.uploaded, 10)
	if q.named() {
		at = base64.RawURLEncoding.EncodeToString([]byte(last.name))
	}
	return base64.RawURLEncoding.EncodeToString([]byte(at + "." + last.key + "." + q.listName(account)))
}

// begin returns the position after which the page begins, nil at the beginning.
func (q Query) begin(account string) (*position, error) {
	if q.Token == "" {
		return nil, nil
	}
	plain, err := base64.RawURLEncoding.Strict().DecodeString(q.Token)
	parts := strings.Split(string(plain), ".")
	if err != nil || len(parts) != 3 || !text.IsKey(parts[1]) {
		return nil, errToken
	}
	if parts[2] != q.listName(account) {
		return nil, errs.Errorf(errs.Invalid, "The continuation_token is of another list: send it with the "+
			"same account, sort_order, creator, draft, prefix, filename, sha256, near, distance "+
			"and filters as the request that gave it")
	}
	p := &position{key: parts[1]}
	if q.named() {
		var name []byte
		name, err = base64.RawURLEncoding.Strict().DecodeString(parts[0])
		p.name = string(name)
	} else {
		p.uploaded, err = strconv.ParseInt(parts[0], 10, 64)
	}
	if err != nil || !utf8.ValidString(p.name) {
		return nil, errToken
	}
	return p, nil
}

var errToken = errs.Errorf(errs.Invalid, "The continuation_token is not valid: "+
	"it must be one that the last page gave")
