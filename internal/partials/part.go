package partials

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/blob"
	"calotype/internal/sqldb"
)

// store makes the first size bytes of the tail a part, and discards the tail. last releases the lease in the same
// transaction. After an error the append cannot continue. The caller has locked mu.
func (a *Append) store(size int64, last bool) error {
	ctx, cancel := context.WithTimeout(a.ctx, storeTime)
	defer cancel()
	key := a.s.BlobKey()
	if err := a.s.Blobs.Put(ctx, key, a.tail.OS(), sealedSize(size)); err != nil {
		return fmt.Errorf("storing a part: %w", err)
	}
	err := a.addPart(key, size, last)
	if errors.Is(err, sqldb.ErrCommitUnknown) {
		there, reading := sqldb.Exists(a.s.DB.Reader(ctx), `parts WHERE blob = ?1`, key)
		if reading != nil || !there {
			return err // the sweep deletes an orphan
		}
		err = nil // the commit took place
	}
	if err != nil {
		if deleting := a.s.Blobs.Delete(ctx, key); deleting != nil {
			a.s.Log.Warn("a part without a row is left to the sweep", "blob", key, "err", deleting)
		}
		return err
	}
	a.dropTail()
	a.renewed = time.Now()
	a.p.Received += size
	a.p.Parts++
	if last {
		a.p.holder = ""
	}
	return nil
}

// addPart adds a part behind the others, if this append has the lease and no part was added concurrently. Errors:
// PartialBusy, TicketUnknown, ErrEnded, Busy.
func (a *Append) addPart(key string, size int64, last bool) error {
	now := a.s.Now()
	until := now.Add(leaseTime)
	if last {
		until = now
	}
	err := a.s.Accounts.Change(a.ctx, func(tx *accounts.Change) error {
		added, err := tx.Exec(`UPDATE partials SET received = received + CAST(?3 AS BIGINT), parts = parts + 1,
			until = ?5, holder = CASE WHEN ?6 = 1 THEN NULL ELSE holder END
			WHERE key = ?1 AND received = ?2 AND holder = ?4 AND ended IS NULL AND expires > ?7`,
			a.p.Key, a.p.Received, size, a.holder, sqldb.Micros(until), sqldb.BoolInt(last), sqldb.Micros(now))
		if err != nil {
			return err
		}
		if added == 0 {
			return errFenced
		}
		_, err = tx.Exec(`INSERT INTO parts (blob, partial, start, size, tried) VALUES (?1, ?2, ?3, ?4, 0)`,
			key, a.p.Key, a.p.Received, size)
		if err != nil {
			return err
		}
		return a.s.charge(tx, a.p.Account, size)
	})
	switch {
	case errors.Is(err, errFenced):
		return a.whyFenced()
	case err != nil:
		return fmt.Errorf("adding a part: %w", err)
	}
	return nil
}

// copyPart writes one part to w.
func (a *Append) copyPart(ctx context.Context, w io.Writer, key string, size int64) error {
	from, err := a.s.Blobs.Open(ctx, key, 0)
	if errors.Is(err, blob.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrPartMissing, err)
	}
	if err != nil {
		return fmt.Errorf("opening a part: %w", err)
	}
	var n int64
	bytes, err := a.key.open(from)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = nil // it has no bytes
	case err == nil:
		n, err = io.Copy(w, io.LimitReader(bytes, size))
	}
	if err == nil && n < size {
		err = fmt.Errorf("%w: it has %d of %d bytes", ErrPartMissing, n, size)
	}
	return errors.Join(err, from.Close())
}

// ErrPartMissing says that the blob store lacks a part: database and store are from different times, as after a
// restore.
var ErrPartMissing = errors.New("partials: a part of the upload is missing")

// Copy writes all bytes of a complete upload to w, once: it discards those in the spool. Errors: those of w;
// ErrPartMissing.
func (a *Append) Copy(ctx context.Context, w io.Writer) error {
	type part struct {
		blob        string
		start, size int64
	}
	parts, err := sqldb.Select(a.s.DB.Reader(ctx), func(r sqldb.Row) (p part, err error) {
		err = r.Scan(&p.blob, &p.start, &p.size)
		return p, err
	}, `SELECT blob, start, size FROM parts WHERE partial = ?1 AND gone IS NULL ORDER BY start`, a.p.Key)
	if err != nil {
		return fmt.Errorf("reading the parts of an upload: %w", err)
	}
	at := int64(0)
	for _, p := range parts {
		if p.start != at {
			return ErrEnded // they are gone
		}
		if err := a.copyPart(ctx, w, p.blob, p.size); err != nil {
			return err
		}
		at += p.size
	}
	if at != a.p.Received {
		return ErrEnded
	}
	if a.tail == nil {
		return nil
	}
	tail, err := a.key.open(io.NewSectionReader(a.tail.OS(), 0, a.tail.Written()))
	if err == nil {
		_, err = io.Copy(w, tail)
	}
	if err == nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.dropTail() // w has the bytes, and needs the space of the spool
	}
	return err
}
