// Package lookalikes finds pictures that are equal or look alike, and owns the list of pictures that an account
// refuses: the table blocked, whose entries are SHA-256 sums and perceptual hashes.
//
// index.go has the SQL by which near hashes are found, in the table images and in the table blocked.
package lookalikes

import (
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/phash"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// AccountTables are the tables of this package with a column account, in the order of their deletion.
var AccountTables = []string{"blocked"}

const (
	// MaxBlocked bounds the entries of an account.
	MaxBlocked = 10_000
	// MaxNote bounds the note of an entry, in characters.
	MaxNote = 200
	// MaxPage bounds a page of entries.
	MaxPage = 1000
)

// An Entry refuses the uploads of a picture: by its SHA-256, or by a perceptual hash within a distance.
type Entry struct {
	Value    string // SHA-256 or perceptual hash, in hex
	Distance int    // of a perceptual hash; else 0
	Note     string // of the account, not for uploaders
	Created  time.Time
}

var sha256Form = regexp.MustCompile(`^[0-9a-f]{64}$`)

// IsSHA256 reports whether a text is a SHA-256 in hex, with small letters.
func IsSHA256(text string) bool { return sha256Form.MatchString(text) }

// IsPhash reports whether the entry is a perceptual hash.
func (e Entry) IsPhash() bool { return len(e.Value) == phash.TextLength }

// Check returns nil or an Invalid error that names the valid values.
func (e Entry) Check() error {
	switch {
	case !IsSHA256(e.Value) && !isPhash(e.Value):
		return errBadValue
	case !e.IsPhash() && e.Distance != 0:
		return errs.Errorf(errs.Invalid, "distance is of a perceptual hash only: leave it out for a SHA-256")
	case e.Distance < 0 || e.Distance > phash.MaxDistance:
		return ErrDistance
	case utf8.RuneCountInString(e.Note) > MaxNote || !text.IsPlain(e.Note):
		return errs.Errorf(errs.Invalid, "note must be at most %d characters, without control characters", MaxNote)
	}
	return nil
}

// isPhash reports whether a text is a hash in the form that is stored.
func isPhash(given string) bool {
	h, err := phash.Parse(given)
	return err == nil && h.String() == given
}

var (
	errBadValue = errs.Errorf(errs.Invalid, "A blocked picture is named by its sha256, 64 hexadecimal digits, or by "+
		"its phash, 16 hexadecimal digits, with small letters")
	errNoEntry = errs.Errorf(errs.EntryNotFound, "Entry not found: the account does not block this value")
	// ErrDistance is the refusal of a distance.
	ErrDistance = errs.Errorf(errs.Invalid, "distance must be a whole number from 0 to %d", phash.MaxDistance)
)

// A Service has the lists of blocked pictures. It is safe for concurrent use.
type Service struct {
	db       *sqldb.DB
	accounts *accounts.Service
	now      func() time.Time
}

// New returns a Service.
func New(db *sqldb.DB, a *accounts.Service, now func() time.Time) *Service {
	return &Service{db: db, accounts: a, now: now}
}

const entryColumns = `value, distance, note, created`

func scanEntry(r sqldb.Row) (e Entry, err error) {
	var created int64
	err = r.Scan(&e.Value, &e.Distance, &e.Note, &created)
	e.Created = sqldb.FromMicros(created)
	return e, err
}

// Put adds an entry, or replaces the distance and the note of the entry with its value. It applies to every upload that
// is not committed yet. It returns the stored entry. Errors: Invalid, LimitReached, NoSpace, AccountUnknown.
func (s *Service) Put(ctx context.Context, account string, e Entry) (stored Entry, err error) {
	if err := e.Check(); err != nil {
		return Entry{}, err
	}
	var hash any
	if e.IsPhash() {
		if hash, err = Column(e.Value); err != nil {
			return Entry{}, err
		}
	}
	if err := s.accounts.CheckSpace(); err != nil {
		return Entry{}, err
	}
	err = s.accounts.Change(ctx, func(tx *accounts.Change) error {
		// With the account locked no upload of it commits: see Check.
		if err := tx.Lock(account); err != nil {
			return err
		}
		all, err := sqldb.Select(tx, scanEntry, `INSERT INTO blocked (account, value, phash, distance, note, created)
			SELECT CAST(?1 AS TEXT), CAST(?2 AS TEXT), CAST(?3 AS BIGINT), CAST(?4 AS INTEGER), CAST(?5 AS TEXT),
			CAST(?6 AS BIGINT)
			WHERE (SELECT count(*) FROM blocked WHERE account = ?1) < CAST(?7 AS BIGINT)
			OR EXISTS (SELECT 1 FROM blocked WHERE account = ?1 AND value = ?2)
			ON CONFLICT (account, value) DO UPDATE SET distance = excluded.distance, note = excluded.note
			RETURNING `+entryColumns,
			account, e.Value, hash, e.Distance, e.Note, sqldb.Micros(s.now()), MaxBlocked)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return errs.Errorf(errs.LimitReached, "The account blocks %d pictures already, which is the limit: "+
				"delete an entry first", MaxBlocked)
		}
		stored = all[0]
		tx.Scrub() // of a note that was replaced
		tx.Charge(account, accounts.Charge{Edits: 1})
		return nil
	})
	if err != nil {
		return Entry{}, fmt.Errorf("blocking a picture: %w", err)
	}
	return stored, nil
}

// Delete deletes the entry of a value. Errors: EntryNotFound, AccountUnknown, LimitReached.
func (s *Service) Delete(ctx context.Context, account, value string) error {
	if (Entry{Value: value}).Check() != nil {
		return errNoEntry
	}
	err := s.accounts.ChangeInReserve(ctx, func(tx *accounts.Change) error {
		if err := tx.Lock(account); err != nil {
			return err
		}
		gone, err := tx.Exec(`DELETE FROM blocked WHERE account = ?1 AND value = ?2`, account, value)
		if err == nil && gone == 0 {
			err = errNoEntry
		}
		if err != nil {
			return err
		}
		tx.Scrub() // of the note
		tx.Charge(account, accounts.Charge{Edits: 1})
		return nil
	})
	if err != nil {
		return fmt.Errorf("deleting a blocked picture: %w", err)
	}
	return nil
}

// A Query selects a page of entries.
type Query struct {
	Limit int    // 1 to MaxPage
	Token string // continuation token; "" is the beginning
	// Fits is called for each entry in order. The page ends before the first one that does not fit, but has
	// at least one.
	Fits func(Entry) bool
}

// A Page is a page of entries; Next is "" on the last one.
type Page struct {
	Entries []Entry
	Next    string
}

// List returns a page of entries, the newest first. An entry that exists during a whole listing is listed once. Error:
// Invalid.
func (s *Service) List(ctx context.Context, account string, q Query) (p Page, err error) {
	if q.Limit < 1 || q.Limit > MaxPage {
		return p, errs.Errorf(errs.Invalid, "per_page must be a number from 1 to %d", MaxPage)
	}
	after, args := ``, []any{account, q.Limit + 1}
	if q.Token != "" {
		created, value, err := position(q.Token)
		if err != nil {
			return p, err
		}
		after, args = ` AND (created, value) < (?3, ?4)`, append(args, created, value)
	}
	all, err := sqldb.Select(s.db.Reader(ctx), scanEntry, `SELECT `+entryColumns+` FROM blocked
		WHERE account = ?1`+after+` ORDER BY created DESC, value DESC LIMIT ?2`, args...)
	if err != nil {
		return p, fmt.Errorf("listing blocked pictures: %w", err)
	}
	for i, e := range all {
		if i == q.Limit || !q.Fits(e) && i > 0 {
			last := all[i-1]
			p.Next = base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%s", sqldb.Micros(last.Created),
				last.Value))
			break
		}
		p.Entries = append(p.Entries, e)
	}
	return p, nil
}

// position returns the position that a continuation token has.
func position(token string) (created int64, value string, err error) {
	plain, err := base64.RawURLEncoding.Strict().DecodeString(token)
	at, value, _ := strings.Cut(string(plain), ".")
	if err == nil {
		created, err = strconv.ParseInt(at, 10, 64)
	}
	if err != nil || !IsSHA256(value) && !isPhash(value) {
		return 0, "", errs.Errorf(errs.Invalid, "The continuation_token is not valid: it must be one that the last "+
			"page gave")
	}
	return created, value, nil
}

// A Picture has the values by which an upload may be blocked.
type Picture struct {
	SHA256, Received string // of the stored bytes, and of the bytes as they came
	Phash            string // "" for none
}

// Refuse returns Blocked if the list of an account has a picture. The transaction of an upload calls it with from as
// its Change while the account is locked: then each entry that was added before the commit is found.
func Refuse(from sqldb.Reader, account string, p Picture) error {
	bySum, err := sqldb.Exists(from, `blocked WHERE account = ?1 AND value IN (?2, ?3)`, account, p.SHA256, p.Received)
	if err != nil {
		return fmt.Errorf("looking for a blocked SHA-256: %w", err)
	}
	if bySum {
		return errs.Errorf(errs.Blocked, "The account does not accept this picture: it is on its list of "+
			"blocked pictures")
	}
	if p.Phash == "" {
		return nil
	}
	near, err := blockedNear(from, account, p.Phash)
	if err != nil {
		return fmt.Errorf("looking for a blocked look-alike: %w", err)
	}
	if near {
		return errs.Errorf(errs.Blocked, "The account does not accept this picture: it looks like one on its list of "+
			"blocked pictures")
	}
	return nil
}

// blockedNear reports whether an account blocks a perceptual hash. Most accounts have no such entry.
func blockedNear(from sqldb.Reader, account, hash string) (bool, error) {
	some, err := sqldb.Exists(from, `blocked WHERE account = ?1 AND (phash & 65535) >= 0`, account) // by an index
	if err != nil || !some {
		return false, err
	}
	h, err := phash.Parse(hash)
	if err != nil {
		return false, err
	}
	s := &sqldb.Builder{}
	of := s.Arg(account)
	distance := DistanceSQL(`CAST(` + s.Arg(int64(h)) + ` AS BIGINT)`)
	var arms []string
	for _, band := range Near(h, phash.MaxDistance) {
		arms = append(arms, `SELECT 1 FROM blocked m WHERE m.account = `+of+` AND `+band.In(s)+
			` AND `+distance+` <= m.distance`)
	}
	return sqldb.Exists(from, `(`+strings.Join(arms, ` UNION ALL `)+`) near`, s.Args...)
}
