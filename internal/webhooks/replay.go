package webhooks

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

const (
	// MaxReplays bounds the deliveries that LimitedReplay replays for an account within a ReplayWindow on one node.
	MaxReplays   = 1000
	ReplayWindow = time.Hour

	replayAccounts = 10_000 // the number of accounts whose replays are counted
	replayPage     = 1000   // deliveries of one transaction
)

// A ReplayQuery selects deliveries to replay. A zero field does not filter.
type ReplayQuery struct {
	Event    string    // ID of an event
	Webhook  string    // ID of a webhook or stream
	From, To time.Time // bounds of the event's time; To is excluded
	Failed   bool      // only deliveries that have failed, or wait for a retry
}

// LimitedReplay is Replay with the limit MaxReplays. more reports whether selected deliveries remain. Errors: those
// of Replay; RateLimited if the limit is reached, Busy during another replay of the account.
//
// Each node counts in memory: the limit bounds the load on receivers, and needs no row. So a second node, or a node
// after its restart, allows MaxReplays too.
func (s *Service) LimitedReplay(
	ctx context.Context, account string, q ReplayQuery,
) (replayed int, more bool, err error) {
	lease, err := s.config.Replays.TryAcquire(1, account)
	if err != nil {
		return 0, false, errs.AtCapacity("The account has another replay, or the server has too many", err)
	}
	defer lease.Release()
	if err := s.payReplay(ctx, account); err != nil {
		return 0, false, err
	}
	bucket, now := s.replays.Bucket(account), s.now()
	left := bucket.TokensAt(now)
	if left < 1 {
		e := errs.Errorf(errs.RateLimited, "The account has had %d deliveries replayed within an hour, which "+
			"is the most: wait, and ask again", MaxReplays)
		e.RetryAfter = ReplayWindow / 10 // for a tenth of them
		return 0, false, e
	}
	replayed, more, err = s.replay(ctx, account, q, int(left))
	// No other goroutine uses the bucket: an account has one replay at a time.
	bucket.AllowN(now, replayed)
	return replayed, more, err
}

// Replay makes the selected deliveries of an account due, with all their attempts before them, and returns their
// number. It replays deliveries that have ended, and deliveries that wait for a retry after more than
// DeliveryLease: a delivery with a valid lease may be in flight. A paused webhook gets the replayed deliveries
// after its resumption. Errors: LimitReached, NoSpace.
func (s *Service) Replay(ctx context.Context, account string, q ReplayQuery) (replayed int, err error) {
	if err := s.payReplay(ctx, account); err != nil {
		return 0, err
	}
	replayed, _, err = s.replay(ctx, account, q, math.MaxInt)
	return replayed, err
}

// payReplay returns NoSpace on a full disk, and LimitReached for an account at its limit of kept records.
func (s *Service) payReplay(ctx context.Context, account string) error {
	err := s.accounts.CheckSpace()
	if err == nil {
		err = s.accounts.CheckKept(ctx, account)
	}
	if err != nil {
		return fmt.Errorf("replaying deliveries: %w", err)
	}
	return nil
}

// replay replays at most most deliveries, the oldest events first, in transactions of replayPage. more reports
// whether selected deliveries remain.
func (s *Service) replay(
	ctx context.Context, account string, q ReplayQuery, most int,
) (replayed int, more bool, err error) {
	if !text.IsPlain(q.Event) || !text.IsPlain(q.Webhook) {
		return 0, false, nil
	}
	if q.To.IsZero() {
		q.To = s.now().Add(time.Hour)
	}
	which := replayWhere{account: account, q: q, now: s.now(), from: place{created: sqldb.Micros(q.From)}}
	for ctx.Err() == nil {
		var changed int64
		var last *place
		page := min(replayPage, most-replayed)
		err := s.accounts.Change(ctx, func(tx *accounts.Change) (err error) {
			s.wakeNotifier(tx)
			changed, last, err = replaySome(tx, which, page)
			return err
		})
		if err != nil {
			return replayed, more, fmt.Errorf("replaying deliveries: %w", err)
		}
		replayed += int(changed)
		if last == nil {
			break
		}
		if which.from = *last; replayed >= most {
			more, err = s.isLeft(ctx, which)
			if err != nil {
				return replayed, false, err
			}
			break
		}
	}
	return replayed, more, ctx.Err()
}

// A place is the position of a replay in the order of the index deliveries_account. The next transaction starts
// after it: deliveries that an earlier transaction made due may have been sent since, and would be replayed twice.
type place struct {
	created        int64
	event, webhook string
}

// A replayWhere is the condition of the remaining deliveries of a replay: those after from.
type replayWhere struct {
	account string
	q       ReplayQuery
	now     time.Time
	from    place
}

// sql returns the SQL of the condition and its arguments, which are numbered from ?1.
func (w replayWhere) sql() (which string, args []any) {
	which = `account = ?1 AND (created, event, webhook) > (?2, ?3, ?4) AND created < ?5
		AND (due IS NULL OR due > ?6)`
	args = []any{w.account, w.from.created, w.from.event, w.from.webhook, sqldb.Micros(w.q.To),
		sqldb.Micros(w.now.Add(DeliveryLease))}
	and := func(condition string, value any) {
		args = append(args, value)
		which += fmt.Sprintf(condition, len(args))
	}
	if w.q.Event != "" {
		and(` AND event = ?%d`, w.q.Event)
	}
	if w.q.Webhook != "" {
		and(` AND webhook = ?%d`, w.q.Webhook)
	}
	if w.q.Failed {
		which += ` AND (outcome = 'failed' OR outcome = 'pending' AND failures > 0)`
	}
	return which, args
}

// isLeft reports whether a delivery of a replay remains.
func (s *Service) isLeft(ctx context.Context, w replayWhere) (bool, error) {
	which, args := w.sql()
	left, err := sqldb.Exists(s.db.Reader(ctx), `deliveries WHERE `+which, args...)
	if err != nil {
		return false, fmt.Errorf("looking for what is left of a replay: %w", err)
	}
	return left, nil
}

// replaySome replays at most most deliveries in one transaction. It returns their number, and the position of the
// last one, or nil if no delivery remains.
func replaySome(tx *accounts.Change, w replayWhere, most int) (changed int64, last *place, err error) {
	which, args := w.sql()
	all, err := sqldb.Select(tx, func(r sqldb.Row) (p place, err error) {
		err = r.Scan(&p.created, &p.event, &p.webhook)
		return p, err
	}, `SELECT created, event, webhook FROM deliveries WHERE `+which+
		` ORDER BY created, event, webhook LIMIT `+strconv.Itoa(most), args...)
	if err != nil || len(all) == 0 {
		return 0, nil, err
	}
	end := all[len(all)-1]
	args = append(args, end.created, end.event, end.webhook, sqldb.Micros(w.now))
	n := len(args)
	changed, err = tx.Exec(fmt.Sprintf(`UPDATE deliveries SET due = ?%d, failures = 0,
		outcome = 'pending' WHERE %s AND (created, event, webhook) <= (?%d, ?%d, ?%d)`,
		n, which, n-3, n-2, n-1), args...)
	if len(all) < most {
		return changed, nil, err
	}
	return changed, &end, err
}
