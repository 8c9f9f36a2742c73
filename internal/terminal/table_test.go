package terminal

import (
	"bytes"
	"strings"
	"testing"
)

// narrow is a terminal of some columns.
type narrow struct {
	bytes.Buffer
	width int
}

func (n *narrow) columns() int { return n.width }

func newTestTable() *Table {
	t := NewTable("There are no pictures.", Column{Name: "ID", Whole: true}, Column{Name: "NAME"},
		Column{Name: "SIZE", Right: true})
	t.Row("5f7c0c1e", "写真の名前がとても長い.jpg", "9.9 KiB")
	t.Row("ab", "e\u0301te\u0301 👩🏽.png", "12.3 MiB")
	t.Row("x", "two\nlines\x1b[2J\u202e", "0 B")
	return t
}

func TestTable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	newTestTable().Print(&out)
	want := "" +
		"ID        NAME                               SIZE\n" +
		"5f7c0c1e  写真の名前がとても長い.jpg      9.9 KiB\n" +
		"ab        e\u0301te\u0301 👩🏽.png                     12.3 MiB\n" +
		`x         two\u000alines\u001b[2J\u202e       0 B` + "\n"
	if out.String() != want {
		t.Errorf("the table is\n%s\nwant\n%s", out.String(), want)
	}
	for line := range strings.Lines(out.String()) {
		if width := cellWidth(strings.TrimSuffix(line, "\n")); width != 49 {
			t.Errorf("a line has %d columns, want 49: %q", width, line)
		}
	}
}

// A line fits the terminal down to the width at which only whole columns and the least of the others are left.
func TestTableFitsTheTerminal(t *testing.T) {
	t.Parallel()
	const least = 8 + columnGap + minColumn + columnGap + minColumn
	for width := 20; width < 60; width++ {
		out := &narrow{width: width}
		newTestTable().Print(out)
		for line := range strings.Lines(out.String()) {
			if columns := cellWidth(strings.TrimSuffix(line, "\n")); columns > max(width, least) {
				t.Errorf("on %d columns a line has %d: %q", width, columns, line)
			}
		}
		if cut := strings.Contains(out.String(), "…"); cut != (width < 49) {
			t.Errorf("on %d columns the names are cut: %v", width, cut)
		}
		if !strings.Contains(out.String(), "5f7c0c1e") {
			t.Errorf("on %d columns the id is cut", width)
		}
	}
}

func TestTablePrintsTwice(t *testing.T) {
	t.Parallel()
	table, first, second := newTestTable(), bytes.Buffer{}, bytes.Buffer{}
	table.Print(&first)
	table.Row("y", "z", "1 B")
	table.Print(&second)
	if !strings.HasPrefix(second.String(), first.String()) {
		t.Errorf("printed\n%s\nand then\n%s", first.String(), second.String())
	}
}

func TestDetails(t *testing.T) {
	t.Parallel()
	var details Details
	details.Add("id", "a\x1b")
	details.Add("größe", "1 B")
	var out bytes.Buffer
	details.Print(&out)
	if want := "id     a\\u001b\ngröße  1 B\n"; out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}
