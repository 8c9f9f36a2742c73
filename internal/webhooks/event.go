package webhooks

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"calotype/internal/accounts"
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
	DraftExpired    EventType = "image.draft.expired"    // a one-time URL that expired before it was used up
	ImageDeleted    EventType = "image.deleted"          // or a draft was cancelled
	ImageUpdated    EventType = "image.updated"
)

// EventTypes are all types. DefaultEvents are the types of a webhook whose client names no types.
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
	Image   string // its internal key
	Facts   Facts
	Erasure bool // the image was erased: Facts has its ID only, and the event is deleted after its delivery
	Repeat  bool // Record has each delivery repeated once after its success
}

// Facts are the state of an image or draft after an event, or before its deletion. They are stored as JSON, whose
// names never change, because the database has rows of older releases. Times are microseconds since 1970. Package
// images writes them, and images.ImageOf returns them as an Image.
type Facts struct {
	ID            string          `json:"id"`
	Custom        bool            `json:"custom,omitempty"`
	Filename      *string         `json:"filename,omitempty"`
	Meta          json.RawMessage `json:"meta,omitempty"`
	Creator       *string         `json:"creator,omitempty"`
	RequireSigned bool            `json:"requireSigned,omitempty"`
	Created       int64           `json:"created,omitempty"`
	Uploaded      int64           `json:"uploaded,omitempty"`
	Draft         *DraftFacts     `json:"draft,omitempty"`
	Original      *OriginalFacts  `json:"original,omitempty"`
	PreviousID    string          `json:"previousId,omitempty"` // of ImageUpdated: the old id; "" if it is unchanged
	DraftID       string          `json:"draftId,omitempty"`    // of UploadSucceeded: the id of the link, or ""
	Variants      []string        `json:"variants,omitempty"`   // names of the variants; nil: Record reads them
	Failure       *UploadFail     `json:"failure,omitempty"`    // of UploadFailed only
}

// DraftFacts are the facts of a draft and its one-time URL.
type DraftFacts struct {
	Expires  int64  `json:"expires"`
	Refusals int    `json:"refusals,omitempty"` // the number of refused bodies
	Uses     int    `json:"uses,omitempty"`     // of a link: accepted uploads that it allows
	Used     int    `json:"used,omitempty"`     // of a link: accepted uploads so far
	Kind     string `json:"kind,omitempty"`     // name of the last refusal's errs.Kind
	Message  string `json:"message,omitempty"`  // of the last refusal
	Policy   string `json:"policy,omitempty"`   // of the one-time URL, as JSON text
}

// OriginalFacts are the facts of an original.
type OriginalFacts struct {
	Format    imagefile.Format `json:"format"`
	Width     int              `json:"width"`
	Height    int              `json:"height"`
	Frames    int              `json:"frames"`
	Size      int64            `json:"size"` // bytes
	SHA256    string           `json:"sha256"`
	Thumbhash string           `json:"thumbhash,omitempty"`
	Phash     string           `json:"phash,omitempty"`
	Stripped  []string         `json:"stripped,omitzero"`  // what was removed before it was stored; nil: not looked for
	Received  string           `json:"received,omitempty"` // SHA-256 of the bytes as they came; "" if these are stored
}

// An UploadFail is the reason of a failed upload.
type UploadFail struct {
	Kind    string `json:"kind"`    // the name of an errs.Kind
	Message string `json:"message"` // as in the answer to the uploader
	Attempt int    `json:"attempt"` // refusals of this one-time URL so far
	Final   bool   `json:"final"`   // the one-time URL accepts no further upload
}

// A subscriber is a stream, or a webhook with an enabled policy. policy is "" for a stream.
type subscriber struct {
	webhook, policy, policyName string
	events                      []EventType
}

// subscribers returns the subscribed webhooks and streams of an account, each once.
func subscribers(tx *accounts.Change, account string) ([]subscriber, error) {
	all, err := sqldb.Select(tx, scanSubscriber, `SELECT w.id, w.events, COALESCE(p.id, ''), COALESCE(p.name, '')
		FROM webhooks w
		LEFT JOIN notification_targets t ON t.webhook = w.id
		LEFT JOIN notification_policies p ON p.id = t.policy AND p.enabled = 1
		WHERE w.account = ?1 AND (w.kind = 'stream' OR p.id IS NOT NULL)
		ORDER BY w.created, w.id, p.created, p.id`, account)
	if err != nil {
		return nil, fmt.Errorf("reading the subscribed webhooks: %w", err)
	}
	// If several policies name one webhook, it gets one message, named after the oldest policy.
	return slices.CompactFunc(all, func(a, b subscriber) bool { return a.webhook == b.webhook }), nil
}

func scanSubscriber(r sqldb.Row) (s subscriber, err error) {
	var events string
	err = r.Scan(&s.webhook, &events, &s.policy, &s.policyName)
	s.events = splitEvents(events)
	return s, err
}

// Record inserts events, each with one delivery for each of its subscribers, in the Change that makes the events
// happen. It stores no event without a subscriber. It sets ID and At of the stored events, and nil
// Facts.Variants, except of a draft or deletion. It calls Change.CountKept, and wakes the notifier after the commit.
func (s *Service) Record(tx *accounts.Change, events ...Event) error {
	of := map[string][]Event{}
	var order []string
	for _, e := range events {
		if of[e.Account] == nil {
			order = append(order, e.Account)
		}
		of[e.Account] = append(of[e.Account], e)
	}
	for _, account := range order {
		if err := s.record(tx, account, of[account]); err != nil {
			return fmt.Errorf("recording an event: %w", err)
		}
	}
	return nil
}

// record inserts events of one account.
func (s *Service) record(tx *accounts.Change, account string, events []Event) error {
	all, err := subscribers(tx, account)
	if err != nil || len(all) == 0 {
		return err
	}
	var variants []string
	var bytes int64
	for _, e := range events {
		to := slices.DeleteFunc(slices.Clone(all), func(s subscriber) bool {
			return !slices.Contains(s.events, e.Type)
		})
		if len(to) == 0 {
			continue
		}
		e.ID, e.At = newEventID(), s.now()
		if e.Facts.Draft == nil && e.Type != ImageDeleted && e.Facts.Variants == nil {
			if variants == nil {
				if variants, err = s.config.Variants(tx, account); err != nil {
					return err
				}
			}
			e.Facts.Variants = variants
		}
		written, err := insertEvent(tx, e, to)
		if err != nil {
			return err
		}
		bytes += written
	}
	tx.CountKept(account, bytes)
	s.wakeNotifier(tx)
	return nil
}

func newEventID() string { return "evt_" + text.NewKey() }

// insertEvent inserts an event with one delivery for each subscriber, and returns the bytes of the rows, for
// Change.CountKept.
func insertEvent(tx *accounts.Change, e Event, to []subscriber) (bytes int64, err error) {
	encoded, err := json.Marshal(e.Facts)
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(`INSERT INTO events (id, account, type, image, id_sha256, creator, created,
		erasure, facts) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)`,
		e.ID, e.Account, string(e.Type), e.Image, text.Hash(e.Facts.ID), e.Facts.Creator,
		sqldb.Micros(e.At), sqldb.BoolInt(e.Erasure), string(encoded))
	if err != nil {
		return 0, err
	}
	for _, s := range to {
		_, err := tx.Exec(`INSERT INTO deliveries (event, webhook, account, created, policy,
			policy_name, due, attempt, failures, outcome, repeats)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?4, 0, 0, 'pending', ?7)`,
			e.ID, s.webhook, e.Account, sqldb.Micros(e.At), s.policy, s.policyName, sqldb.BoolInt(e.Repeat))
		if err != nil {
			return 0, err
		}
	}
	return accounts.EventBytes + int64(len(encoded)) + accounts.DeliveryBytes*int64(len(to)), nil
}

// A factsError says that this release cannot read the JSON in the column facts of an event.
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
	var facts string
	err = r.Scan(&e.ID, &e.Account, &e.Type, &e.Image, &created, &e.Erasure, &facts)
	if err != nil {
		return e, err
	}
	e.At = sqldb.FromMicros(created)
	if err := json.Unmarshal([]byte(facts), &e.Facts); err != nil {
		return e, &factsError{e.ID, err}
	}
	return e, nil
}

// An Erased selects the events of erased images: the events of Images, and the events of a Creator or of the
// image with an ID.
type Erased struct {
	Account string
	Images  []string // internal keys of images that the same transaction deletes
	Creator string   // "" if ID is set
	ID      string   // "" if Creator is set
}

// EraseEvents deletes all events of q.Images, and at most most of the other events that q selects. It returns the
// number of the others. For an ID it also deletes the events that a deleted image had under an earlier id. The
// account must be locked.
func EraseEvents(tx *accounts.Change, q Erased, most int) (erased int, err error) {
	for _, key := range q.Images {
		if _, err := deleteEvents(tx, `image = ?1`, key); err != nil {
			return 0, err
		}
	}
	some := ` LIMIT ` + strconv.Itoa(most) + `)`
	if q.ID == "" {
		all, err := deleteEvents(tx, `id IN (SELECT id FROM events WHERE account = ?1
			AND creator = ?2`+some, q.Account, q.Creator)
		return all.events, err
	}
	// First the events of a deleted image under an earlier id, which only the events hold. An existing image
	// has its present id only.
	hash := text.Hash(q.ID)
	before, err := deleteEvents(tx, `id IN (SELECT id FROM events WHERE account = ?1
		AND erasure = 0 AND id_sha256 <> ?2 AND image IN (SELECT image FROM events
			WHERE account = ?1 AND id_sha256 = ?2 AND erasure = 0)
		AND NOT EXISTS (SELECT 1 FROM images WHERE key = events.image)`+some, q.Account, hash)
	if err != nil || before.events == most {
		return before.events, err
	}
	named, err := deleteEvents(tx, `id IN (SELECT id FROM events WHERE account = ?1
		AND id_sha256 = ?2 AND erasure = 0`+some, q.Account, hash)
	return before.events + named.events, err
}

// joinEvents returns the stored form of event types: sorted, without repeats, separated by spaces.
func joinEvents(types []EventType) string {
	all := make([]string, len(types))
	for i, t := range types {
		all[i] = string(t)
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " ")
}

// splitEvents returns the event types of their stored form.
func splitEvents(text string) (types []EventType) {
	for _, t := range strings.Fields(text) {
		types = append(types, EventType(t))
	}
	return types
}

func eventTypeList() string { return strings.ReplaceAll(joinEvents(EventTypes), " ", ", ") }
