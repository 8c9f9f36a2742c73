package notify

import (
	"sync"
	"time"

	"calotype/internal/images"
)

// places bound what runs at once on this node, and what of it is one account's.
type places struct {
	most, ofOne int

	mu    sync.Mutex
	all   int
	taken map[string]int // by account
}

func newPlaces(most, ofOne int) *places {
	return &places{most: most, ofOne: ofOne, taken: map[string]int{}}
}

// enter takes a place; false when there is none. On success the caller must leave.
func (p *places) enter(account string) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all >= p.most || p.taken[account] >= p.ofOne {
		return nil, false
	}
	p.all++
	p.taken[account]++
	return func() { p.leave(account) }, true
}

func (p *places) leave(account string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	if p.taken[account]--; p.taken[account] == 0 {
		delete(p.taken, account)
	}
}

// used returns how many places are taken.
func (p *places) used() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all
}

// comeAgain refuses what there is no place for.
func comeAgain(why string) error {
	return &images.Error{Kind: images.Busy, Msg: why + "; try again in a few seconds",
		RetryAfter: 2 * time.Second}
}
