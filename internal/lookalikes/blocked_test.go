package lookalikes_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/images/imagestest"
	"calotype/internal/lookalikes"
	"calotype/internal/phash"
)

const account = imagestest.AccountID

func put(t *testing.T, core *imagestest.Core, e lookalikes.Entry) {
	t.Helper()
	if _, err := core.Blocked.Put(t.Context(), account, e); err != nil {
		t.Fatal(err)
	}
}

// listed returns the values of all pages.
func listed(t *testing.T, core *imagestest.Core, limit int, fits func(lookalikes.Entry) bool) (values []string) {
	t.Helper()
	q := lookalikes.Query{Limit: limit, Fits: fits}
	for {
		page, err := core.Blocked.List(t.Context(), account, q)
		if err != nil || len(page.Entries) > limit {
			t.Fatalf("%d entries, %v", len(page.Entries), err)
		}
		for _, e := range page.Entries {
			values = append(values, e.Value)
		}
		if q.Token = page.Next; page.Next == "" {
			return values
		}
	}
}

func all(lookalikes.Entry) bool { return true }

func TestEntries(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		var want []string
		for i := range 25 {
			e := lookalikes.Entry{Value: fmt.Sprintf("%064x", i)}
			if i%3 == 0 {
				e = lookalikes.Entry{Value: fmt.Sprintf("%016x", i), Distance: i % 11, Note: strings.Repeat("é", i)}
			}
			put(t, core, e)
			want = append([]string{e.Value}, want...)
			clock.Forward(time.Millisecond)
		}
		for _, limit := range []int{1, 7, 25, 1000} {
			if got := listed(t, core, limit, all); !slices.Equal(got, want) {
				t.Errorf("pages of %d: %v, want %v", limit, got, want)
			}
		}
		n := 0
		some := func(lookalikes.Entry) bool { n++; return n%3 != 0 }
		if got := listed(t, core, 10, some); !slices.Equal(got, want) {
			t.Errorf("pages that are full early: %v, want %v", got, want)
		}
		changed := lookalikes.Entry{Value: want[0], Distance: 2, Note: "changed"}
		stored, err := core.Blocked.Put(t.Context(), account, changed)
		page, listing := core.Blocked.List(t.Context(), account, lookalikes.Query{Limit: 1, Fits: all})
		if err != nil || listing != nil || stored != page.Entries[0] || stored.Note != "changed" || stored.Distance != 2 {
			t.Errorf("%+v, %v; %+v, %v", stored, err, page, listing)
		}
		for range 2 {
			err = core.Blocked.Delete(t.Context(), account, want[3])
			if kind := errs.AsError(err).Kind; err != nil && kind != errs.EntryNotFound {
				t.Error(err)
			}
		}
		if errs.AsError(err).Kind != errs.EntryNotFound {
			t.Errorf("a second deletion: %v", err)
		}
		if got := listed(t, core, 10, all); !slices.Equal(got, slices.Delete(want, 3, 4)) {
			t.Errorf("after a deletion: %v", got)
		}
	})
}

func TestEntriesAreChecked(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	sum, hash := strings.Repeat("a", 64), strings.Repeat("b", 16)
	for _, e := range []lookalikes.Entry{
		{}, {Value: sum[1:]}, {Value: sum + "a"}, {Value: strings.ToUpper(sum)}, {Value: hash[1:]},
		{Value: strings.ToUpper(hash)}, {Value: sum, Distance: 1}, {Value: hash, Distance: -1},
		{Value: hash, Distance: phash.MaxDistance + 1}, {Value: hash, Note: strings.Repeat("é", lookalikes.MaxNote+1)},
		{Value: hash, Note: "a\x00"}, {Value: hash, Note: "a\nb"},
	} {
		if _, err := core.Blocked.Put(t.Context(), account, e); errs.AsError(err).Kind != errs.Invalid {
			t.Errorf("%+v: %v", e, err)
		}
	}
	for _, e := range []lookalikes.Entry{{Value: sum}, {Value: hash}, {Value: hash, Distance: phash.MaxDistance},
		{Value: hash, Note: strings.Repeat("é", lookalikes.MaxNote)}} {
		put(t, core, e)
	}
	for _, token := range []string{"x", "MS54", "eC54", "!"} {
		_, err := core.Blocked.List(t.Context(), account, lookalikes.Query{Limit: 1, Token: token, Fits: all})
		if errs.AsError(err).Kind != errs.Invalid {
			t.Errorf("the token %q: %v", token, err)
		}
	}
	for _, limit := range []int{0, lookalikes.MaxPage + 1} {
		_, err := core.Blocked.List(t.Context(), account, lookalikes.Query{Limit: limit, Fits: all})
		if errs.AsError(err).Kind != errs.Invalid {
			t.Errorf("the limit %d: %v", limit, err)
		}
	}
	if err := core.Blocked.Delete(t.Context(), account, "no value"); errs.AsError(err).Kind != errs.EntryNotFound {
		t.Error(err)
	}
	other := strings.Repeat("0", 32)
	if _, err := core.Blocked.Put(t.Context(), other, lookalikes.Entry{Value: sum}); err == nil {
		t.Error("an unknown account has got an entry")
	}
}

// fill adds n entries of sums.
func fill(t *testing.T, core *imagestest.Core, n int) {
	t.Helper()
	for from := 0; from < n; from += 1000 {
		var rows []string
		for i := from; i < min(n, from+1000); i++ {
			rows = append(rows, fmt.Sprintf(`('%s', '%064x', NULL, 0, '', 1)`, account, i))
		}
		_, err := core.Accounts.Exec(t.Context(), `INSERT INTO blocked (account, value, phash, distance, note, created)
			VALUES `+strings.Join(rows, ", "))
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestEntriesAreBounded: concurrent additions never exceed the bound, and a full list can be changed.
func TestEntriesAreBounded(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		fill(t, core, lookalikes.MaxBlocked-3)
		var adding sync.WaitGroup
		results := make([]error, 8)
		for i := range results {
			adding.Go(func() {
				e := lookalikes.Entry{Value: fmt.Sprintf("%016x", i)}
				_, results[i] = core.Blocked.Put(t.Context(), account, e)
			})
		}
		adding.Wait()
		added := 0
		for _, err := range results {
			if err == nil {
				added++
			} else if errs.AsError(err).Kind != errs.LimitReached {
				t.Error(err)
			}
		}
		if added != 3 {
			t.Errorf("%d entries are added, want 3", added)
		}
		put(t, core, lookalikes.Entry{Value: fmt.Sprintf("%064x", 5), Note: "changed"})
		if err := core.Blocked.Delete(t.Context(), account, fmt.Sprintf("%064x", 6)); err != nil {
			t.Fatal(err)
		}
		put(t, core, lookalikes.Entry{Value: strings.Repeat("e", 64)})
	})
}

// TestRefuse compares what is refused with all distances, among many entries, on both engines.
func TestRefuse(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		r := rand.New(rand.NewPCG(7, 8))
		var entries []lookalikes.Entry
		var hashes []phash.Hash
		err := core.Accounts.Change(t.Context(), func(tx *accounts.Change) error {
			entries, hashes = nil, nil
			for i := range 300 {
				h := phash.Hash(r.Uint64())
				if i < 4 { // the edges of signed numbers
					h = []phash.Hash{0, 1 << 63, 1<<63 - 1, 1<<64 - 1}[i]
				}
				e := lookalikes.Entry{Value: h.String(), Distance: r.IntN(phash.MaxDistance + 1)}
				_, err := tx.Exec(`INSERT INTO blocked (account, value, phash, distance, note, created)
					VALUES (?1, ?2, ?3, ?4, '', 1)`, account, e.Value, int64(h), e.Distance)
				if err != nil {
					return err
				}
				entries, hashes = append(entries, e), append(hashes, h)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		for i := range 400 {
			of := hashes[i%len(hashes)]
			for _, bit := range r.Perm(64)[:r.IntN(phash.MaxDistance+3)] {
				of ^= 1 << bit
			}
			want := slices.ContainsFunc(entries, func(e lookalikes.Entry) bool {
				h, err := phash.Parse(e.Value)
				return err == nil && phash.Distance(h, of) <= e.Distance
			})
			err := lookalikes.Refuse(core.DB.Reader(t.Context()), account, lookalikes.Picture{Phash: of.String()})
			if errs.AsError(err).Kind == errs.Blocked != want || err != nil && !want {
				t.Errorf("%v: %v, want a refusal: %v", of, err, want)
			}
			if want {
				refused++
			}
		}
		if refused < 100 || refused > 300 {
			t.Errorf("%d of 400 are refused: this test compares too little", refused)
		}
		err = lookalikes.Refuse(core.DB.Reader(t.Context()), strings.Repeat("0", 32),
			lookalikes.Picture{Phash: hashes[0].String()})
		if err != nil {
			t.Errorf("the list of another account: %v", err)
		}
	})
}
