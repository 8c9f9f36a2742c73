package importer

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
)

// maxProblems bounds the images that a report lists; beyond them only Omitted counts.
const maxProblems = 100_000

// An Outcome is why something of the source is not here as it is there.
type Outcome string

// The outcomes.
const (
	Refused Outcome = "refused" // it cannot be held here; another run changes nothing
	Failed  Outcome = "failed"  // it could not be brought; another run may bring it
	Differs Outcome = "differs" // it is here, and another
	Reduced Outcome = "reduced" // it is here, without a part that cannot be held
)

// A Problem is one thing that is not here as it is at the source.
type Problem struct {
	What    string  `json:"what"` // image, variant, variants, key, keys or config
	ID      string  `json:"id,omitempty"`
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason"`
}

// Counts are numbers of images. Of the last reading of the list: Here, Refused, Failed, Differ and
// Reduced; of the whole run: the others.
type Counts struct {
	Here     int   `json:"here"` // as they are at the source
	Brought  int   `json:"brought"`
	Updated  int   `json:"updated"`
	Refused  int   `json:"refused"`
	Failed   int   `json:"failed"`
	Differ   int   `json:"differ"`
	Reduced  int   `json:"reduced"`  // of those that are here
	Gone     int   `json:"gone"`     // were deleted from the source meanwhile
	Bytes    int64 `json:"bytes"`    // of those brought
	Compared int   `json:"compared"` // of those brought: with the SHA-256 that the source tells
}

// A Report says what an import has done, and what is not here as it is at the source. It holds no
// secrets.
type Report struct {
	Source   string         `json:"source"` // base of the API
	From     string         `json:"from"`   // account there
	To       string         `json:"to"`     // account here
	Hash     string         `json:"hash"`   // of the account here
	Began    time.Time      `json:"began"`
	Ended    time.Time      `json:"ended"`
	Complete bool           `json:"complete"` // the source was read to its end
	Settings map[string]int `json:"settings"` // variants, keys and config that are here
	Images   Counts         `json:"images"`
	Notes    []string       `json:"notes"`
	Problems []Problem      `json:"problems"`
	Omitted  int            `json:"omitted"` // further problems
}

// String is a line for a human.
func (r Report) String() string {
	c := r.Images
	text := fmt.Sprintf("%d images are here, %d of them brought now (%d MB)", c.Here, c.Brought,
		c.Bytes/1e6)
	for _, other := range []struct {
		n    int
		what string
	}{
		{c.Updated, "updated"}, {c.Refused, "refused"}, {c.Failed, "failed"},
		{c.Differ, "differ"}, {c.Reduced, "without a part of them"}, {c.Gone, "gone meanwhile"},
	} {
		if other.n > 0 {
			text += fmt.Sprintf(", %d %s", other.n, other.what)
		}
	}
	return text
}

// A report is a Report that grows. Its methods may be called at once.
type report struct {
	mu       sync.Mutex
	r        Report
	round    int
	images   map[string]*imageProblem // by id
	settings []Problem
	hashes   map[string]bool
}

// An imageProblem is what is the matter with an image; a round that sees it again renews it.
type imageProblem struct {
	Problem
	round int
}

func newReport(c Config) *report {
	return &report{
		r: Report{
			Source: c.Source.API, From: c.Source.Account, To: c.Account.ID, Hash: c.Account.Hash,
			Began: time.Now().UTC(), Settings: map[string]int{}, Notes: []string{},
		},
		images: map[string]*imageProblem{}, hashes: map[string]bool{},
	}
}

// begin begins a reading of the list.
func (r *report) begin(round int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.round, r.r.Images.Here = round, 0
}

// set notes a problem of an image, or renews it. The first ones are listed.
func (r *report) set(id string, outcome Outcome, reason string) {
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

func (r *report) refuse(id string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set(id, Refused, errs.AsError(err).Msg)
}

// refused reports whether the image was refused for its content before.
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

func (r *report) lose(id string, lost []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set(id, Reduced, strings.Join(lost, "; "))
}

func (r *report) differ(id, reason string, fields []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set(id, Differs, reason+" ("+strings.Join(fields, ", ")+")")
}

func (r *report) fail(id string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set(id, Failed, err.Error())
}

// ok forgets an image's problem, but for that it lost a part.
func (r *report) ok(id string) {
	r.r.Images.Here++
	if p := r.images[id]; p != nil && p.Outcome != Reduced {
		delete(r.images, id)
	}
}

func (r *report) have(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ok(id)
}

func (r *report) bring(i images.ImportedImage, size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ok(i.ID)
	r.r.Images.Brought++
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

// sawHash reports whether a hash of the source is seen for the first time. The first few count.
func (r *report) sawHash(hash string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hashes[hash] || len(r.hashes) >= 5 {
		return false
	}
	r.hashes[hash] = true
	return true
}

// snapshot returns the report so far, without its lists.
func (r *report) snapshot() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.r
	now.Notes, now.Settings = nil, nil
	for _, p := range r.images {
		now.Images.count(p.Outcome)
	}
	return now
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

// finish returns the whole report. What the last complete reading did not list is gone.
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
