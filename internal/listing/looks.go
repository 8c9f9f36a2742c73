package listing

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"calotype/internal/errs"
	"calotype/internal/lookalikes"
	"calotype/internal/phash"
	"calotype/internal/sqldb"
)

// A Near selects the images whose perceptual hash is within a distance of another one.
type Near struct {
	Hash     phash.Hash
	Distance int // 0 to phash.MaxDistance
}

// String returns a canonical form of the condition.
func (n Near) String() string { return fmt.Sprintf("%v %d", n.Hash, n.Distance) }

// checkLooks checks the SHA-256 and the hash in the query. These lists are in the order of uploads, and find images.
func (q Query) checkLooks() error {
	switch {
	case q.SHA256 == "" && q.Near == nil:
		return nil
	case q.SHA256 != "" && q.Near != nil:
		return errs.Errorf(errs.Invalid, "sha256 and near are two lists: send one of them")
	case q.SHA256 != "" && !lookalikes.IsSHA256(q.SHA256):
		return errs.Errorf(errs.Invalid, "sha256 must be 64 hexadecimal digits, with small letters")
	case q.Near != nil && (q.Near.Distance < 0 || q.Near.Distance > phash.MaxDistance):
		return lookalikes.ErrDistance
	case q.Drafts || q.named():
		return errs.Errorf(errs.Invalid, "sha256 and near find images in the order of their uploads: leave out "+
			"draft=true, prefix and filename")
	}
	return nil
}

// throughLooks scans images by the indexes of SHA-256 sums, or of the bands of hashes. A band finds more images than
// those within the distance.
func (w *scanPlan) throughLooks(q Query) {
	w.table, w.key = "images", "key"
	if q.SHA256 != "" {
		for _, column := range []string{"sha256", "received_sha256"} {
			w.arms = append(w.arms, func(s *sqldb.Builder) string {
				return `m.` + column + ` IS NOT NULL AND m.` + column + ` = ` + s.Arg(q.SHA256)
			})
		}
	} else {
		w.bands = lookalikes.Near(q.Near.Hash, q.Near.Distance)
		for _, band := range w.bands {
			w.arms = append(w.arms, band.In)
		}
		w.residual = append(w.residual, func(s *sqldb.Builder) string {
			hash := `CAST(` + s.Arg(int64(q.Near.Hash)) + ` AS BIGINT)`
			return lookalikes.DistanceSQL(hash) + ` <= ` + s.Arg(q.Near.Distance)
		})
	}
	w.residual = append(w.residual, creatorByExpression(q.Creator)...)
}

// union writes the statement of rows for a plan with arms: the rows of each arm, and of these the first. An image may
// be in several arms, and is listed once.
func (w scanPlan) union(s *sqldb.Builder, from, to *position, limit int, conditions ...[]condition) {
	one := w
	one.arms = nil
	s.WriteString(`SELECT moment, walked FROM (`)
	for i, arm := range w.arms {
		if i > 0 {
			s.WriteString(` UNION `)
		}
		s.WriteString(`SELECT moment, walked FROM (`)
		// The arm is first: PostgreSQL evaluates conditions of the same cost in this order.
		one.rows(s, from, to, limit, append([][]condition{{arm}}, conditions...)...)
		s.WriteString(` LIMIT ` + strconv.Itoa(limit) + `) arm` + strconv.Itoa(i))
	}
	s.WriteString(`) arms ORDER BY moment ` + w.order + `, walked ` + w.order)
}

// horizon returns a statement for the positions after which a value of a band has no more than some rows unread: a row
// for each value with more. Each index entry up to there is read, at most that number for each value.
func (w scanPlan) horizon(from *position, some int) (string, []any) {
	s := &sqldb.Builder{}
	for i, band := range w.bands {
		if i > 0 {
			s.WriteString(` UNION ALL `)
		}
		marks := make([]string, len(band.Values))
		for j, v := range band.Values {
			marks[j] = `(CAST(` + s.Arg(v) + ` AS BIGINT))`
		}
		table := `probes` + strconv.Itoa(i)
		s.WriteString(`SELECT at FROM (WITH ` + table + ` (value) AS (VALUES ` + strings.Join(marks, ", ") +
			`) SELECT (SELECT CAST(moment AS TEXT) || '.' || walked FROM (`)
		one := w
		one.arms = nil
		one.rows(s, from, nil, 0, []condition{func(*sqldb.Builder) string {
			return band.Column + ` = +p.value` // without an affinity, which would hide the index from SQLite
		}}, w.driving)
		s.WriteString(` LIMIT 1 OFFSET ` + strconv.Itoa(some-1) + `) unread) AS at FROM ` + table +
			` p) band` + strconv.Itoa(i) + ` WHERE at IS NOT NULL`)
	}
	return s.String(), s.Args
}

// endOfBands returns the position up to which all values of the bands are read, if some rows of each are read; nil if
// that is all of them.
func (l *Lister) endOfBands(ctx context.Context, w scanPlan, from *position, rows int) (*position, error) {
	values := 0
	for _, band := range w.bands {
		values += len(band.Values)
	}
	query, args := w.horizon(from, max(1, rows/values))
	all, err := sqldb.Select(l.db.Reader(ctx), func(r sqldb.Row) (p position, err error) {
		var at string
		if err = r.Scan(&at); err != nil {
			return p, err
		}
		micros, key, _ := strings.Cut(at, ".")
		p.key = key
		p.uploaded, err = strconv.ParseInt(micros, 10, 64)
		return p, err
	}, query, args...)
	if err != nil {
		return nil, fmt.Errorf("finding the end of a stretch of bands: %w", err)
	}
	if len(all) == 0 {
		return nil, nil
	}
	first := slices.MinFunc(all, func(a, b position) int {
		if w.order == "DESC" {
			a, b = b, a
		}
		return a.compare(b)
	})
	return &first, nil
}

// NewNear returns the condition that the hash of an image is within a distance of the hash in a text; the default
// distance if distance is "". Error: Invalid.
func NewNear(given, distance string) (*Near, error) {
	h, err := phash.Parse(given)
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, "near must be the phash of an image: %d hexadecimal digits",
			phash.TextLength)
	}
	n := &Near{Hash: h, Distance: phash.DefaultDistance}
	if distance != "" {
		if n.Distance, err = strconv.Atoi(distance); err != nil || n.Distance < 0 || n.Distance > phash.MaxDistance {
			return nil, lookalikes.ErrDistance
		}
	}
	return n, nil
}
