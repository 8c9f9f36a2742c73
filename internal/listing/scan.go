package listing

import (
	"strconv"
	"strings"

	"calotype/internal/fields"
	"calotype/internal/images"
	"calotype/internal/lookalikes"
	"calotype/internal/sqldb"
)

// A scanPlan scans rows in the order of lists, by an index that ends in (uploaded, key): the images of an
// account or of a creator, or the rows of image_meta with one value, or any value, at one path. Or it scans
// images by an index that ends in a name and the key, or by several indexes for look-alikes. The residual
// conditions are evaluated for each row.
type scanPlan struct {
	table, key string // the table, and its column with the image's key
	by         string // the column of the order, before the key
	named      bool   // by is text, and begins with beginning
	beginning  string
	order      string // ASC or DESC
	leading    string // column to order by before uploaded, or ""
	driving    []condition
	residual   []condition
	arms       []condition       // each for another index; a row of the plan is a row of one or several of them
	bands      []lookalikes.Band // of the arms that find near hashes
}

// A condition writes SQL about the row called m.
type condition func(*sqldb.Builder) string

// newScanPlan picks the index that is expected to scan the fewest rows: a creator has few images, and
// one value of a path fewer than all values of it.
func newScanPlan(account string, q Query) scanPlan {
	w := scanPlan{order: "DESC", by: "m.uploaded"}
	if q.Ascending {
		w.order = "ASC"
	}
	w.driving = append(w.driving, func(s *sqldb.Builder) string { return `m.account = ` + s.Arg(account) })
	filters := q.Meta
	if q.SHA256 != "" || q.Near != nil {
		w.throughLooks(q)
		w.residue(filters)
		return w
	}
	if q.named() {
		w.throughNames(q)
		w.residue(filters)
		return w
	}
	byCreator := q.Creator != nil && (*q.Creator != "" || len(filters) == 0)
	if byCreator || len(filters) == 0 {
		w.throughImages(q)
	} else {
		filters = w.throughMeta(filters)
		w.residual = append(w.residual, creatorOf(q.Creator)...)
	}
	w.residue(filters)
	return w
}

// residue adds filters that are evaluated for each row.
func (w *scanPlan) residue(filters []Filter) {
	key := "m." + w.key
	for _, f := range filters {
		w.residual = append(w.residual, func(s *sqldb.Builder) string { return f.of(s, key) })
	}
}

// throughImages scans images or drafts, of a creator if one is given.
func (w *scanPlan) throughImages(q Query) {
	w.table, w.key = "images", "key"
	draft, creator := `m.draft = 0`, q.Creator
	if q.Drafts {
		draft = `m.draft = 1`
	}
	w.driving = append(w.driving, func(*sqldb.Builder) string { return draft })
	switch {
	case creator == nil:
	case *creator == "":
		w.driving = append(w.driving, func(*sqldb.Builder) string { return `m.creator IS NULL` })
		w.leading = "creator" // PostgreSQL does not infer that all are equal
	default:
		w.driving = append(w.driving, func(s *sqldb.Builder) string {
			return `m.creator = ` + s.Arg(*creator)
		})
	}
}

// throughMeta scans the rows of one filter's path, and returns the other filters.
func (w *scanPlan) throughMeta(filters []Filter) (others []Filter) {
	driver := 0
	for i, f := range filters {
		// Booleans are not selective.
		if f.compare == "=" && (filters[driver].compare != "=" || f.kind() != fields.MetaBoolean) {
			driver = i
		}
	}
	f := filters[driver]
	w.table, w.key = "image_meta", "image"
	w.driving = append(w.driving, func(s *sqldb.Builder) string {
		return `m.path = ` + s.Arg(f.path) + ` AND m.kind = ` + s.Arg(string(f.kind()))
	})
	if f.compare == "=" {
		w.driving = append(w.driving, func(s *sqldb.Builder) string {
			v := f.values[0]
			return `m.text = ` + s.Arg(v.Text) + ` AND m.number = ` + s.Arg(v.Number)
		})
	} else {
		// As expressions, so that the planner does not use the index by values, whose order is not the list's.
		w.residual = append(w.residual, func(s *sqldb.Builder) string {
			return f.condition(s, `m.text || ''`, `m.number + 0`)
		})
	}
	return append(append(others, filters[:driver]...), filters[driver+1:]...)
}

// creatorOf is the condition on the creator in a scan of image_meta.
func creatorOf(creator *string) []condition {
	if creator == nil {
		return nil
	}
	return []condition{func(s *sqldb.Builder) string {
		is := ` IS NULL`
		if *creator != "" {
			is = ` = ` + s.Arg(*creator)
		}
		return `(SELECT c.creator FROM images c WHERE c.key = m.image)` + is
	}}
}

// rows writes a statement for the positions of the rows after one position, up to another, that meet
// conditions. The caller adds LIMIT and OFFSET for at most limit rows in all.
func (w scanPlan) rows(s *sqldb.Builder, from, to *position, limit int, conditions ...[]condition) {
	if w.arms != nil {
		w.union(s, from, to, limit, conditions...)
		return
	}
	s.WriteString(`SELECT ` + w.by + ` AS moment, m.` + w.key + ` AS walked FROM ` + w.table + ` m`)
	var where []string
	for _, some := range conditions {
		for _, c := range some {
			where = append(where, c(s))
		}
	}
	behind, upTo := `<`, `>=`
	if w.order == "ASC" {
		behind, upTo = `>`, `<=`
	}
	bound := func(compare string, p *position) {
		if p != nil {
			at := any(p.uploaded)
			if w.named {
				at = p.name
			}
			where = append(where, `(`+w.by+`, m.`+w.key+`) `+compare+
				` (`+s.Arg(at)+`, `+s.Arg(p.key)+`)`)
		}
	}
	if w.named {
		where = append(where, w.stretch(s, from))
	}
	bound(behind, from)
	bound(upTo, to)
	s.WriteString(` WHERE ` + strings.Join(where, ` AND `) + ` ORDER BY `)
	if w.leading != "" {
		s.WriteString(`m.` + w.leading + ` ` + w.order + `, `)
	}
	s.WriteString(w.by + ` ` + w.order + `, m.` + w.key + ` ` + w.order)
}

// end returns a statement for the position of the last of rows rows after a position.
func (w scanPlan) end(from *position, rows int) (string, []any) {
	s := &sqldb.Builder{}
	w.rows(s, from, nil, rows, w.driving)
	s.WriteString(` LIMIT 1 OFFSET ` + strconv.Itoa(rows-1))
	return s.String(), s.Args
}

// page returns a statement for the images after one position, up to another, that meet all conditions.
func (w scanPlan) page(from, to *position, limit int) (string, []any) {
	return w.images(from, to, 0, limit)
}

// numbered returns a statement for the images at an offset.
func (w scanPlan) numbered(offset, limit int) (string, []any) {
	return w.images(nil, nil, offset, limit)
}

// images returns a statement for images. The scan uses the index only; rows of found images are read.
func (w scanPlan) images(from, to *position, offset, limit int) (string, []any) {
	s := &sqldb.Builder{}
	s.WriteString(images.SelectImage + ` JOIN (`)
	w.rows(s, from, to, offset+limit, w.driving, w.residual)
	s.WriteString(` LIMIT ` + strconv.Itoa(limit))
	if offset > 0 {
		s.WriteString(` OFFSET ` + strconv.Itoa(offset))
	}
	s.WriteString(`) walk ON key = walked ORDER BY moment ` + w.order + `, walked ` + w.order)
	return s.String(), s.Args
}

// count returns a statement for the number of rows to scan.
func (w scanPlan) count() (string, []any) {
	s := &sqldb.Builder{}
	s.WriteString(`SELECT count(*) FROM ` + w.table + ` m WHERE `)
	for i, c := range w.driving {
		if i > 0 {
			s.WriteString(` AND `)
		}
		s.WriteString(c(s))
	}
	return s.String(), s.Args
}
