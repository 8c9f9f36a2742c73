package listing

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"calotype/internal/errs"
	"calotype/internal/fields"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// Bounds on filters.
const (
	maxFilters      = 5  // of a list
	maxFilterValues = 10 // of one filter
)

// A Filter is a condition on one value in the metadata of images: that there is a value of its
// type at its path, and how it compares.
type Filter struct {
	path    string
	compare string // =, <, <=, >, >= of SQL, or in
	values  []fields.MetaValue
}

// metaOperators are the operators with their types; the first one is the default.
var metaOperators = map[string]struct {
	compare string
	kinds   []fields.MetaKind
}{
	"eq":  {"=", []fields.MetaKind{fields.MetaString, fields.MetaNumber, fields.MetaBoolean}},
	"in":  {"in", []fields.MetaKind{fields.MetaString, fields.MetaNumber}},
	"gt":  {">", []fields.MetaKind{fields.MetaNumber}},
	"gte": {">=", []fields.MetaKind{fields.MetaNumber}},
	"lt":  {"<", []fields.MetaKind{fields.MetaNumber}},
	"lte": {"<=", []fields.MetaKind{fields.MetaNumber}},
}

// NewFilter returns the condition that the value at a path, such as region.name, compares with
// text as an operator says: eq and in (of strings unless :number or, for eq, :boolean follows), gt,
// gte, lt and lte (of numbers). in takes several values, separated by pipes. Error: Invalid.
func NewFilter(path, operator, text string) (Filter, error) {
	f := Filter{path: path}
	refuse := func(reason string, args ...any) (Filter, error) {
		return Filter{}, errs.Errorf(errs.Invalid, "The filter meta.%.120s[%.20s] is not valid: %s",
			strings.ToValidUTF8(path, "?"), strings.ToValidUTF8(operator, "?"),
			fmt.Sprintf(reason, args...))
	}
	if len(path) > fields.MaxMetaPathRunes {
		return refuse("its field name is longer than %d characters", fields.MaxMetaPathRunes)
	}
	names := strings.Split(path, ".")
	if len(names) > fields.MaxMetaLevels {
		return refuse("its field name has more than %d levels", fields.MaxMetaLevels)
	}
	for _, name := range names {
		if !fields.IsMetaName(name) {
			return refuse("a field name must be letters, digits and underscores, " +
				"with a dot between levels")
		}
	}
	name, kind, typed := strings.Cut(operator, ":")
	known, ok := metaOperators[name]
	if !ok {
		return refuse("the operators are eq, eq:string, eq:number, eq:boolean, in, in:string, " +
			"in:number, gt, gte, lt and lte")
	}
	if !typed {
		kind = string(known.kinds[0])
	}
	if !slices.Contains(known.kinds, fields.MetaKind(kind)) {
		return refuse("%s takes no values of that type", name)
	}
	texts := []string{text}
	if f.compare = known.compare; f.compare == "in" {
		texts = strings.SplitN(text, "|", maxFilterValues+1)
	}
	if len(texts) > maxFilterValues {
		return refuse("it has more than %d values", maxFilterValues)
	}
	for _, text := range texts {
		value, problem := parseMetaValue(fields.MetaKind(kind), text)
		if problem != "" {
			return refuse("%s", problem)
		}
		f.values = append(f.values, value)
	}
	return f, nil
}

// jsonNumber matches numbers of JSON, unlike Go's, which include 0x10, 1_000 and Inf.
var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// parseMetaValue returns a value, or the problem with it, "" for none.
func parseMetaValue(kind fields.MetaKind, given string) (value fields.MetaValue, problem string) {
	value.Kind = kind
	if len(given) > fields.MaxMetaBytes {
		return value, fmt.Sprintf("its value is longer than %d bytes", fields.MaxMetaBytes)
	}
	switch kind {
	case fields.MetaString:
		if !text.IsPlainLines(given) {
			return value, "its value must be UTF-8 without control characters"
		}
		value.Text = given
	case fields.MetaNumber:
		number, err := strconv.ParseFloat(given, 64)
		if err != nil || !jsonNumber.MatchString(given) {
			return value, "its value must be a number as JSON writes it, such as 5, -1.5 or 2e3"
		}
		value.Number = number
	case fields.MetaBoolean:
		if given != "true" && given != "false" {
			return value, "its value must be true or false"
		}
		return fields.MetaBool(given == "true"), ""
	}
	return value, ""
}

// kind is the type of all values.
func (f Filter) kind() fields.MetaKind { return f.values[0].Kind }

// String returns a canonical form of the condition.
func (f Filter) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", f.path, f.compare)
	for _, v := range f.values {
		fmt.Fprintf(&b, " %s %q %s", v.Kind, v.Text, strconv.FormatFloat(v.Number, 'g', -1, 64))
	}
	return b.String()
}

// sortedFilters returns the filters in a canonical order: their order in a request has no meaning, and some
// clients change it.
func sortedFilters(filters []Filter) []Filter {
	return slices.SortedFunc(slices.Values(filters), func(a, b Filter) int {
		return strings.Compare(a.String(), b.String())
	})
}

// condition returns SQL that compares the columns text and number, or the expression instead of the one
// that the kind of the filter uses.
func (f Filter) condition(s *sqldb.Builder, text, number string) string {
	column := number
	if f.kind() == fields.MetaString {
		column = text
	}
	var marks []string
	for _, v := range f.values {
		if v.Kind == fields.MetaString {
			marks = append(marks, s.Arg(v.Text))
		} else {
			marks = append(marks, s.Arg(v.Number))
		}
	}
	if f.compare == "in" {
		return column + ` IN (` + strings.Join(marks, ", ") + `)`
	}
	return column + ` ` + f.compare + ` ` + marks[0]
}

// of returns a SQL condition that the image of a key matches the filter. The subquery reads at most one row, by
// the primary key of image_meta, independent of the planner.
func (f Filter) of(s *sqldb.Builder, key string) string {
	value := func(column string) string {
		return `(SELECT f.` + column + ` FROM image_meta f WHERE f.image = ` + key +
			` AND f.path = ` + s.Arg(f.path) + ` AND f.kind = ` + s.Arg(string(f.kind())) + `)`
	}
	if f.kind() == fields.MetaString {
		return f.condition(s, value("text"), "")
	}
	return f.condition(s, "", value("number"))
}
