package diskcache

import (
	"cmp"
	"container/heap"
	"container/list"
	"iter"
)

// A fairLRU selects the next rendition that a cache evicts, so that the renditions of one account, or of
// Flexible variants, which any client may invent, do not evict all others:
//
//  1. While Flexible variants use more than a quarter of the cached bytes: the least recently used rendition
//     of them, of the account with most of them.
//  2. Else the least recently used rendition of the account with most bytes.
//
// So each of n accounts has an nth of the cache, and the space that the others leave; a single account has
// all of it. The cache locks it.
type fairLRU[T any] struct {
	size     int64 // of all items
	flexible int64 // of those of Flexible variants
	clock    uint64
	accounts map[string]*lruAccount[T]
	largest  [2]accountHeap[T] // by the size of all items, and by that of the Flexible ones
}

// The heaps of a fairLRU, and the lists of an account.
const (
	byAll = iota
	byFlexible
)

// The kinds of variants.
const (
	Named    = iota
	Flexible // by options in the URL
)

// An lruAccount holds the items of an account.
type lruAccount[T any] struct {
	name   string
	size   [2]int64     // as in fairLRU.largest
	recent [2]list.List // of *lruItem, the most recent one first; of Named and of Flexible variants
	at     [2]int       // in fairLRU.largest
}

// An lruItem is a cached value of an account.
type lruItem[T any] struct {
	value   T
	size    int64
	kind    int // Named or Flexible
	used    uint64
	account *lruAccount[T]
	element *list.Element
}

func newFairLRU[T any]() *fairLRU[T] {
	return &fairLRU[T]{accounts: map[string]*lruAccount[T]{},
		largest: [2]accountHeap[T]{{by: byAll}, {by: byFlexible}}}
}

// add adds an item as the most recently used one.
func (l *fairLRU[T]) add(account string, kind int, size int64, value T) *lruItem[T] {
	a := l.accounts[account]
	if a == nil {
		a = &lruAccount[T]{name: account}
		l.accounts[account] = a
		for i := range l.largest {
			heap.Push(&l.largest[i], a)
		}
	}
	l.clock++
	item := &lruItem[T]{value: value, size: size, kind: kind, used: l.clock, account: a}
	item.element = a.recent[kind].PushFront(item)
	l.grow(item, size)
	return item
}

// use marks an item as used. An item that is requested in a Named variant belongs to that kind from then on.
func (l *fairLRU[T]) use(item *lruItem[T], kind int) {
	l.clock++
	item.used = l.clock
	a := item.account
	if kind == item.kind || kind == Flexible {
		a.recent[item.kind].MoveToFront(item.element)
		return
	}
	l.grow(item, -item.size)
	a.recent[item.kind].Remove(item.element)
	item.kind = kind
	item.element = a.recent[kind].PushFront(item)
	l.grow(item, item.size)
}

// remove removes an item.
func (l *fairLRU[T]) remove(item *lruItem[T]) {
	a := item.account
	a.recent[item.kind].Remove(item.element)
	l.grow(item, -item.size)
	if a.recent[Named].Len()+a.recent[Flexible].Len() > 0 {
		return
	}
	for i := range l.largest {
		heap.Remove(&l.largest[i], a.at[i])
	}
	delete(l.accounts, a.name)
}

// grow adds the size of an item to all totals.
func (l *fairLRU[T]) grow(item *lruItem[T], size int64) {
	a := item.account
	l.size += size
	a.size[byAll] += size
	heap.Fix(&l.largest[byAll], a.at[byAll])
	if item.kind == Flexible {
		l.flexible += size
		a.size[byFlexible] += size
		heap.Fix(&l.largest[byFlexible], a.at[byFlexible])
	}
}

// next returns the item to evict, nil if there is no item.
func (l *fairLRU[T]) next() *lruItem[T] {
	if len(l.accounts) == 0 {
		return nil
	}
	if l.flexible > l.size/4 {
		// A large new item stays while there are others.
		if one := l.largest[byFlexible].of[0].oldest(Flexible); one.used < l.clock {
			return one
		}
	}
	a := l.largest[byAll].of[0]
	one, other := a.oldest(Named), a.oldest(Flexible)
	if one == nil || other != nil && other.used < one.used {
		return other
	}
	return one
}

// oldest returns the least recently used item of a kind, nil if there is no item.
func (a *lruAccount[T]) oldest(kind int) *lruItem[T] {
	if back := a.recent[kind].Back(); back != nil {
		return back.Value.(*lruItem[T])
	}
	return nil
}

// all returns the values of all items.
func (l *fairLRU[T]) all() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, a := range l.accounts {
			for i := range a.recent {
				for e := a.recent[i].Front(); e != nil; e = e.Next() {
					if !yield(e.Value.(*lruItem[T]).value) {
						return
					}
				}
			}
		}
	}
}

// An accountHeap has the account with the largest size first.
type accountHeap[T any] struct {
	of []*lruAccount[T]
	by int
}

func (h *accountHeap[T]) Len() int { return len(h.of) }

// Less breaks ties by name, so that it does not depend on the order of a map.
func (h *accountHeap[T]) Less(i, j int) bool {
	a, b := h.of[i], h.of[j]
	return cmp.Or(cmp.Compare(b.size[h.by], a.size[h.by]), cmp.Compare(a.name, b.name)) < 0
}

func (h *accountHeap[T]) Swap(i, j int) {
	h.of[i], h.of[j] = h.of[j], h.of[i]
	h.of[i].at[h.by], h.of[j].at[h.by] = i, j
}

func (h *accountHeap[T]) Push(x any) {
	a := x.(*lruAccount[T])
	a.at[h.by] = len(h.of)
	h.of = append(h.of, a)
}

func (h *accountHeap[T]) Pop() any {
	last := h.of[len(h.of)-1]
	h.of[len(h.of)-1] = nil
	h.of = h.of[:len(h.of)-1]
	return last
}
