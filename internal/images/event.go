package images

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// An EventType is the type of an event.
type EventType string

// The types. By default webhooks get the first two, and the others if they subscribe to them.
const (
	UploadSucceeded EventType = "image.upload.succeeded" // by a one-time URL
	UploadFailed    EventType = "image.upload.failed"    // a refusal that counts, or the end of a refused URL
	DraftExpired    EventType = "image.draft.expired"    // a one-time URL that expired unused
	ImageDeleted    EventType = "image.deleted"          // or a draft was cancelled
	ImageUpdated    EventType = "image.updated"
)

// EventTypes are all types. DefaultEvents are the types of a webhook without explicit ones.
var (
	EventTypes    = []EventType{UploadSucceeded, UploadFailed, DraftExpired, ImageDeleted, ImageUpdated}
	DefaultEvents = []EventType{UploadSucceeded, UploadFailed}
)

// An Event is a change of an image or draft, with its state at that time.
type Event struct {
	ID      string // the same in every attempt
	Account string // its ID
	Type    EventType
	At      time.Time
	// Image is the state after the event, or before a deletion. Its internal Key is set, the public
	// fields of its Original, and its Ticket if it was a draft. For an erasure only ID is set.
	Image      Image
	PreviousID string      // of ImageUpdated: the old id, "" if it is unchanged
	Variants   []string    // names of the account's variants at that time; nil for a draft and a deletion
	Failure    *UploadFail // of UploadFailed
	erasure    bool        // deleted after its delivery
}

// Erased reports whether the event is about an erased image, and so holds its id only.
func (e Event) Erased() bool { return e.erasure }

// An UploadFail is the reason of a failed upload.
type UploadFail struct {
	Kind    errs.Kind
	Message string // as in the answer to the uploader
	Attempt int    // refusals of this one-time URL so far
	Final   bool   // the one-time URL accepts no further upload
}

// facts is the JSON of an event in the database. Its names never change, because rows of older releases
// are read.
type facts struct {
	ID            string          `json:"id"`
	Custom        bool            `json:"custom,omitempty"`
	Filename      *string         `json:"filename,omitempty"`
	Meta          json.RawMessage `json:"meta,omitempty"`
	Creator       *string         `json:"creator,omitempty"`
	RequireSigned bool            `json:"requireSigned,omitempty"`
	Created       int64           `json:"created,omitempty"`
	Uploaded      int64           `json:"uploaded,omitempty"`
	Draft         *draftFacts     `json:"draft,omitempty"`
	Original      *originalFacts  `json:"original,omitempty"`
	PreviousID    string          `json:"previousId,omitempty"`
	Variants      []string        `json:"variants,omitempty"`
	Failure       *failFacts      `json:"failure,omitempty"`
}

type draftFacts struct {
	Expires  int64  `json:"expires"`
	Refusals int    `json:"refusals,omitempty"`
	Kind     string `json:"kind,omitempty"`
	Message  string `json:"message,omitempty"`
}

type originalFacts struct {
	Format    imagefile.Format `json:"format"`
	Width     int              `json:"width"`
	Height    int              `json:"height"`
	Frames    int              `json:"frames"`
	Size      int64            `json:"size"`
	SHA256    string           `json:"sha256"`
	Thumbhash string           `json:"thumbhash,omitempty"`
}

type failFacts struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	Attempt int    `json:"attempt"`
	Final   bool   `json:"final"`
}

func (e Event) facts() facts {
	img := e.Image
	f := facts{
		ID: img.ID, Custom: img.Custom, Filename: img.Filename, Meta: img.Meta,
		Creator: img.Creator, RequireSigned: img.RequireSignedURLs,
		PreviousID: e.PreviousID, Variants: e.Variants,
	}
	if e.erasure {
		return f
	}
	f.Created, f.Uploaded = sqldb.Micros(img.Created), sqldb.Micros(img.Uploaded)
	if t := img.Ticket; t != nil {
		f.Draft = &draftFacts{sqldb.Micros(t.Expires), t.Refusals, t.LastKind.String(), t.LastMessage}
	}
	if o := img.Original; o != nil {
		f.Original = &originalFacts{o.Header.Format, o.Width, o.Height, o.Header.Frames, o.Size,
			o.SHA256, o.Thumbhash}
	}
	if e.Failure != nil {
		f.Failure = &failFacts{e.Failure.Kind.String(), e.Failure.Message, e.Failure.Attempt,
			e.Failure.Final}
	}
	return f
}

// read is the reverse of facts.
func (e *Event) read(f facts) {
	e.Image = Image{
		Key: e.Image.Key, Account: e.Account, ID: f.ID, Custom: f.Custom, Filename: f.Filename,
		Meta: f.Meta, Creator: f.Creator, RequireSignedURLs: f.RequireSigned,
		Created: sqldb.FromMicros(f.Created), Uploaded: sqldb.FromMicros(f.Uploaded), Draft: f.Draft != nil,
	}
	e.PreviousID, e.Variants = f.PreviousID, f.Variants
	if d := f.Draft; d != nil {
		e.Image.Ticket = &Ticket{Expires: sqldb.FromMicros(d.Expires), Refusals: d.Refusals,
			LastKind: errs.KindNamed(d.Kind), LastMessage: d.Message}
	}
	if o := f.Original; o != nil {
		e.Image.Original = &Original{Width: o.Width, Height: o.Height, Size: o.Size,
			SHA256: o.SHA256, Thumbhash: o.Thumbhash,
			Header: imagefile.Header{Format: o.Format, Frames: o.Frames}}
	}
	if d := f.Failure; d != nil {
		e.Failure = &UploadFail{errs.KindNamed(d.Kind), d.Message, d.Attempt, d.Final}
	}
}

// A subscriber is a webhook that is matched by an enabled policy.
type subscriber struct {
	webhook, policy, policyName string
	events                      []EventType
}

// subscribers returns the subscribed webhooks of an account.
func subscribers(tx *accounts.Change, account string) ([]subscriber, error) {
	rows, err := tx.Query(`SELECT w.id, w.events, COALESCE(p.id, ''), COALESCE(p.name, '')
		FROM webhooks w
		LEFT JOIN notification_targets t ON t.webhook = w.id
		LEFT JOIN notification_policies p ON p.id = t.policy AND p.enabled = 1
		WHERE w.account = ?1 AND (w.kind = 'stream' OR p.id IS NOT NULL)
		ORDER BY w.created, w.id, p.created, p.id`, account)
	if err != nil {
		return nil, fmt.Errorf("reading the subscribed webhooks: %w", err)
	}
	all, err := sqldb.Collect(rows, func(r sqldb.Row) (s subscriber, err error) {
		var events string
		err = r.Scan(&s.webhook, &events, &s.policy, &s.policyName)
		s.events = splitEvents(events)
		return s, err
	})
	// If several policies name one webhook, it gets one message, named after the oldest policy.
	return slices.CompactFunc(all, func(a, b subscriber) bool { return a.webhook == b.webhook }), err
}

// record inserts events of one account, and one outbox row for each subscribed webhook, in the
// transaction that makes them happen. After its commit the notifier wakes.
func (s *Service) record(tx *accounts.Change, account string, events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	to, err := subscribers(tx, account)
	if err != nil || len(to) == 0 {
		return err
	}
	var variants []string
	var bytes int64
	for _, e := range events {
		told := slices.DeleteFunc(slices.Clone(to), func(s subscriber) bool {
			return !slices.Contains(s.events, e.Type)
		})
		if len(told) == 0 {
			continue
		}
		if !e.Image.Draft && e.Type != ImageDeleted && variants == nil {
			if variants, err = variantNames(tx, account); err != nil {
				return err
			}
		}
		e.ID, e.Account, e.At, e.Variants = newEventID(), account, s.now(), variants
		if e.Image.Draft || e.Type == ImageDeleted {
			e.Variants = nil
		}
		written, err := insertEvent(tx, e, told)
		if err != nil {
			return fmt.Errorf("recording an event: %w", err)
		}
		bytes += written
	}
	tx.Keep(account, bytes)
	s.wakeNotifier(tx)
	return nil
}

func newEventID() string { return "evt_" + text.NewKey() }

// variantNames returns the names of the account's variants, in the order of every answer.
func variantNames(tx *accounts.Change, account string) ([]string, error) {
	rows, err := tx.Query(`SELECT id FROM variants WHERE account = ?1`, account)
	if err != nil {
		return nil, fmt.Errorf("reading the names of variants: %w", err)
	}
	names, err := sqldb.Collect(rows, sqldb.ScanText)
	slices.Sort(names)
	return names, err
}

// insertEvent inserts an event with its deliveries, and returns their bytes.
func insertEvent(tx *accounts.Change, e Event, to []subscriber) (bytes int64, err error) {
	encoded, err := json.Marshal(e.facts())
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(`INSERT INTO events (id, account, type, image, id_sha256, creator, created,
		erasure, facts) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)`,
		e.ID, e.Account, string(e.Type), e.Image.Key, text.Hash(e.Image.ID), e.Image.Creator,
		sqldb.Micros(e.At), sqldb.BoolInt(e.erasure), string(encoded))
	if err != nil {
		return 0, err
	}
	for _, s := range to {
		_, err := tx.Exec(`INSERT INTO deliveries (event, webhook, account, created, policy,
			policy_name, due, attempt, failures, outcome)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?4, 0, 0, 'pending')`,
			e.ID, s.webhook, e.Account, sqldb.Micros(e.At), s.policy, s.policyName)
		if err != nil {
			return 0, err
		}
	}
	return accounts.EventBytes + int64(len(encoded)) + accounts.DeliveryBytes*int64(len(to)), nil
}

// A factsError says that the facts of an event are not what this release writes.
type factsError struct {
	event string
	err   error
}

func (e *factsError) Error() string {
	return fmt.Sprintf("reading the facts of event %s: %v", e.event, e.err)
}

func (e *factsError) Unwrap() error { return e.err }

const selectEvent = `SELECT id, account, type, image, created, erasure, facts FROM events`

func scanEvent(r sqldb.Row) (e Event, err error) {
	var created int64
	var text string
	err = r.Scan(&e.ID, &e.Account, &e.Type, &e.Image.Key, &created, &e.erasure, &text)
	if err != nil {
		return e, err
	}
	var f facts
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		return e, &factsError{e.ID, err}
	}
	e.At = sqldb.FromMicros(created)
	e.read(f)
	return e, nil
}

// deletions returns the events of deleted rows. Those of an erasure hold the id only.
func deletions(gone []deletedRow, erasure bool) (events []Event) {
	for _, d := range gone {
		e := Event{Type: ImageDeleted, Image: d.image, erasure: erasure}
		if erasure {
			e.Image = Image{Key: d.key, ID: d.image.ID, Draft: d.image.Draft}
		}
		events = append(events, e)
	}
	return events
}

// expirations returns the events of one-time URLs that have expired unused. If an upload was refused
// before, the failure is final now.
func expirations(drafts []Image) (events []Event) {
	for _, img := range drafts {
		events = append(events, Event{Type: DraftExpired, Image: img})
		if n := img.Ticket.Refusals; n > 0 && n < maxRefusals {
			events = append(events, Event{Type: UploadFailed, Image: img, Failure: &UploadFail{
				Kind: errs.TicketInvalid, Message: "Upload URL expired at " +
					img.Ticket.Expires.Format(time.RFC3339), Attempt: n, Final: true}})
		}
	}
	return events
}

// unreleased returns the drafts among deleted rows whose end has no event yet.
func unreleased(gone []deletedRow) (drafts []Image) {
	for _, d := range gone {
		if d.open {
			drafts = append(drafts, d.image)
		}
	}
	return drafts
}

// recordByAccount records events of several accounts.
func (s *Service) recordByAccount(tx *accounts.Change, events []Event) error {
	of := map[string][]Event{}
	var accounts []string
	for _, e := range events {
		if of[e.Image.Account] == nil {
			accounts = append(accounts, e.Image.Account)
		}
		of[e.Image.Account] = append(of[e.Image.Account], e)
	}
	for _, account := range accounts {
		if err := s.record(tx, account, of[account]...); err != nil {
			return err
		}
	}
	return nil
}

// eraseEvents deletes at most erasureStep events about erased images, and returns their number: of
// images that are being deleted, and of images that were deleted before. The account is locked.
func eraseEvents(
	tx *accounts.Change, account string, q ErasureQuery, gone []deletedRow,
) (erased int, err error) {
	for _, d := range gone {
		if _, err := deleteEvents(tx, `image = ?1`, d.key); err != nil {
			return 0, err
		}
	}
	some := ` LIMIT ` + fmt.Sprint(erasureStep) + `)`
	if q.ID == "" {
		all, err := deleteEvents(tx, `id IN (SELECT id FROM events WHERE account = ?1
			AND creator = ?2`+some, account, q.Creator)
		return all.events, err
	}
	// First the events of a deleted image under an earlier id, which only the events hold. An existing image
	// has its present id only.
	before, err := deleteEvents(tx, `id IN (SELECT id FROM events WHERE account = ?1
		AND erasure = 0 AND id_sha256 <> ?2 AND image IN (SELECT image FROM events
			WHERE account = ?1 AND id_sha256 = ?2 AND erasure = 0)
		AND NOT EXISTS (SELECT 1 FROM images WHERE key = events.image)`+some,
		account, text.Hash(q.ID))
	if err != nil || before.events == erasureStep {
		return before.events, err
	}
	named, err := deleteEvents(tx, `id IN (SELECT id FROM events WHERE account = ?1
		AND id_sha256 = ?2 AND erasure = 0`+some, account, text.Hash(q.ID))
	return before.events + named.events, err
}

func joinEvents(types []EventType) string {
	all := make([]string, len(types))
	for i, t := range types {
		all[i] = string(t)
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " ")
}

func splitEvents(text string) (types []EventType) {
	for _, t := range strings.Fields(text) {
		types = append(types, EventType(t))
	}
	return types
}

func eventTypeList() string { return strings.ReplaceAll(joinEvents(EventTypes), " ", ", ") }
