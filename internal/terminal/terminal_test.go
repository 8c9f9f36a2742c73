package terminal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

type item struct {
	Name    string `json:"name"`
	Created Time   `json:"created"`
	Used    Time   `json:"used"`
}

func TestPrint(t *testing.T) {
	t.Parallel()
	list := ListOf([]item{{Name: "<a>&\x1b\u202e", Created: Time(time.Date(2026, 1, 31, 12, 0, 0, 1234567,
		time.FixedZone("", 3600)))}})
	people := func(w io.Writer) { fmt.Fprintln(w, "one item") }
	var out bytes.Buffer
	if err := (Output{JSON: true}).Print(&out, list, people); err != nil {
		t.Fatal(err)
	}
	want := "{\n  \"items\": [\n    {\n      \"name\": \"<a>&\\u001b\\u202e\",\n" +
		"      \"created\": \"2026-01-31T11:00:00.001Z\",\n      \"used\": null\n    }\n  ]\n}\n"
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
	var back struct {
		Items []struct{ Name string }
	}
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Items[0].Name != "<a>&\x1b\u202e" {
		t.Errorf("it is read as %+v, %v", back, err)
	}
	out.Reset()
	if err := (Output{}).Print(&out, list, people); err != nil || out.String() != "one item\n" {
		t.Errorf("printed %q, %v", out.String(), err)
	}
	out.Reset()
	none := ListOf[item](nil)
	none.Next = "c"
	if err := (Output{JSON: true}).Print(&out, none, people); err != nil ||
		out.String() != "{\n  \"items\": [],\n  \"next\": \"c\"\n}\n" {
		t.Errorf("printed %q, %v", out.String(), err)
	}
}

// full is a writer whose disk is full.
type full struct{}

var errFull = errors.New("the disk is full")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestPrintReportsErrors(t *testing.T) {
	t.Parallel()
	for _, o := range []Output{{}, {JSON: true}} {
		err := o.Print(full{}, item{}, func(w io.Writer) { ShowLine(w, "a") })
		if !errors.Is(err, errFull) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if err := (Output{JSON: true}).Print(io.Discard, func() {}, nil); err == nil {
		t.Error("a function was printed as JSON")
	}
}
