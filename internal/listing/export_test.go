package listing

import (
	"calotype/internal/images"
	"calotype/internal/text"
)

// SetScanned sets the number of rows that are scanned for a page.
func (l *Lister) SetScanned(rows int) { l.scanned = rows }

// SetRead sets the number of rows that are read at once.
func (l *Lister) SetRead(rows int) { l.read = rows }

// A Statement is a statement that a list sends to the database.
type Statement struct {
	SQL  string
	Args []any
}

// Statements returns the statements of a page behind an image, for EXPLAIN.
func Statements(account string, q Query, after *images.Image) (all []Statement) {
	q.Meta = sortedFilters(q.Meta)
	w := newScanPlan(account, q)
	var from, to *position
	if after != nil {
		p := q.position(*after)
		from = &p
	}
	add := func(sql string, args []any) { all = append(all, Statement{sql, args}) }
	if len(w.residual) > 0 {
		to = &position{key: text.NewKey()}
		if q.Ascending {
			to.uploaded, to.name = 1<<60, "\U0010FFFF"
		}
		if w.bands != nil {
			add(w.horizon(from, 46))
		} else {
			add(w.end(from, 1000))
		}
	}
	add(w.page(from, to, q.Limit+1))
	if q.Meta == nil && !q.named() && w.arms == nil && !q.Ascending && after == nil {
		add(w.numbered(1000, q.Limit))
	}
	return all
}
