package webhooks

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// A Webhook is a subscriber of events: a receiver at a URL, which Cloudflare calls a destination, or a
// stream, whose client claims them.
type Webhook struct {
	ID      string // 32 hex digits
	Account string
	Stream  bool
	Name    string
	URL     string      // "" of a stream
	Secret  string      // sent unchanged in a header; "" for none
	Events  []EventType // the subscribed types
	Created time.Time

	// SigningKeys are the keys that sign messages, in base64: the present key, and for a day after its change
	// the previous one.
	SigningKeys []string

	LastSuccess, LastFailure time.Time // zero: never
	Paused                   time.Time // zero: not paused
	PauseReason              string
	Failing                  bool // the last attempt failed
}

const (
	// MaxWebhooks bounds the webhooks of an account that are not streams, MaxStreams its streams.
	MaxWebhooks = 50
	MaxStreams  = 10

	maxWebhookName   = 255 // characters
	maxStreamName    = 100
	maxWebhookURL    = 2048
	maxWebhookSecret = 1024

	keyOverlap = 24 * time.Hour // the time for which the previous signing key signs too
)

var (
	errNoWebhook = errs.Errorf(errs.WebhookNotFound, "Webhook destination not found")
	errNoStream  = errs.Errorf(errs.WebhookNotFound, "Stream not found: open it first")
)

// A WebhookChange has a client's fields of a new or changed webhook. A nil field was not given.
type WebhookChange struct {
	Name, URL *string
	Secret    *string // "" for none
	Events    []EventType

	// SigningKey is the key of a new webhook, as in Webhook.SigningKeys; "" for a random one.
	SigningKey string
	// Untested creates a webhook that is paused until its receiver passes a test, so that the receiver can
	// get the signing secret first.
	Untested bool
}

// untestedReason is the reason of the pause of an untested webhook.
const untestedReason = "its receiver has not accepted a test event yet"

// A Test sends a test event to a webhook. If it returns an error, the caller does not store the webhook.
type Test func(context.Context, Webhook) error

// Create adds a webhook after its receiver has passed the test. It skips the test if test is nil or c is Untested.
// Errors: Invalid, LimitReached, AccountSuspended, AccountUnknown, NoSpace, and those of the test.
func (s *Service) Create(
	ctx context.Context, account string, c WebhookChange, test Test,
) (Webhook, error) {
	return s.create(ctx, account, c, test, false)
}

// create creates a webhook, and a policy of the same name for it if subscribed is true.
func (s *Service) create(
	ctx context.Context, account string, c WebhookChange, test Test, subscribed bool,
) (Webhook, error) {
	if err := s.accounts.CheckSpace(); err != nil {
		return Webhook{}, err
	}
	w, err := s.newWebhook(ctx, account, c, test)
	if err != nil {
		return Webhook{}, err
	}
	if err := s.insertWebhook(ctx, w, subscribed); err != nil {
		return Webhook{}, err
	}
	return w, nil
}

// newWebhook returns a valid webhook with new ids and keys, after its test.
func (s *Service) newWebhook(
	ctx context.Context, account string, c WebhookChange, test Test,
) (Webhook, error) {
	w := Webhook{
		ID: text.NewHexID(), Account: account, Created: sqldb.FromMicros(sqldb.Micros(s.now())),
		Events: DefaultEvents, SigningKeys: []string{cmp.Or(c.SigningKey, newWebhookKey())},
	}
	if err := w.change(c); err != nil {
		return w, err
	}
	if c.Untested {
		w.Paused, w.PauseReason = w.Created, untestedReason
		return w, nil
	}
	if test != nil {
		return w, test(ctx, w)
	}
	return w, nil
}

func newWebhookKey() string {
	key := make([]byte, 32)
	rand.Read(key)
	return base64.StdEncoding.EncodeToString(key)
}

// change applies the given fields and checks the result. Error: Invalid.
func (w *Webhook) change(c WebhookChange) error {
	set(&w.Name, c.Name)
	set(&w.Secret, c.Secret)
	set(&w.URL, c.URL)
	if c.Events != nil {
		w.Events = c.Events
	}
	most := maxWebhookName
	if w.Stream {
		most = maxStreamName
	}
	switch {
	case w.Name == "" || utf8.RuneCountInString(w.Name) > most || !text.IsPlain(w.Name):
		return errs.Errorf(errs.Invalid, "name must be 1 to %d characters of plain text", most)
	case len(w.Secret) > maxWebhookSecret || !isHeaderValue(w.Secret):
		return errs.Errorf(errs.Invalid, "secret must be at most %d visible ASCII characters, as it is sent "+
			"in a header", maxWebhookSecret)
	case len(w.Events) == 0:
		return errs.Errorf(errs.Invalid, "events must name one type or more: %s", eventTypeList())
	}
	for _, e := range w.Events {
		if !slices.Contains(EventTypes, e) {
			return errs.Errorf(errs.Invalid, "events: %.80q is not a type; the types are %s", e, eventTypeList())
		}
	}
	if w.Stream {
		return nil
	}
	_, err := webhookURL(w.URL)
	return err
}

// set sets *to to *value, unless value is nil.
func set[T any](to *T, value *T) {
	if value != nil {
		*to = *value
	}
}

// isHeaderValue reports whether s can be a header's value without changes.
func isHeaderValue(s string) bool {
	return strings.Trim(s, " ") == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// webhookURL parses the URL of a webhook. Its errors do not quote it: a URL may hold a secret.
func webhookURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || len(address) > maxWebhookURL || u.Hostname() == "" ||
		u.Scheme != "http" && u.Scheme != "https":
		return nil, errs.Errorf(errs.Invalid, "url must be like https://example.com/hook, of at most %d "+
			"characters", maxWebhookURL)
	case u.User != nil:
		return nil, errs.Errorf(errs.Invalid, "url must not hold a user or password: give a secret, which is "+
			"sent in the header cf-webhook-auth")
	}
	return u, nil
}

// insertWebhook inserts a webhook or stream within the limits of its account, and its policy if subscribed is true.
func (s *Service) insertWebhook(ctx context.Context, w Webhook, subscribed bool) error {
	err := s.accounts.Change(ctx, func(tx *accounts.Change) error {
		if err := tx.Lock(w.Account); err != nil {
			return err
		}
		if err := w.insert(tx); err != nil {
			return err
		}
		if subscribed {
			if err := subscribe(tx, w); err != nil {
				return err
			}
		}
		tx.Charge(w.Account, accounts.Charge{KeptTimes: 1, Coming: accounts.KeptByOne})
		return nil
	})
	if err != nil {
		return fmt.Errorf("making a webhook: %w", err)
	}
	return nil
}

// insert inserts a webhook or stream. The account must be locked. Error: LimitReached at MaxWebhooks or MaxStreams.
func (w Webhook) insert(tx *accounts.Change) error {
	kind, most := "webhook", MaxWebhooks
	if w.Stream {
		kind, most = "stream", MaxStreams
	}
	made, err := tx.Exec(`INSERT INTO webhooks (id, account, kind, name, url, secret, events,
		signing_key, previous_key, previous_until, created, paused, pause_reason, seen)
		SELECT CAST(?1 AS TEXT), CAST(?2 AS TEXT), CAST(?3 AS TEXT), CAST(?4 AS TEXT),
			CAST(?5 AS TEXT), CAST(?6 AS TEXT), CAST(?7 AS TEXT), CAST(?8 AS TEXT), '', 0,
			CAST(?9 AS BIGINT), CAST(?11 AS BIGINT), CAST(?12 AS TEXT), CAST(?9 AS BIGINT)
		WHERE (SELECT count(*) FROM webhooks WHERE account = ?2 AND kind = ?3)
			< CAST(?10 AS BIGINT)
		ON CONFLICT DO NOTHING`,
		w.ID, w.Account, kind, w.Name, w.URL, w.Secret, joinEvents(w.Events),
		w.SigningKeys[0], sqldb.Micros(w.Created), most, sqldb.NullMicros(w.Paused), w.PauseReason)
	if err == nil && made == 0 {
		err = errs.Errorf(errs.LimitReached, "The account has %d of these already, which is the limit: "+
			"delete one first", most)
	}
	return err
}

// Update changes a webhook. If the URL changes or the webhook is paused, its receiver must pass the test, and the
// pause ends; a nil test is skipped, and the pause continues. A secret is never sent to a host for which the client
// did not give it: a change of the host must include the secret, or an empty one. In other changes an empty secret
// counts as not given, because some clients send one with every change. Errors: WebhookNotFound, Invalid, and those
// of the test.
func (s *Service) Update(
	ctx context.Context, account, id string, c WebhookChange, test Test,
) (Webhook, error) {
	old, err := s.ByID(ctx, account, id)
	if err != nil {
		return Webhook{}, err
	}
	w := old
	if c.Secret != nil && *c.Secret == "" && (c.URL == nil || sameHost(old.URL, *c.URL)) {
		c.Secret = nil
	}
	if err := w.change(c); err != nil {
		return Webhook{}, err
	}
	if old.Secret != "" && c.Secret == nil && !sameHost(old.URL, w.URL) {
		return Webhook{}, errs.Errorf(errs.Invalid, "the url leads to another host: give secret again, or an "+
			"empty one, so that no secret reaches a host that it was not meant for")
	}
	tested := test != nil && (w.URL != old.URL || !w.Paused.IsZero())
	if tested {
		if err := test(ctx, w); err != nil {
			return Webhook{}, err
		}
		w.Paused, w.PauseReason, w.Failing = time.Time{}, "", false
	}
	// The row must still have the URL and the secret that were checked. Without a test a pause that has begun
	// concurrently is unchanged. After a test the failures of the old URL do not count for the new one.
	changed, err := s.accounts.Exec(ctx, `UPDATE webhooks SET name = ?3, url = ?4, secret = ?5, events = ?6,
		paused = CASE WHEN ?7 = 1 THEN NULL ELSE paused END,
		pause_reason = CASE WHEN ?7 = 1 THEN '' ELSE pause_reason END,
		failing_since = CASE WHEN ?7 = 1 THEN NULL ELSE failing_since END
		WHERE account = ?1 AND id = ?2 AND kind = 'webhook' AND url = ?8 AND secret = ?9`,
		account, id, w.Name, w.URL, w.Secret, joinEvents(w.Events), sqldb.BoolInt(tested), old.URL, old.Secret)
	if err != nil {
		return Webhook{}, fmt.Errorf("changing a webhook: %w", err)
	}
	if changed == 0 {
		return Webhook{}, errs.Errorf(errs.WebhookNotFound, "Webhook destination not found: it was changed "+
			"by another request")
	}
	return w, nil
}

func sameHost(a, b string) bool {
	ua, _ := url.Parse(a)
	ub, _ := url.Parse(b)
	return ua != nil && ub != nil && ua.Scheme == ub.Scheme && strings.EqualFold(ua.Host, ub.Host)
}

// Resume ends the pause of a webhook and wakes the notifier, which sends the pending deliveries. The caller has
// tested the receiver. Error: WebhookNotFound.
func (s *Service) Resume(ctx context.Context, account, id string) error {
	if !text.IsPlain(id) {
		return errNoWebhook
	}
	err := s.accounts.Change(ctx, func(tx *accounts.Change) error {
		s.wakeNotifier(tx)
		changed, err := tx.Exec(`UPDATE webhooks SET paused = NULL, pause_reason = '',
			failing_since = NULL, last_success = ?3 WHERE account = ?1 AND id = ?2`,
			account, id, sqldb.Micros(s.now()))
		if err == nil && changed == 0 {
			err = errNoWebhook
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("resuming a webhook: %w", err)
	}
	return nil
}

// RotateKey replaces the signing key of a webhook by a random one, and returns the webhook. For a day the previous
// key signs messages too. Error: WebhookNotFound.
func (s *Service) RotateKey(ctx context.Context, account, id string) (Webhook, error) {
	if !text.IsPlain(id) {
		return Webhook{}, errNoWebhook
	}
	changed, err := s.accounts.Exec(ctx, `UPDATE webhooks SET previous_key = signing_key,
		previous_until = ?3, signing_key = ?4 WHERE account = ?1 AND id = ?2 AND kind = 'webhook'`,
		account, id, sqldb.Micros(s.now().Add(keyOverlap)), newWebhookKey())
	if err != nil {
		return Webhook{}, fmt.Errorf("changing the signing key of a webhook: %w", err)
	}
	if changed == 0 {
		return Webhook{}, errNoWebhook
	}
	return s.ByID(ctx, account, id)
}

// OpenStream returns the stream with a name, and creates it if it does not exist. The stream gets the events that
// are recorded after its creation, until EndStreams deletes it. OpenStream of an existing stream sets its event types,
// and makes its failed deliveries and pending retries due. A nil events means all types. Errors: Invalid,
// LimitReached, AccountSuspended, AccountUnknown, NoSpace; WebhookNotFound if the stream is deleted concurrently.
func (s *Service) OpenStream(
	ctx context.Context, account, name string, events []EventType,
) (Webhook, error) {
	w := Webhook{
		ID: text.NewHexID(), Account: account, Stream: true, Created: sqldb.FromMicros(sqldb.Micros(s.now())),
		SigningKeys: []string{newWebhookKey()},
	}
	if events == nil {
		events = EventTypes
	}
	if err := w.change(WebhookChange{Name: &name, Events: events}); err != nil {
		return Webhook{}, err
	}
	there := func() (Webhook, error) {
		return scanWebhook(s.db.QueryRow(ctx, selectWebhook+
			` WHERE account = ?1 AND kind = 'stream' AND name = ?2`, account, name), s.now())
	}
	changed, err := s.accounts.Exec(ctx, `UPDATE webhooks SET seen = ?3, events = ?4
		WHERE account = ?1 AND kind = 'stream' AND name = ?2`,
		account, name, sqldb.Micros(s.now()), joinEvents(w.Events))
	if err != nil {
		return Webhook{}, fmt.Errorf("opening a stream: %w", err)
	}
	if changed == 0 {
		err := s.accounts.CheckSpace()
		if err == nil {
			err = s.insertWebhook(ctx, w, false)
		}
		if err != nil {
			// Another call may have created it concurrently.
			if found, reading := there(); reading == nil {
				return found, nil
			}
			return Webhook{}, err
		}
	}
	found, err := there()
	if err == nil && changed > 0 {
		// Its client is back, so no retry needs to wait.
		_, _, err = s.replay(ctx, account, ReplayQuery{Webhook: found.ID, Failed: true}, math.MaxInt)
	}
	return found, sqldb.RowError("opening a stream", err, errNoStream)
}

// Stream returns the stream with a name for a claim, and records the time of the claim, to a minute. Error:
// WebhookNotFound.
func (s *Service) Stream(ctx context.Context, account, name string) (Webhook, error) {
	if !text.IsPlain(name) {
		return Webhook{}, errNoStream
	}
	_, err := s.accounts.ExecInReserve(ctx, `UPDATE webhooks SET seen = ?3
		WHERE account = ?1 AND kind = 'stream' AND name = ?2 AND seen < ?4`,
		account, name, sqldb.Micros(s.now()), sqldb.Micros(s.now().Add(-time.Minute)))
	if err != nil {
		return Webhook{}, fmt.Errorf("finding a stream: %w", err)
	}
	w, err := scanWebhook(s.db.QueryRow(ctx, selectWebhook+
		` WHERE account = ?1 AND kind = 'stream' AND name = ?2`, account, name), s.now())
	return w, sqldb.RowError("reading a stream", err, errNoStream)
}

// ByID returns a webhook that is not a stream. Error: WebhookNotFound.
func (s *Service) ByID(ctx context.Context, account, id string) (Webhook, error) {
	if !text.IsPlain(id) {
		return Webhook{}, errNoWebhook
	}
	w, err := scanWebhook(s.db.QueryRow(ctx, selectWebhook+
		` WHERE account = ?1 AND id = ?2 AND kind = 'webhook'`, account, id), s.now())
	return w, sqldb.RowError("reading a webhook", err, errNoWebhook)
}

// All returns the webhooks of an account that are not streams, oldest first.
func (s *Service) All(ctx context.Context, account string) ([]Webhook, error) {
	return s.webhooksOf(ctx, account, "webhook")
}

// Streams returns the streams of an account, oldest first.
func (s *Service) Streams(ctx context.Context, account string) ([]Webhook, error) {
	return s.webhooksOf(ctx, account, "stream")
}

func (s *Service) webhooksOf(ctx context.Context, account, kind string) ([]Webhook, error) {
	scan := func(r sqldb.Row) (Webhook, error) { return scanWebhook(r, s.now()) }
	all, err := sqldb.Select(s.db.Reader(ctx), scan, selectWebhook+` WHERE account = ?1 AND kind = ?2
		ORDER BY created, id`, account, kind)
	if err != nil {
		return nil, fmt.Errorf("reading the webhooks: %w", err)
	}
	return all, nil
}

const (
	webhookColumns = `id, account, kind, name, url, secret, events, signing_key, previous_key, previous_until,
		created, last_success, last_failure, failing_since, paused, pause_reason`
	selectWebhook = `SELECT ` + webhookColumns + ` FROM webhooks`
)

// scanWebhook scans webhookColumns and further columns.
func scanWebhook(r sqldb.Row, now time.Time, more ...any) (w Webhook, err error) {
	var (
		kind, events, key, previous        string
		until, created                     int64
		success, failure, failing, pausing sql.NullInt64
	)
	err = r.Scan(append([]any{&w.ID, &w.Account, &kind, &w.Name, &w.URL, &w.Secret, &events, &key, &previous,
		&until, &created, &success, &failure, &failing, &pausing, &w.PauseReason}, more...)...)
	if err != nil {
		return Webhook{}, err
	}
	w.Stream, w.Events, w.SigningKeys = kind == "stream", splitEvents(events), []string{key}
	if previous != "" && sqldb.Micros(now) < until {
		w.SigningKeys = append(w.SigningKeys, previous)
	}
	w.Created, w.Failing = sqldb.FromMicros(created), failing.Valid
	w.LastSuccess, w.LastFailure = sqldb.OptionalTime(success), sqldb.OptionalTime(failure)
	w.Paused = sqldb.OptionalTime(pausing)
	return w, nil
}
