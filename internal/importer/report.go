package importer

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/images"
	"calotype/internal/terminal"
)

// maxProblems limits the images that a report lists; Omitted counts further ones.
const maxProblems = 100_000

// An Outcome is the kind of a difference from the source.
type Outcome string

// The outcomes.
const (
	Refused Outcome = "refused" // it is not valid here; another run changes nothing
	Failed  Outcome = "failed"  // the import failed; another run may succeed
	Differs Outcome = "differs" // a different one exists here
	Reduced Outcome = "reduced" // it was imported without a part that is not valid here
)

// A Problem is one difference from the source.
type Problem struct {
	What    string  `json:"what"` // image, variant, variants, key, keys, config, or metadata of a file
	ID      string  `json:"id,omitempty"`
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason"`
}

// Counts are numbers of images. Exists, Refused, Failed, Differ and Reduced are of the last reading of the
// list, the others of the whole run.
type Counts struct {
	Exists   int   `json:"exists"` // as at the source
	Imported int   `json:"imported"`
	Updated  int   `json:"updated"`
	Refused  int   `json:"refused"`
	Failed   int   `json:"failed"`
	Differ   int   `json:"differ"`
	Reduced  int   `json:"reduced"`  // of the existing ones
	Gone     int   `json:"gone"`     // were deleted from the source during the import
	Bytes    int64 `json:"bytes"`    // of the imported ones
	Compared int   `json:"compared"` // imported ones that were compared with the source's SHA-256
	Skipped  int   `json:"skipped"`  // files that are not read: hidden ones, links
}

// A Report holds the results of an import, and the differences from the source. It holds no secrets.
type Report struct {
	Source   string         `json:"source"` // base of the API
	From     string         `json:"from"`   // account there; "" for files
	To       string         `json:"to"`     // account here
	Hash     string         `json:"hash"`   // of the account here
	Began    time.Time      `json:"began"`
	Ended    time.Time      `json:"ended"`
	Complete bool           `json:"complete"` // the list of the source was read to its end
	Settings map[string]int `json:"settings"` // numbers of imported variants, keys and config
	Images   Counts         `json:"images"`
	Notes    []string       `json:"notes"`
	Problems []Problem      `json:"problems"`
	Omitted  int            `json:"omitted"` // further problems
}

// String returns the report as a line for people.
func (r Report) String() string {
	c := r.Images
	text := fmt.Sprintf("%s here, %s of them imported now (%s)",
		terminal.Count(int64(c.Exists), "image exists", "images exist"), terminal.Number(int64(c.Imported)),
		terminal.Bytes(c.Bytes))
	for _, other := range []struct {
		n    int
		what string
	}{
		{c.Updated, "updated"}, {c.Refused, "refused"}, {c.Failed, "failed"},
		{c.Differ, "differ"}, {c.Reduced, "without a part of them"}, {c.Gone, "deleted at the source"},
		{c.Skipped, "skipped"},
	} {
		if other.n > 0 {
			text += ", " + terminal.Number(int64(other.n)) + " " + other.what
		}
	}
	return text
}

// A report collects a Report. Its methods are safe for concurrent use.
type report struct {
	mu       sync.Mutex
	r        Report
	round    int
	images   map[string]*imageProblem // by id
	settings []Problem
	hashes   map[string]bool
}

// An imageProblem is the problem of an image; a later round that finds it again updates it.
type imageProblem struct {
	Problem
	round int
}

// newReport returns the report of an import from an account of a source, or from a tree of files.
func newReport(source, from string, to accounts.Account) *report {
	return &report{
		r: Report{
			Source: source, From: from, To: to.ID, Hash: to.Hash,
			Began: time.Now().UTC(), Settings: map[string]int{}, Notes: []string{},
		},
		images: map[string]*imageProblem{}, hashes: map[string]bool{},
	}
}

// begin begins a reading of the list.
func (r *report) begin(round int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.round, r.r.Images.Exists = round, 0
}

// set records or updates the problem of an image. The first maxProblems are listed.
func (r *report) set(id string, outcome Outcome, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.images[id]; p != nil {
		p.Outcome, p.Reason, p.round = outcome, reason, r.round
		return
	}
	if len(r.images) >= maxProblems {
		r.r.Omitted++
		return
	}
	r.images[id] = &imageProblem{Problem{"image", id, outcome, reason}, r.round}
}

// refused reports whether the image was refused because of its content before.
func (r *report) refused(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.images[id]
	if p == nil || p.Outcome != Refused {
		return false
	}
	p.round = r.round
	return true
}

// ok deletes an image's problem, unless the problem is Reduced.
func (r *report) ok(id string) {
	r.r.Images.Exists++
	if p := r.images[id]; p != nil && p.Outcome != Reduced {
		delete(r.images, id)
	}
}

func (r *report) exists(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ok(id)
}

func (r *report) imported(i images.ImportedImage, size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ok(i.ID)
	r.r.Images.Imported++
	r.r.Images.Bytes += size
	if i.SHA256 != "" {
		r.r.Images.Compared++
	}
}

func (r *report) update(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ok(id)
	r.r.Images.Updated++
}

func (r *report) skip(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.r.Images.Skipped += n
}

func (r *report) setting(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.r.Settings[what]++
}

func (r *report) problem(what, id string, outcome Outcome, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settings = append(r.settings, Problem{what, id, outcome, reason})
}

func (r *report) note(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.r.Notes = append(r.r.Notes, text)
}

// isNewHash reports whether a hash of the source is new. Only the first 5 are reported.
func (r *report) isNewHash(hash string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hashes[hash] || len(r.hashes) >= 5 {
		return false
	}
	r.hashes[hash] = true
	return true
}

func (c *Counts) count(o Outcome) {
	switch o {
	case Refused:
		c.Refused++
	case Failed:
		c.Failed++
	case Differs:
		c.Differ++
	case Reduced:
		c.Reduced++
	}
}

// finish returns the complete report. Images that the last complete reading did not list count as Gone.
func (r *report) finish(complete bool) Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.r.Ended, r.r.Complete = time.Now().UTC(), complete
	r.r.Problems = slices.Clone(r.settings)
	for id, p := range r.images {
		if complete && p.round < r.round {
			r.r.Images.Gone++
			delete(r.images, id)
			continue
		}
		r.r.Images.count(p.Outcome)
		r.r.Problems = append(r.r.Problems, p.Problem)
	}
	slices.SortStableFunc(r.r.Problems[len(r.settings):], func(a, b Problem) int {
		return strings.Compare(a.ID, b.ID)
	})
	if r.r.Problems == nil {
		r.r.Problems = []Problem{}
	}
	return r.r
}
