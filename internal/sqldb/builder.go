package sqldb

import (
	"strconv"
	"strings"
)

// A Builder writes a statement with its arguments.
type Builder struct {
	strings.Builder
	Args []any
}

// Arg adds an argument and returns its placeholder.
func (b *Builder) Arg(value any) string {
	b.Args = append(b.Args, value)
	return "?" + strconv.Itoa(len(b.Args))
}
