// Package phash has perceptual hashes: 64 bits that differ in few bits for pictures that look alike. Of returns the
// hash of pixels, and Distance compares two hashes. An index finds near hashes by bands: see Probes.
package phash

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
)

// A Hash is a perceptual hash.
type Hash uint64

const (
	// MaxDistance is the largest distance of a search.
	MaxDistance = 10
	// DefaultDistance is the distance of a search that names none.
	DefaultDistance = 8
	// TextLength is the number of hexadecimal digits of a hash.
	TextLength = 16
)

// ErrForm says that a text is not a hash.
var ErrForm = errors.New("phash: a hash has 16 hexadecimal digits")

// String returns the hash as 16 hexadecimal digits.
func (h Hash) String() string { return fmt.Sprintf("%0*x", TextLength, uint64(h)) }

// Parse returns the hash of a text of 16 hexadecimal digits. Error: ErrForm.
func Parse(text string) (Hash, error) {
	h, err := strconv.ParseUint(text, 16, 64)
	if err != nil || len(text) != TextLength {
		return 0, ErrForm
	}
	return Hash(h), nil
}

// Distance returns the number of bits in which two hashes differ, 0 to 64.
func Distance(a, b Hash) int { return bits.OnesCount64(uint64(a ^ b)) }

// Bands is the number of bands of a hash, which have BandBits bits each. Band 0 has the lowest bits.
const (
	Bands    = 4
	BandBits = 16
)

// Probes returns the values of one band that a hash within a distance of h may have, h's own first. If the distance is
// 4q + r, a hash within it differs by q bits or fewer in one of the first r + 1 bands, or by q - 1 or fewer in another
// one: otherwise it would differ by more bits in all. So each near hash has a value of Probes in at least one band.
// nil: no probe of this band is needed.
func (h Hash) Probes(band, distance int) []int {
	radius := distance / Bands
	if band > distance%Bands {
		radius--
	}
	if radius < 0 {
		return nil
	}
	own := int(h>>(band*BandBits)) & (1<<BandBits - 1)
	values := []int{own}
	begin := 0 // of the values that differ by one bit fewer
	highest := []int{-1}
	for range radius {
		end := len(values)
		for i := begin; i < end; i++ {
			for bit := highest[i] + 1; bit < BandBits; bit++ {
				values, highest = append(values, values[i]^1<<bit), append(highest, bit)
			}
		}
		begin = end
	}
	return values
}
