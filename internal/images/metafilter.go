package images

import (
	"calotype/internal/errs"
	"calotype/internal/sqldb"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
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

// metaOperators are the operators, and the types that each takes; the first one unless it is named.
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
// gte, lt and lte (of numbers). in takes several values between pipes. Invalid says what is wrong.
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

// jsonNumber is how JSON writes numbers: not how Go does, which has 0x10, 1_000 and Inf.
var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// parseMetaValue returns a value, and what is wrong with it, "" for nothing.
func parseMetaValue(kind metaKind, text string) (value metaValue, problem string) {
	value.kind = kind
	if len(text) > maxMetaBytes {
		return value, fmt.Sprintf("its value is longer than %d bytes", maxMetaBytes)
	}
	switch kind {
	case metaString:
		if !plainLines(text) {
			return value, "its value must be UTF-8 without control characters"
		}
		value.text = text
	case metaNumber:
		number, err := strconv.ParseFloat(text, 64)
		if err != nil || !jsonNumber.MatchString(text) {
			return value, "its value must be a number as JSON writes it, such as 5, -1.5 or 2e3"
		}
		value.number = number
	case metaBoolean:
		if text != "true" && text != "false" {
			return value, "its value must be true or false"
		}
		value.number = float64(sqldb.BoolInt(text == "true"))
	}
	return value, ""
}

// kind is the type of all values.
func (f MetaFilter) kind() metaKind { return f.values[0].kind }

// String is the same for the same condition, and differs for others.
func (f MetaFilter) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", f.path, f.compare)
	for _, v := range f.values {
		fmt.Fprintf(&b, " %s %q %s", v.kind, v.text, strconv.FormatFloat(v.number, 'g', -1, 64))
	}
	return b.String()
}

// sortedFilters returns the filters in an order of their own: their order in a request means
// nothing, and does not survive everywhere.
func sortedFilters(filters []MetaFilter) []MetaFilter {
	return slices.SortedFunc(slices.Values(filters), func(a, b MetaFilter) int {
		return strings.Compare(a.String(), b.String())
	})
}

// condition is SQL that compares the columns text and number, or what stands for the one of them
// that the kind of the filter uses.
func (f MetaFilter) condition(s *statement, text, number string) string {
	column := number
	if f.kind() == metaString {
		column = text
	}
	var marks []string
	for _, v := range f.values {
		if v.kind == metaString {
			marks = append(marks, s.arg(v.text))
		} else {
			marks = append(marks, s.arg(v.number))
		}
	}
	if f.compare == "in" {
		return column + ` IN (` + strings.Join(marks, ", ") + `)`
	}
	return column + ` ` + f.compare + ` ` + marks[0]
}

// of is SQL that tells whether the image of a key meets the condition. The subquery finds one row
// or none by the primary key of image_meta, whatever the planner thinks.
func (f MetaFilter) of(s *statement, key string) string {
	value := func(column string) string {
		return `(SELECT f.` + column + ` FROM image_meta f WHERE f.image = ` + key +
			` AND f.path = ` + s.arg(f.path) + ` AND f.kind = ` + s.arg(string(f.kind())) + `)`
	}
	if f.kind() == metaString {
		return f.condition(s, value("text"), "")
	}
	return f.condition(s, "", value("number"))
}
