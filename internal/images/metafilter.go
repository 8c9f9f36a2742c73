package images

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
	maxMetaFilters = 5  // of a list
	maxMetaValues  = 10 // of one filter
)

// A MetaFilter is a condition on one value in the metadata of images: that there is a value of its
// type at its path, and how it compares.
type MetaFilter struct {
	path    string
	compare string // =, <, <=, >, >= of SQL, or in
	values  []metaValue
}

// metaOperators are the operators with their types; the first one is the default.
var metaOperators = map[string]struct {
	compare string
	kinds   []metaKind
}{
	"eq":  {"=", []metaKind{metaString, metaNumber, metaBoolean}},
	"in":  {"in", []metaKind{metaString, metaNumber}},
	"gt":  {">", []metaKind{metaNumber}},
	"gte": {">=", []metaKind{metaNumber}},
	"lt":  {"<", []metaKind{metaNumber}},
	"lte": {"<=", []metaKind{metaNumber}},
}

// NewMetaFilter returns the condition that the value at a path, such as region.name, compares with
// text as an operator says: eq and in (of strings unless :number or, for eq, :boolean follows), gt,
// gte, lt and lte (of numbers). in takes several values, separated by pipes. Error: Invalid.
func NewMetaFilter(path, operator, text string) (MetaFilter, error) {
	f := MetaFilter{path: path}
	refuse := func(reason string, args ...any) (MetaFilter, error) {
		return MetaFilter{}, errs.Errorf(errs.Invalid, "The filter meta.%.120s[%.20s] is not valid: %s",
			strings.ToValidUTF8(path, "?"), strings.ToValidUTF8(operator, "?"),
			fmt.Sprintf(reason, args...))
	}
	if len(path) > maxMetaPathRunes {
		return refuse("its field name is longer than %d characters", maxMetaPathRunes)
	}
	names := strings.Split(path, ".")
	if len(names) > maxMetaLevels {
		return refuse("its field name has more than %d levels", maxMetaLevels)
	}
	for _, name := range names {
		if !isMetaName(name) {
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
	if !slices.Contains(known.kinds, metaKind(kind)) {
		return refuse("%s takes no values of that type", name)
	}
	texts := []string{text}
	if f.compare = known.compare; f.compare == "in" {
		texts = strings.SplitN(text, "|", maxMetaValues+1)
	}
	if len(texts) > maxMetaValues {
		return refuse("it has more than %d values", maxMetaValues)
	}
	for _, text := range texts {
		value, problem := parseMetaValue(metaKind(kind), text)
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
func parseMetaValue(kind metaKind, given string) (value metaValue, problem string) {
	value.kind = kind
	if len(given) > fields.MaxMetaBytes {
		return value, fmt.Sprintf("its value is longer than %d bytes", fields.MaxMetaBytes)
	}
	switch kind {
	case metaString:
		if !text.IsPlainLines(given) {
			return value, "its value must be UTF-8 without control characters"
		}
		value.text = given
	case metaNumber:
		number, err := strconv.ParseFloat(given, 64)
		if err != nil || !jsonNumber.MatchString(given) {
			return value, "its value must be a number as JSON writes it, such as 5, -1.5 or 2e3"
		}
		value.number = number
	case metaBoolean:
		if given != "true" && given != "false" {
			return value, "its value must be true or false"
		}
		value.number = float64(sqldb.BoolInt(given == "true"))
	}
	return value, ""
}

// kind is the type of all values.
func (f MetaFilter) kind() metaKind { return f.values[0].kind }

// String returns a canonical form of the condition.
func (f MetaFilter) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", f.path, f.compare)
	for _, v := range f.values {
		fmt.Fprintf(&b, " %s %q %s", v.kind, v.text, strconv.FormatFloat(v.number, 'g', -1, 64))
	}
	return b.String()
}

// sortedFilters returns the filters in a canonical order: their order in a request has no meaning, and some
// clients change it.
func sortedFilters(filters []MetaFilter) []MetaFilter {
	return slices.SortedFunc(slices.Values(filters), func(a, b MetaFilter) int {
		return strings.Compare(a.String(), b.String())
	})
}

// condition returns SQL that compares the columns text and number, or the expression instead of the one
// that the kind of the filter uses.
func (f MetaFilter) condition(s *sqldb.Builder, text, number string) string {
	column := number
	if f.kind() == metaString {
		column = text
	}
	var marks []string
	for _, v := range f.values {
		if v.kind == metaString {
			marks = append(marks, s.Arg(v.text))
		} else {
			marks = append(marks, s.Arg(v.number))
		}
	}
	if f.compare == "in" {
		return column + ` IN (` + strings.Join(marks, ", ") + `)`
	}
	return column + ` ` + f.compare + ` ` + marks[0]
}

// of returns a SQL condition that the image of a key matches the filter. The subquery reads at most one row, by
// the primary key of image_meta, independent of the planner.
func (f MetaFilter) of(s *sqldb.Builder, key string) string {
	value := func(column string) string {
		return `(SELECT f.` + column + ` FROM image_meta f WHERE f.image = ` + key +
			` AND f.path = ` + s.Arg(f.path) + ` AND f.kind = ` + s.Arg(string(f.kind())) + `)`
	}
	if f.kind() == metaString {
		return f.condition(s, value("text"), "")
	}
	return f.condition(s, "", value("number"))
}
