package metrics

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"calotype/internal/accounts"
)

// MaxAccounts is the largest number of accounts with separate figures.
const MaxAccounts = 1000

// accountsEvery is the minimal interval of reading the rows of all accounts.
const accountsEvery = time.Minute

// other is the label of all accounts without separate figures. No account has this id.
const other = "other"

// byAccount collects figures per account: the usage of the accounts with the most images, and their uploads at this
// node. Their number is bounded by most. The number of accounts with labels for uploads is bounded by twice most: an
// account retains its label, so that no counter ever decreases.
type byAccount struct {
	accounts *accounts.Service
	most     int

	reading sync.Mutex // locked while the database is read
	read    time.Time
	err     error // of the last reading

	mu      sync.Mutex
	largest accounts.Largest
	top     map[string]bool           // the ids in largest
	uploads map[string]map[string]int // by account or other, and outcome
}

// WatchAccounts exports the figures of the accounts with the most images, at most most, from now on. 0: none.
func (m *Metrics) WatchAccounts(ctx context.Context, of *accounts.Service, most int) error {
	if m == nil || most == 0 {
		return nil
	}
	b := &byAccount{accounts: of, most: most, uploads: map[string]map[string]int{other: {"accepted": 0}}}
	if b.refresh(ctx); b.err != nil {
		return fmt.Errorf("reading the figures of -metrics-accounts: %w", b.err)
	}
	if !m.accounts.CompareAndSwap(nil, b) {
		return errors.New("figures of accounts are exported already")
	}
	return m.registry.Register(b)
}

// CountUpload counts an upload of an account by its outcome: "accepted", or the name of the kind of its refusal.
// Uploads of an unknown account are not counted.
func (m *Metrics) CountUpload(account, outcome string) {
	if m == nil || account == "" {
		return
	}
	if b := m.accounts.Load(); b != nil {
		b.count(account, outcome)
	}
}

func (b *byAccount) count(account, outcome string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	outcomes := b.uploads[account]
	switch {
	case outcomes != nil:
	case b.top[account] && len(b.uploads) <= 2*b.most: // with other
		outcomes = map[string]int{}
		b.uploads[account] = outcomes
	default:
		outcomes = b.uploads[other]
	}
	outcomes[outcome]++
}

// refresh reads the usage of the accounts, unless that was done just now.
func (b *byAccount) refresh(ctx context.Context) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if !b.read.IsZero() && time.Since(b.read) < accountsEvery {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, databaseTime)
	defer cancel()
	var largest accounts.Largest
	largest, b.err = b.accounts.Largest(ctx, b.most)
	b.read = time.Now()
	if b.err != nil {
		return
	}
	top := make(map[string]bool, len(largest.Top))
	for _, u := range largest.Top {
		top[u.ID] = true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.largest, b.top = largest, top
}

// Describe sends nothing, as that of watcher.
func (b *byAccount) Describe(chan<- *prometheus.Desc) {}

// Collect sends the figures. Those of a database that does not answer are left out.
func (b *byAccount) Collect(ch chan<- prometheus.Metric) {
	to := sender(ch)
	b.refresh(context.Background())
	b.reading.Lock()
	away := b.err != nil
	b.reading.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	for account, outcomes := range b.uploads {
		for outcome, n := range outcomes {
			to.counter("account_uploads_total", "Uploads to this node by account and outcome; see uploads_total.",
				float64(n), "account", account, "outcome", outcome)
		}
	}
	if away {
		return
	}
	to.gauge("accounts", "Accounts in the database.", b.largest.Accounts)
	rest := b.largest.Rest
	rest.ID = other
	for _, u := range append(b.largest.Top[:len(b.largest.Top):len(b.largest.Top)], rest) {
		to.gauge("account_images", "Images of the accounts with the most of them, and of all others.", u.Images,
			"account", u.ID)
		to.gauge("account_bytes", "Bytes of their originals, and reservations of their open drafts.", u.Bytes,
			"account", u.ID)
		to.gauge("account_drafts", "Their open drafts.", u.Drafts, "account", u.ID)
	}
}
