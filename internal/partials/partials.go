// Package partials has the resumable uploads of the core. A Partial is an upload by a one-time URL whose bytes
// come in several requests, at any nodes. It knows the key of its draft, but neither tickets nor pictures: package
// images creates a Partial for a valid ticket, and makes the image of the complete bytes.
//
// The bytes that are received are parts: blobs of about a mebibyte with rows. Begin starts an Append, which has
// the lease of the Partial. The Append stores a part durably in the blob store, and then adds it in a transaction
// whose UPDATE requires the lease and the offset before the part. If another Append was first, the blob is deleted.
//
// One rule is for clients: the offset reaches the length only when the image is accepted, because clients take
// that for success. So the last bytes of an upload become no part. They are in the spool until the image is committed,
// and the client sends them once more if that fails.
package partials

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/blob"
	"calotype/internal/disk"
	"calotype/internal/errs"
	"calotype/internal/limit"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

const (
	// PartSize is the usual size of a part, in bytes.
	PartSize = 1 << 20
	// Lifetime is the time for which a Partial is open.
	Lifetime = 6 * time.Hour
	// Retention is the time for which the row of an ended Partial is stored.
	Retention = time.Hour

	maxParts     = 1000 // of a Partial
	endedOfDraft = 10   // stored rows of ended Partials of a draft, in addition to the newest one
	idleTime     = 5 * time.Minute
	rowBytes     = 4096 // of the row of an open Partial, besides its Metadata
)

// AccountTables are the tables of this package with rows of accounts, in the order of their deletion.
var AccountTables = []string{"partials", "partial_bytes"}

// Config configures a Service.
type Config struct {
	DB       *sqldb.DB
	Accounts *accounts.Service
	Blobs    blob.Store
	BlobKey  func() string // a new key of a blob
	// Background runs a function in a goroutine, for whose end the owner of the Service waits.
	Background func(func())
	Bodies     *limit.Pool // uploads in progress; by account
	Bytes      int64       // limit of the bytes of all open Partials
	Now        func() time.Time
	Log        *slog.Logger
}

// A Service stores Partials. It is safe for concurrent use.
type Service struct {
	Config
	spool *disk.Spool
	node  string // id of the data folder of this node

	deleting atomic.Int32 // deletions of parts in the background

	mu      sync.Mutex
	running map[string]*Append // by the key of the Partial
}

// New returns a Service. Begin needs Start first.
func New(c Config) *Service { return &Service{Config: c, running: map[string]*Append{}} }

// nodeFile in the data folder has the id of the node. A process that is started again on the folder takes over the
// leases of the killed one.
const nodeFile = "node"

// Start readies the service for appends, whose bytes are written to the spool. No other process may use dir.
func (s *Service) Start(spool *disk.Spool, dir string) error {
	path := filepath.Join(dir, nodeFile)
	id, err := os.ReadFile(path)
	s.spool, s.node = spool, strings.TrimSpace(string(id))
	if err == nil && text.IsKey(s.node) {
		return nil
	}
	s.node = text.NewKey()
	if err = os.WriteFile(path, []byte(s.node+"\n"), 0o600); err != nil && !errs.IsNoSpace(err) {
		return fmt.Errorf("writing the id of the node: %w", err)
	}
	return nil
}

// A Partial is the row of a resumable upload.
type Partial struct {
	Key         string
	Image       string // key of its draft
	Account     string
	Idempotency string // SHA-256 of the Idempotency-Key, hex; "" for none
	Filename    string
	Metadata    string // that its creation declared, for the client; "" for none
	Length      int64  // bytes; negative while unknown
	Received    int64  // bytes of its parts: the offset
	Parts       int
	Created     time.Time
	Expires     time.Time // then an open one ends, and the row of an ended one is deleted
	Ended       time.Time // zero while it is open
	Kind        errs.Kind // of the refusal, if it has ended without an image
	Message     string
	Result      string // key of the image; "" unless accepted

	key          sealKey // nil if the row was not read by its secret
	holder, node string
	until        time.Time
}

// charged returns the bytes that an open Partial counts for: those of its parts and of its row.
func (p *Partial) charged() int64 { return p.Received + rowBytes + int64(len(p.Metadata)) }

const columns = `key, image, account, COALESCE(idempotency, ''), filename, metadata, COALESCE(length, -1), received,
	parts, created, expires, ended, kind, message, COALESCE(result, ''), COALESCE(holder, ''), node, until`

func scan(r sqldb.Row) (p Partial, err error) {
	var created, expires, until int64
	var ended sql.NullInt64
	var kind string
	err = r.Scan(&p.Key, &p.Image, &p.Account, &p.Idempotency, &p.Filename, &p.Metadata, &p.Length, &p.Received,
		&p.Parts, &created, &expires, &ended, &kind, &p.Message, &p.Result, &p.holder, &p.node, &until)
	p.Created, p.Expires, p.until = sqldb.FromMicros(created), sqldb.FromMicros(expires), sqldb.FromMicros(until)
	p.Ended, p.Kind = sqldb.OptionalTime(ended), errs.KindNamed(kind)
	return p, err
}

// errUnknown refuses the secret of no Partial.
var errUnknown = errs.Errorf(errs.TicketUnknown, "Upload not found: it is unknown, has ended or was cancelled")

// BySecret returns the Partial of a secret. Error: TicketUnknown.
func (s *Service) BySecret(ctx context.Context, secret string) (Partial, error) {
	p, err := s.one(ctx, `secret`, text.Hash(secret))
	if err == nil {
		p.key, err = newSealKey(secret, p.Key)
	}
	return p, err
}

// ByKey returns the Partial of a key. Error: TicketUnknown.
func (s *Service) ByKey(ctx context.Context, key string) (Partial, error) {
	return s.one(ctx, `key`, key)
}

func (s *Service) one(ctx context.Context, column, value string) (Partial, error) {
	p, err := scan(s.DB.QueryRow(ctx, `SELECT `+columns+` FROM partials WHERE `+column+` = ?1`, value))
	return p, sqldb.RowError("reading a resumable upload", err, errUnknown)
}

// errTooMany refuses one more open Partial of a draft than most.
func errTooMany(most int) error {
	return &errs.Error{Kind: errs.TicketBusy, RetryAfter: idleTime,
		Msg: fmt.Sprintf("Too many uploads to this URL at once: %d resumable uploads are open, resume one of them",
			most)}
}

// Create inserts an open Partial without bytes, whose URL has the secret. The caller has locked the row of its draft,
// so that the number of open Partials of the draft cannot change concurrently. If the draft has most of them, the one
// without an append for the longest time, if that is idleTime, is deleted. Errors: TicketBusy; Busy.
func (s *Service) Create(tx *accounts.Change, p Partial, secret string, most int) error {
	now := sqldb.Micros(p.Created)
	idle, err := sqldb.Select(tx, scan, `DELETE FROM partials WHERE until < ?2 AND ended IS NULL AND key = (
		SELECT key FROM partials WHERE image = ?1 AND ended IS NULL AND until < ?2 AND (SELECT count(*) FROM partials
			WHERE image = ?1 AND ended IS NULL) >= ?3 ORDER BY until LIMIT 1) RETURNING `+columns,
		p.Image, sqldb.Micros(p.Created.Add(-idleTime)), most)
	if err == nil {
		_, err = s.discard(tx, idle, "")
	}
	if err != nil {
		return fmt.Errorf("deleting an idle resumable upload: %w", err)
	}
	var length any
	if p.Length >= 0 {
		length = p.Length
	}
	made, err := tx.Exec(`INSERT INTO partials (key, secret, image, account, idempotency, filename, length, received,
		parts, created, expires, node, until, kind, message, metadata)
		SELECT CAST(?1 AS TEXT), CAST(?2 AS TEXT), CAST(?3 AS TEXT), CAST(?4 AS TEXT), CAST(?5 AS TEXT),
			CAST(?6 AS TEXT), CAST(?7 AS BIGINT), 0, 0, CAST(?8 AS BIGINT), CAST(?9 AS BIGINT), '',
			CAST(?8 AS BIGINT), '', '', CAST(?11 AS TEXT)
		WHERE (SELECT count(*) FROM partials WHERE image = ?3 AND ended IS NULL) < ?10`,
		p.Key, text.Hash(secret), p.Image, p.Account, sqldb.NullText(p.Idempotency), p.Filename, length, now,
		sqldb.Micros(p.Expires), most, p.Metadata)
	if err != nil {
		return fmt.Errorf("creating a resumable upload: %w", err)
	}
	if made == 0 {
		return errTooMany(most)
	}
	return s.charge(tx, p.Account, p.charged())
}

// charge adds to the bytes that the open Partials of an account count for. As in the pool of the spool, an account may
// hold as many bytes as are free, so at most half of all. Only the account's row in partial_bytes is locked. So
// PostgreSQL may exceed the limit by the parts that other accounts add concurrently, at most one for each body in
// progress. A row of all accounts would be exact, but every part on every node would wait for it. Error: Busy.
func (s *Service) charge(tx *accounts.Change, account string, bytes int64) error {
	_, err := tx.Exec(`INSERT INTO partial_bytes (account, bytes) VALUES (?1, 0) ON CONFLICT DO NOTHING`, account)
	var charged int64
	if err == nil {
		charged, err = tx.Exec(`UPDATE partial_bytes SET bytes = bytes + CAST(?2 AS BIGINT) WHERE account = ?1
			AND bytes + CAST(?2 AS BIGINT) <= CAST(?3 AS BIGINT) - (SELECT sum(bytes) FROM partial_bytes)`,
			account, bytes, s.Bytes)
	}
	if err != nil {
		return fmt.Errorf("counting the bytes of resumable uploads: %w", err)
	}
	if charged == 0 {
		return errs.AtCapacity("Too many bytes of unfinished resumable uploads are stored", nil)
	}
	return nil
}

// discard releases the bytes of Partials that were open until the transaction ended or deleted them, and marks their
// parts as gone. It returns the blobs of the parts. erasure is the key of the erasure, "" for none.
func (s *Service) discard(tx *accounts.Change, open []Partial, erasure string) (blobs []string, err error) {
	if len(open) == 0 {
		return nil, nil
	}
	var keys []string
	bytes := map[string]int64{}
	for _, p := range open {
		keys = append(keys, p.Key)
		bytes[p.Account] += p.charged()
	}
	for _, account := range slices.Sorted(maps.Keys(bytes)) {
		_, err := tx.Exec(`UPDATE partial_bytes SET bytes = bytes - CAST(?2 AS BIGINT) WHERE account = ?1`,
			account, bytes[account])
		if err != nil {
			return nil, fmt.Errorf("releasing the bytes of resumable uploads: %w", err)
		}
	}
	blobs, err = sqldb.Select(tx, sqldb.ScanOne[string], `UPDATE parts
		SET gone = CAST(?1 AS BIGINT), erasure = CAST(?2 AS TEXT)
		WHERE gone IS NULL AND partial IN (`+sqldb.Placeholders(3, len(keys))+`) RETURNING blob`,
		append([]any{sqldb.Micros(s.Now()), sqldb.NullText(erasure)}, sqldb.Args(keys)...)...)
	if err != nil {
		return nil, fmt.Errorf("marking the parts of ended resumable uploads: %w", err)
	}
	return blobs, nil
}

// ErrEnded says that a Partial was accepted, refused or deleted concurrently.
var ErrEnded error = &errs.Error{Kind: errs.Aborted, Msg: "Another request has ended this upload"}
