package fields

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"calotype/internal/errs"
)

// The images that are uploaded to a link, a draft whose one-time URL may be used several times, have ids made of
// the id of the draft, a slash and a number from 1.

// MaxLinkNumber is the largest number in an id of a link's image. It is larger than the number of uses, because
// taken ids are stepped over.
const MaxLinkNumber = 9_999_999

// LinkImageID returns the id of the image with a number of a link.
func LinkImageID(draft string, number int) string { return draft + "/" + strconv.Itoa(number) }

// LongestLinkImageID returns an id that is as long as the longest id of a link's images.
func LongestLinkImageID(draft string) string { return LinkImageID(draft, MaxLinkNumber) }

// CheckLinkID refuses the id of a link whose images could have ids that are too long. Error: InvalidID.
func CheckLinkID(draft string) error {
	const most = MaxIDRunes - len("/9999999")
	if utf8.RuneCountInString(draft) > most {
		return RefusedID(fmt.Sprintf("with uses it has at most %d characters, because the ids of the images end "+
			"in a slash and a number", most))
	}
	return nil
}

// FreeNumber returns a number above taken whose id is free, and which follows a taken one. If the taken numbers
// are in sequence, it is the first free one. It calls isTaken at most 60 times. Errors: those of isTaken;
// LimitReached if it finds no number up to MaxLinkNumber.
func FreeNumber(taken int, isTaken func(int) (bool, error)) (int, error) {
	var free int
	for step := 1; ; step *= 2 {
		free = min(taken+step, MaxLinkNumber)
		if taken >= MaxLinkNumber {
			return 0, errs.Errorf(errs.LimitReached, "The link has no further number for an image: the ids up to "+
				"number %d are taken", MaxLinkNumber)
		}
		found, err := isTaken(free)
		if err != nil {
			return 0, err
		}
		if !found {
			break
		}
		taken = free
	}
	for free-taken > 1 {
		middle := (taken + free) / 2
		found, err := isTaken(middle)
		if err != nil {
			return 0, err
		}
		if found {
			taken = middle
		} else {
			free = middle
		}
	}
	return free, nil
}
