package cfapi

import (
	"time"

	"calotype/internal/images"
)

// A Receipt lists the data that an erasure found and removed, and the data that is due: our extension.
type Receipt struct {
	Erasure  string  `json:"erasure"`  // its id
	Complete bool    `json:"complete"` // no image or draft is left; else repeat the request
	Began    string  `json:"began"`
	Ended    *string `json:"ended"` // null until it is complete
	Found    Found   `json:"found"`
	Removed  Removed `json:"removed"`
	Due      []Due   `json:"due"` // never null
	// Beyond names copies that the server cannot delete.
	Beyond []string `json:"beyond"`
}

// Found counts the images, drafts and bytes whose rows were deleted.
type Found struct {
	Images int64 `json:"images"`
	Drafts int64 `json:"drafts"`
	Bytes  int64 `json:"bytes"` // of originals
}

// Removed counts the data that was deleted with the rows.
type Removed struct {
	Originals  int64 `json:"originals"`
	Renditions int64 `json:"renditions"` // on the node that served the request
	Parts      int64 `json:"parts"`      // uploads in progress there
}

// Due is data that is still to be deleted, with a time limit.
type Due struct {
	What  string `json:"what"`
	Count *int64 `json:"count,omitempty"` // absent if it is not known
	By    string `json:"by"`
}

// dueTime is the time after the end of an erasure within which its data is deleted, unless the store
// fails; an upload by the API may be in progress for this time.
const dueTime = time.Hour

// beyond is a part of every receipt.
var beyond = []string{
	"backups: erase again after a restore",
	"browsers and CDNs that keep a delivered picture for as long as Cache-Control allows",
	"PostgreSQL keeps deleted rows until it vacuums, and in its write-ahead log and archives",
	"the blob store's own versions of deleted objects, and what a disk keeps in blocks set free",
}

// NewReceipt returns the wire form of a receipt at the time now.
func NewReceipt(r images.Receipt, now time.Time) Receipt {
	wire := Receipt{
		Erasure: r.Key, Complete: !r.Ended.IsZero(), Began: r.Began.Format(TimeFormat),
		Found: Found{Images: r.Images, Drafts: r.Drafts, Bytes: r.Bytes},
		Removed: Removed{
			Originals: r.Images - r.OriginalsDue, Renditions: r.Renditions, Parts: r.Uploads,
		},
		Due: []Due{}, Beyond: beyond,
	}
	if !wire.Complete {
		return wire
	}
	wire.Ended = new(r.Ended.Format(TimeFormat))
	by := r.Ended.Add(dueTime)
	if r.OriginalsDue > 0 {
		wire.Due = append(wire.Due, Due{"originals that the blob store refused to delete; they are " +
			"tried every minute", &r.OriginalsDue, by.Format(TimeFormat)})
	}
	if !r.Scrubbed {
		wire.Due = append(wire.Due, Due{What: "copies of the rows in SQLite's files, which are " +
			"rebuilt once a day; too large a database when the operator runs calotype scrub",
			By: r.Rebuild.Add(dueTime).Format(TimeFormat)})
	}
	if now.Before(by) {
		wire.Due = append(wire.Due,
			Due{What: "renditions on other nodes, which look every 10 seconds",
				By: by.Format(TimeFormat)},
			Due{What: "the bytes of uploads in flight, which are refused at their end",
				By: r.Mark.Add(dueTime).Format(TimeFormat)})
	}
	return wire
}
