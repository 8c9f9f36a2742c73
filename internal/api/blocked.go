package api

import (
	"errors"
	"strconv"

	"calotype/internal/cfapi"
	"calotype/internal/lookalikes"
	"calotype/internal/phash"
	"calotype/internal/text"
)

// blockedPicture is an entry of the list of blocked pictures in an answer. The distance is of a phash only.
type blockedPicture struct {
	Value    string `json:"value"`
	Type     string `json:"type"` // sha256 or phash
	Distance *int   `json:"distance,omitempty"`
	Note     string `json:"note"`
	Created  string `json:"created"`
}

func newBlockedPicture(e lookalikes.Entry) blockedPicture {
	b := blockedPicture{Value: e.Value, Type: "sha256", Note: e.Note, Created: cfapi.FormatTime(e.Created)}
	if e.IsPhash() {
		b.Type, b.Distance = "phash", new(e.Distance)
	}
	return b
}

// blockedList is a page of the list; the token is null on the last one.
type blockedList struct {
	Blocked           cfapi.ItemsHere `json:"blocked"`
	ContinuationToken *string         `json:"continuation_token"`
}

const (
	blockedPage = 100 // default entries of a page
	// maxBlockedRow is an upper bound of an entry's memory, and blockedRow the memory of one without its note.
	maxBlockedRow = 2 << 10
	blockedRow    = 512
)

// listBlocked answers with a page of blocked pictures, the newest first.
func (a *api) listBlocked(c *call) (any, error) {
	values, err := listParameters(c.URL.RawQuery, "per_page", "continuation_token")
	if err != nil {
		return nil, err
	}
	q := lookalikes.Query{Token: values.Get("continuation_token")}
	if q.Limit, err = values.number("per_page", blockedPage, lookalikes.MaxPage); err != nil {
		return nil, err
	}
	p, err := openPage[lookalikes.Entry](c.Context(), a, c.account, a.bounds.token, int64(q.Limit), maxBlockedRow,
		blockedRow)
	if err != nil {
		return nil, err
	}
	defer p.close()
	q.Fits = func(e lookalikes.Entry) bool {
		return p.add(e, newBlockedPicture(e), 0, blockedRow+int64(len(e.Note)))
	}
	found, err := a.Core.Blocked.List(c.Context(), c.account, q)
	if err != nil || p.err != nil {
		return nil, errors.Join(err, p.err)
	}
	list := blockedList{}
	if found.Next != "" {
		list.ContinuationToken = &found.Next
	}
	return p.answer(list, func(e lookalikes.Entry) (any, error) { return newBlockedPicture(e), nil }), nil
}

// blockPicture adds a picture to the list, or changes its entry.
func (a *api) blockPicture(c *call) (any, error) {
	e, err := readForm(c, func(f form) (lookalikes.Entry, error) { return readBlocked(c.name, f) })
	if err != nil {
		return nil, err
	}
	stored, err := a.Core.Blocked.Put(c.Context(), c.account, e)
	return newBlockedPicture(stored), err
}

// readBlocked reads the fields of an entry with a value.
func readBlocked(value string, f form) (e lookalikes.Entry, err error) {
	e.Value = value
	note, err := f.text("note")
	if err != nil {
		return e, err
	}
	e.Note = deref(note)
	distance, err := f.one("distance")
	switch {
	case err != nil:
		return e, err
	case distance != nil:
		if e.Distance, err = strconv.Atoi(text.WholeNumber(distance.value())); err != nil {
			return e, lookalikes.ErrDistance
		}
	case e.IsPhash():
		e.Distance = phash.DefaultDistance
	}
	return e, nil
}

// unblockPicture deletes an entry of the list.
func (a *api) unblockPicture(c *call) (any, error) {
	return struct{}{}, a.Core.Blocked.Delete(c.Context(), c.account, c.name)
}
