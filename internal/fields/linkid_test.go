package fields_test

import (
	"errors"
	"strings"
	"testing"

	"calotype/internal/errs"
	"calotype/internal/fields"
)

func TestFreeNumber(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		from    int
		taken   func(int) bool
		want    int
		refused bool
	}{
		{"only the first", 1, func(n int) bool { return n == 1 }, 2, false},
		{"a block", 3, func(n int) bool { return n <= 17 }, 18, false},
		{"a long block", 1, func(n int) bool { return n <= 1_234_567 }, 1_234_568, false},
		{"a gap is used", 5, func(n int) bool { return n == 5 || n > 6 }, 6, false},
		{"up to the last number", fields.MaxLinkNumber - 9,
			func(n int) bool { return n < fields.MaxLinkNumber }, fields.MaxLinkNumber, false},
		{"the last number is taken", fields.MaxLinkNumber, func(int) bool { return true }, 0, true},
		{"all are taken", 1, func(int) bool { return true }, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			got, err := fields.FreeNumber(c.from, func(n int) (bool, error) {
				asked++
				if n <= c.from || n > fields.MaxLinkNumber {
					t.Errorf("asked for %d", n)
				}
				return c.taken(n), nil
			})
			if (err != nil) != c.refused || c.refused && errs.AsError(err).Kind != errs.LimitReached {
				t.Fatalf("error %v, want one: %v", err, c.refused)
			}
			if got != c.want || asked > 60 {
				t.Errorf("%d after %d questions, want %d", got, asked, c.want)
			}
			if err == nil && (c.taken(got) || got-1 != c.from && !c.taken(got-1)) {
				t.Errorf("%d is taken, or does not follow a taken number", got)
			}
		})
	}
	broken := errors.New("broken")
	for _, fails := range []int{1, 3} {
		asked := 0
		_, err := fields.FreeNumber(1, func(n int) (bool, error) {
			if asked++; asked == fails {
				return false, broken
			}
			return n < 4, nil
		})
		if !errors.Is(err, broken) {
			t.Errorf("question %d fails, and the error is %v", fails, err)
		}
	}
}

func TestCheckLinkID(t *testing.T) {
	t.Parallel()
	for _, letter := range []string{"a", "ж", "🦊"} {
		longest := strings.Repeat(letter, 1016)
		if err := fields.CheckLinkID(longest); err != nil {
			t.Errorf("1016 of %s: %v", letter, err)
		}
		if err := fields.CheckCustomID(fields.LongestLinkImageID(longest)); err != nil {
			t.Errorf("an image of a link with the longest id: %v", err)
		}
		err := fields.CheckLinkID(longest + letter)
		if errs.AsError(err).Kind != errs.InvalidID || !strings.Contains(err.Error(), "1016") {
			t.Errorf("1017 of %s: %v", letter, err)
		}
	}
	if id := fields.LinkImageID("trip/day 2", 17); id != "trip/day 2/17" {
		t.Error(id)
	}
}
