package cfapi

import (
	"encoding/json"
	"errors"
	"iter"
	"math"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"calotype/internal/fields"
	"calotype/internal/images"
)

func seriesOf(items ...any) iter.Seq[any] { return slices.Values(items) }

// A Series is written byte for byte like the same result in memory.
func TestWriteSeries(t *testing.T) {
	t.Parallel()
	type list[T any] struct {
		Images T       `json:"images"`
		Token  *string `json:"continuation_token"`
	}
	item := map[string]any{"id": "<a&b>", "all": []int{1, 2}, "none": []int{}, "deep": map[string]any{
		"a": json.RawMessage(`[[{"b":1}],"x"]`)}}
	long := strings.Repeat("x", 3*seriesBuffer)
	for name, items := range map[string][]any{
		"empty": {}, "one": {item}, "some": {item, 5, "x", nil, []int{}}, "long": {item, long, item, long},
	} {
		for in, pair := range map[string][2]any{
			"an object":   {list[ItemsHere]{}, list[[]any]{Images: items}},
			"the result":  {ItemsHere{}, items},
			"with info":   {WithInfo{ItemsHere{}, 5}, WithInfo{items, 5}},
			"both":        {WithInfo{list[ItemsHere]{}, nil}, WithInfo{list[[]any]{Images: items}, nil}},
			"a new thing": {Created{list[ItemsHere]{}}, Created{list[[]any]{Images: items}}},
		} {
			got, want := httptest.NewRecorder(), httptest.NewRecorder()
			if err := WriteSeries(got, Series{pair[0], seriesOf(items...)}); err != nil {
				t.Fatal(err)
			}
			if err := WriteResult(want, pair[1]); err != nil {
				t.Fatal(err)
			}
			if got.Body.String() != want.Body.String() || got.Code != want.Code {
				t.Errorf("%s, in %s: %d %.2000s\nwant %d %.2000s",
					name, in, got.Code, got.Body, want.Code, want.Body)
			}
			if short := name != "long"; short != (got.Header().Get("Content-Length") ==
				strconv.Itoa(got.Body.Len())) {
				t.Errorf("%s, in %s: the header is %v", name, in, got.Header())
			}
		}
	}
}

// An error before the first byte is a refusal, a later error is ErrCut.
func TestWriteSeriesFails(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	err := WriteSeries(w, Series{ItemsHere{}, seriesOf("x", math.NaN())})
	if err == nil || errors.Is(err, ErrCut) || w.Code != 500 ||
		!strings.Contains(w.Body.String(), `"code": 5500`) {
		t.Errorf("an item without JSON form at once: %v, %d %s", err, w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	long := strings.Repeat("x", 2*seriesBuffer)
	err = WriteSeries(w, Series{ItemsHere{}, seriesOf(long, long, math.NaN())})
	if !errors.Is(err, ErrCut) || json.Valid(w.Body.Bytes()) {
		t.Errorf("an item without JSON form behind others: %v, %d bytes", err, w.Body.Len())
	}
	w = httptest.NewRecorder()
	if err := WriteSeries(w, Series{5, seriesOf()}); err == nil || w.Code != 500 {
		t.Errorf("a result without ItemsHere: %v, %d", err, w.Code)
	}
}

// Scale and VariantsSize return the bytes of an image in a list.
func TestScale(t *testing.T) {
	t.Parallel()
	urls := URLs{Delivery: "https://img.example"}
	names := []string{"a", strings.Repeat("B", 99), "c3"}
	meta := json.RawMessage(`{"a":[[{"b":"<x>"}]],"c":{}}`)
	var scale Scale
	for _, id := range []string{"plain", "a/b c/ü", "😀\"\\'%2F/<&>", "\u2028x"} {
		img := images.Image{ID: id, Meta: meta, Original: &images.Original{Size: 12}}
		all := []any{}
		for range 3 {
			all = append(all, OwnerImage(img, urls.Variants("hash", id, names)))
		}
		var lengths []int64
		for n := range len(all) + 1 {
			w := httptest.NewRecorder()
			err := WriteSeries(w, Series{map[string]any{"images": ItemsHere{}}, seriesOf(all[:n]...)})
			if err != nil {
				t.Fatal(err)
			}
			lengths = append(lengths, int64(w.Body.Len()))
		}
		weight, err := scale.Weigh(OwnerImage(img, nil))
		if err != nil {
			t.Fatal(err)
		}
		weight += urls.VariantsSize("hash", id, len(names), 1+99+2)
		if want := lengths[3] - lengths[2]; weight != want {
			t.Errorf("%q weighs %d, want %d", id, weight, want)
		}
		if n := fields.EscapedBytes(id); n != len(EscapeID(id)) {
			t.Errorf("%q is %d bytes in a URL, not %d", id, len(EscapeID(id)), n)
		}
	}
	if weight, err := scale.Weigh(math.NaN()); err == nil {
		t.Errorf("what has no JSON form weighs %d", weight)
	}
}

func TestEncodeResultIsWriteResult(t *testing.T) {
	t.Parallel()
	for _, result := range []any{5, Created{"x"}, WithInfo{5, 6}} {
		w := httptest.NewRecorder()
		if err := WriteResult(w, result); err != nil {
			t.Fatal(err)
		}
		status, body, err := EncodeResult(result)
		if err != nil || status != w.Code || !reflect.DeepEqual(body, w.Body.Bytes()) {
			t.Errorf("%v: %d %s (%v)", result, status, body, err)
		}
	}
}
