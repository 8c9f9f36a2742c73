package terminal

import (
	"io"
	"os"
	"strings"

	"github.com/mattn/go-runewidth"
)

// A Column is a column of a Table.
type Column struct {
	Name  string
	Right bool // aligned right, as numbers are
	Whole bool // never cut, as what is copied into another command
}

// A Table is a table for people: a line of names, and a line for each row. Cells are escaped by Visible, so no
// text can break a row or control the terminal. On a terminal the widest columns are cut until a row fits a line.
type Table struct {
	columns []Column
	rows    [][]string
	none    string
}

// NewTable returns an empty table. The sentence none is printed to the standard error if the table stays empty.
func NewTable(none string, columns ...Column) *Table { return &Table{columns: columns, none: none} }

// Row adds a row with one cell for each column.
func (t *Table) Row(cells ...string) {
	row := make([]string, len(t.columns))
	for i := range row {
		row[i] = Visible(cells[i])
	}
	t.rows = append(t.rows, row)
}

// Print writes the table to w. A terminal's width limits its lines.
func (t *Table) Print(w io.Writer) {
	if len(t.rows) == 0 {
		ShowLine(os.Stderr, "%s", t.none)
		return
	}
	head := make([]string, len(t.columns))
	for i, column := range t.columns {
		head[i] = column.Name
	}
	rows := append([][]string{head}, t.rows...)
	widths := t.widths(rows, Columns(w))
	for _, row := range rows {
		_, _ = io.WriteString(w, t.line(row, widths)+"\n") // Print of Output reports the error
	}
}

// columnGap is the number of spaces between columns.
const columnGap = 2

// minColumn is the width to which a column is cut at most.
const minColumn = 8

// widths returns the width of each column, so that a line fits the terminal; 0: any line does.
func (t *Table) widths(rows [][]string, terminal int) []int {
	widths := make([]int, len(t.columns))
	total := columnGap * (len(widths) - 1)
	for i := range widths {
		for _, row := range rows {
			widths[i] = max(widths[i], cellWidth(row[i]))
		}
		total += widths[i]
	}
	for terminal > 0 && total > terminal {
		widest := -1
		for i, width := range widths {
			if !t.columns[i].Whole && width > minColumn && (widest < 0 || width > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
		total--
	}
	return widths
}

// line returns a row as a line, without spaces at its end.
func (t *Table) line(row []string, widths []int) string {
	var line strings.Builder
	for i, cell := range row {
		if i > 0 {
			line.WriteString(strings.Repeat(" ", columnGap))
		}
		if cellWidth(cell) > widths[i] {
			cell = condition.Truncate(cell, widths[i], "…")
		}
		padding := strings.Repeat(" ", widths[i]-cellWidth(cell))
		if t.columns[i].Right {
			line.WriteString(padding + cell)
		} else {
			line.WriteString(cell + padding)
		}
	}
	return strings.TrimRight(line.String(), " ")
}

// condition has the widths of characters on terminals. Those of ambiguous width count as narrow in every locale, so
// that the same table is printed everywhere.
var condition = &runewidth.Condition{StrictEmojiNeutral: true}

// cellWidth returns the number of columns that text takes on a terminal.
func cellWidth(text string) int { return condition.StringWidth(text) }

// Details are properties of one thing for people, one a line.
type Details struct{ lines [][2]string }

// Add adds a property.
func (d *Details) Add(name, value string) { d.lines = append(d.lines, [2]string{name, value}) }

// Print writes the properties to w, with their values in one column.
func (d *Details) Print(w io.Writer) {
	width := 0
	for _, line := range d.lines {
		width = max(width, cellWidth(Visible(line[0])))
	}
	for _, line := range d.lines {
		name := Visible(line[0])
		ShowLine(w, "%s%s  %s", name, strings.Repeat(" ", width-cellWidth(name)), line[1])
	}
}
