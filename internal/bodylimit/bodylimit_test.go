package bodylimit_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"calotype/internal/bodylimit"
	"calotype/internal/errs"
)

var errInvalid = errors.New("refused too often")

// An answer is a result of Admit.
type answer struct {
	body  *bodylimit.Body
	stale bool
	err   error
}

// ask has n bodies ask for a place at a ticket, each in a goroutine, and waits until none of them proceeds.
func ask(ctx context.Context, l *bodylimit.Limiter, key string, n int) chan answer {
	answers := make(chan answer, n)
	refused := l.Refused()
	for range n {
		go func() {
			body, stale, err := l.Admit(ctx, "account", key, refused)
			answers <- answer{body, stale, err}
		}()
	}
	synctest.Wait()
	return answers
}

// admitted returns the bodies that are admitted, and fails the test for another error.
func admitted(t *testing.T, answers chan answer) (bodies []*bodylimit.Body) {
	t.Helper()
	synctest.Wait()
	for len(answers) > 0 {
		a := <-answers
		if a.err != nil {
			t.Fatal(a.err)
		}
		bodies = append(bodies, a.body)
	}
	return bodies
}

// failed fails the test unless n answers have an error that is accepted.
func failed(t *testing.T, answers chan answer, n int, accepted func(error) bool) {
	t.Helper()
	synctest.Wait()
	if len(answers) != n {
		t.Fatalf("%d answers, want %d", len(answers), n)
	}
	for range n {
		if a := <-answers; !accepted(a.err) {
			t.Errorf("got %v", a.err)
		}
	}
}

func isEnded(err error) bool { return errors.Is(err, bodylimit.ErrTicketEnded) }

func hasKind(kind errs.Kind) func(error) bool {
	return func(err error) bool { return err != nil && errs.AsError(err).Kind == kind }
}

// TestFourBodiesOfATicket: four bodies of a ticket are admitted, each end admits one more, the end of the ticket ends
// the waits, and another ticket is not concerned.
func TestFourBodiesOfATicket(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := bodylimit.New(10, func() error { return errInvalid })
		answers := ask(t.Context(), l, "a", 7)
		first := admitted(t, answers)
		if len(first) != 4 {
			t.Fatalf("%d bodies are admitted, want 4", len(first))
		}
		if s := l.Pool().Stats(); s.Waiting != 3 {
			t.Errorf("%d bodies wait, want 3", s.Waiting)
		}
		first[0].Release()
		if more := admitted(t, answers); len(more) != 1 {
			t.Errorf("the end of a body admits %d, want 1", len(more))
		}
		if other := admitted(t, ask(t.Context(), l, "b", 1)); len(other) != 1 {
			t.Error("a body of another ticket is not admitted")
		}
		l.End("a")
		failed(t, answers, 2, isEnded)
		select {
		case <-first[1].Deleted():
			t.Error("the draft counts as deleted")
		default:
		}
		new(bodylimit.Limiter).End("a") // without bodies
		(*bodylimit.Body)(nil).Release()
	})
}

// TestWaitsOfBodiesEnd: a wait ends with its request, or after 30 seconds.
func TestWaitsOfBodiesEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := bodylimit.New(10, func() error { return errInvalid })
		if n := len(admitted(t, ask(t.Context(), l, "a", 4))); n != 4 {
			t.Fatalf("%d bodies are admitted", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		left := ask(ctx, l, "a", 1)
		waits := ask(t.Context(), l, "a", 1)
		cancel()
		failed(t, left, 1, hasKind(errs.Aborted))
		time.Sleep(30*time.Second - time.Nanosecond)
		failed(t, waits, 0, nil)
		time.Sleep(time.Nanosecond)
		failed(t, waits, 1, hasKind(errs.TicketBusy))
	})
}

// TestCancelOfADraft: the deletion of a draft ends the waits, and is seen by the bodies that are read.
func TestCancelOfADraft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := bodylimit.New(10, func() error { return errInvalid })
		answers := ask(t.Context(), l, "a", 5)
		bodies := admitted(t, answers)
		if n := l.Cancel("a"); n != 4 {
			t.Errorf("%d bodies were read, want 4", n)
		}
		<-bodies[3].Deleted()
		failed(t, answers, 1, isEnded)
		if n := l.Cancel("a"); n != 0 {
			t.Errorf("a repeated deletion finds %d bodies", n)
		}
		for _, b := range bodies {
			if err := b.BeginDecoding(t.Context(), "x"); !isEnded(err) {
				t.Errorf("a body of a deleted draft is decoded: %v", err)
			}
			b.Release()
		}
	})
}

// TestDecodings: the refusals and the running decodings of a ticket are at most its refusals, equal bodies wait for the
// first, and a repeat of the last refused body has its refusal.
func TestDecodings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := bodylimit.New(3, func() error { return errInvalid })
		bodies := admitted(t, ask(t.Context(), l, "a", 4))
		last := errors.New("the last refusal")
		bodies[0].Learn(bodylimit.Refusals{N: 1, Last: func(sum string) error {
			if sum == "refused" {
				return last
			}
			return nil
		}})
		bodies[0].Learn(bodylimit.Refusals{}) // an older row
		if err := bodies[0].BeginDecoding(t.Context(), "refused"); !errors.Is(err, last) {
			t.Errorf("a repeat of the refused body: %v", err)
		}
		begun := make(chan error, 9)
		begin := func(i int, sum string) {
			go func() { begun <- bodies[i].BeginDecoding(t.Context(), sum) }()
			synctest.Wait()
		}
		want := func(what string, errors ...error) {
			t.Helper()
			synctest.Wait()
			var got []error
			for len(begun) > 0 {
				got = append(got, <-begun)
			}
			if fmt.Sprint(got) != fmt.Sprint(errors) {
				t.Errorf("%s: %v, want %v", what, got, errors)
			}
		}
		begin(0, "one")
		want("the first body", nil)
		begin(1, "one")
		want("an equal body")
		bodies[0].EndDecoding("one") // it was accepted, or busy
		want("after the end of the first", nil)
		begin(2, "two")
		want("the last two refusals are left", nil)
		begin(3, "three")
		want("no refusal is left")
		bodies[1].Refuse(nil)
		bodies[1].EndDecoding("one")
		want("a refusal leaves none")
		before := l.Refused()
		bodies[2].Refuse(&bodylimit.Refusals{N: 3})
		bodies[2].EndDecoding("two")
		want("after the last refusal", errInvalid)
		if l.Refused() != before+1 {
			t.Errorf("%d refusals, want one more than %d", l.Refused(), before)
		}
	})
}

// TestStaleRows: a row is stale if another body of the ticket exists, or a refusal came since it was read.
func TestStaleRows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := bodylimit.New(10, func() error { return errInvalid })
		stale := func(key string, refused uint64) bool {
			t.Helper()
			b, stale, err := l.Admit(t.Context(), "account", key, refused)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(b.Release)
			return stale
		}
		if stale("a", l.Refused()) {
			t.Error("the row of the only body is stale")
		}
		if !stale("a", l.Refused()) {
			t.Error("the row is not stale beside another body")
		}
		b := admitted(t, ask(t.Context(), l, "b", 1))[0]
		read := l.Refused()
		b.Refuse(nil)
		if !stale("c", read) || stale("d", l.Refused()) {
			t.Error("a refusal makes only earlier rows stale")
		}
	})
}
