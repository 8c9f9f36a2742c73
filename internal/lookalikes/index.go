package lookalikes

import (
	"fmt"
	"strconv"
	"strings"

	"calotype/internal/phash"
	"calotype/internal/sqldb"
)

// Column returns the form in which a column has the hash of a text: a signed number, or nil for "".
func Column(text string) (any, error) {
	if text == "" {
		return nil, nil
	}
	h, err := phash.Parse(text)
	return int64(h), err
}

// Text is the inverse of Column, for a column that is not null.
func Text(column int64) string { return phash.Hash(column).String() }

// A Band is one of the indexes by which near hashes are found. A row whose column phash is near has one of the Values
// in the Column of at least one Band.
type Band struct {
	Column string // SQL, as the index has it, of the table m
	Values []int
}

// Near returns the bands that are needed to find all hashes within a distance of h, 0 to phash.MaxDistance.
func Near(h phash.Hash, distance int) (bands []Band) {
	for band := range phash.Bands {
		values := h.Probes(band, distance)
		if values == nil {
			continue
		}
		column := `(m.phash & 65535)`
		if band > 0 {
			column = `((m.phash >> ` + strconv.Itoa(band*phash.BandBits) + `) & 65535)`
		}
		bands = append(bands, Band{column, values})
	}
	return bands
}

// In writes the condition that a row has one of the values of the band.
func (b Band) In(s *sqldb.Builder) string {
	marks := make([]string, len(b.Values))
	for i, v := range b.Values {
		marks[i] = s.Arg(v)
	}
	return b.Column + ` IN (` + strings.Join(marks, ", ") + `)`
}

// DistanceSQL returns SQL for the distance of the column phash of the table m and a hash, which hash is SQL for. No
// operator of both engines counts bits. So the bits of the difference are counted in parallel: the sums of groups of 3
// bits, then of 6, and the remainder of a division by 63 is the sum of all groups, which is 60 at most. The highest 4
// bits are counted separately, which also removes the sign.
func DistanceSQL(hash string) string {
	differ := `((m.phash | ` + hash + `) - (m.phash & ` + hash + `))`
	const (
		low     = 1<<60 - 1
		ones    = low / 7      // the lowest bit of each group of 3
		lower   = ones * 3     // the lower 2 bits of each
		sixes   = low / 63 * 7 // the lower 3 bits of each group of 6
		highest = 15
	)
	rest := fmt.Sprintf(`(%s & %d)`, differ, int64(low))
	threes := fmt.Sprintf(`(%[1]s - ((%[1]s >> 1) & %[2]d) - ((%[1]s >> 2) & %[3]d))`, rest, int64(lower), int64(ones))
	counted := fmt.Sprintf(`(((%[1]s + (%[1]s >> 3)) & %[2]d) %% 63)`, threes, int64(sixes))
	top := fmt.Sprintf(`((%s >> 60) & %d)`, differ, highest)
	return fmt.Sprintf(`(%[1]s + %[2]s - (%[2]s >> 1) - (%[2]s >> 2) - (%[2]s >> 3))`, counted, top)
}
