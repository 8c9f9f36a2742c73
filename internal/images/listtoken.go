package images

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// A position is a place in the order of lists.
type position struct {
	uploaded int64 // microseconds
	key      string
}

func positionOf(img Image) position { return position{micros(img.Uploaded), img.Key} }

// listName tells lists apart: of which account, in which order, of which images. A token of one is
// of no use in another, where its position would skip images, or list them twice.
func (q ListQuery) listName(account string) string {
	creator := "any"
	if q.Creator != nil {
		creator = strconv.Quote(*q.Creator)
	}
	name := fmt.Sprintf("%q %v %s", account, q.Ascending, creator)
	for _, f := range q.Meta {
		name += "\n" + f.String()
	}
	return hashHex(name)[:32]
}

// token returns the continuation token of the page behind a position.
func (q ListQuery) token(account string, last position) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%s.%s",
		last.uploaded, last.key, q.listName(account)))
}

// begin returns the position behind which the page begins, nil at the beginning.
func (q ListQuery) begin(account string) (*position, error) {
	if q.Token == "" {
		return nil, nil
	}
	plain, err := base64.RawURLEncoding.Strict().DecodeString(q.Token)
	parts := strings.Split(string(plain), ".")
	if err != nil || len(parts) != 3 || !isKey(parts[1]) {
		return nil, errToken
	}
	uploaded, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return nil, errToken
	}
	if parts[2] != q.listName(account) {
		return nil, Errorf(Invalid, "The continuation_token is of another list: send it with the "+
			"same account, sort_order, creator and filters as the request that gave it")
	}
	return &position{uploaded, parts[1]}, nil
}

var errToken = Errorf(Invalid, "The continuation_token is not valid: "+
	"it must be one that the last page gave")
