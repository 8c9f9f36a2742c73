package openapitest

import (
	"slices"
	"strings"
	"testing"
)

const small = `{
  "openapi": "3.1.0",
  "servers": [{"url": "/v1"}],
  "tags": [{"name": "Cats", "description": "All about cats"}],
  "paths": {
    "/cats/{name}": {
      "parameters": [{"$ref": "#/components/parameters/name"}],
      "put": {
        "operationId": "feed",
        "summary": "Feed a cat",
        "description": "Feeds a cat until it stops.",
        "tags": ["Cats"],
        "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Food"}}}},
        "responses": {
          "200": {"$ref": "#/components/responses/Cat"},
          "204": {"description": "No cat", "headers": {"Mood": {"description": "Of the cat",
            "schema": {"type": "string"}, "example": "calm"}}},
          "default": {"$ref": "#/components/responses/Refusal"}
        }
      }
    }
  },
  "components": {
    "parameters": {"name": {"name": "name", "in": "path", "description": "Of the cat", "example": "tom",
      "schema": {"type": "string", "maxLength": 8}}},
    "responses": {
      "Cat": {"description": "The cat", "content": {"application/json": {
        "schema": {"type": "object", "required": ["lives"]}, "example": {"lives": 9}}}},
      "Refusal": {"description": "A refusal", "content": {"text/plain": {"schema": {"type": "string"},
        "examples": {"full": {"value": "full"}, "asleep": {"value": "asleep"}}}}}
    },
    "schemas": {"Food": {"type": "object", "properties": {"grams": {"type": "integer"}},
      "examples": [{"grams": 80}]}}
  }
}`

// TestFlaws removes or spoils one part of a description at a time.
func TestFlaws(t *testing.T) {
	t.Parallel()
	d, err := Read([]byte(small))
	if err != nil || len(d.Flaws()) > 0 {
		t.Fatalf("%v, %v", d.Flaws(), err)
	}
	for _, change := range [][2]string{
		{`"operationId": "feed",`, ``},
		{`"summary": "Feed a cat"`, `"summary": "Feed"`},
		{`"Feeds a cat until it stops."`, `"Feed a cat."`},
		{`"description": "Feeds a cat until it stops.",`, ``},
		{`"tags": ["Cats"],`, ``},
		{`"tags": ["Cats"],`, `"tags": ["Dogs"],`},
		{`"All about cats"`, `""`},
		{`"example": "tom",`, ``},
		{`"example": "tom"`, `"example": "bartholomew"`},
		{`"description": "Of the cat", "example": "tom",`, `"example": "tom",`},
		{`"examples": [{"grams": 80}]`, `"examples": []`},
		{`{"grams": 80}`, `{"grams": "many"}`},
		{`, "example": {"lives": 9}`, ``},
		{`{"lives": 9}`, `{}`},
		{`, "example": "calm"`, ``},
		{`"description": "No cat", `, ``},
		{`"value": "full"`, `"value": 1`},
		{`, "asleep": {"value": "asleep"}`, ``},
	} {
		spoilt := strings.Replace(small, change[0], change[1], 1)
		d, err := Read([]byte(spoilt))
		if err != nil || spoilt == small {
			t.Fatalf("%s: %v", change[0], err)
		}
		if len(d.Flaws()) == 0 {
			t.Errorf("%s -> %s: no flaw", change[0], change[1])
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	d, err := Read([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	o := d.Find("PUT", "/v1/cats/tom")
	if o == nil || d.Find("PUT", "/v1/cats/tom/x") != nil || d.Find("GET", "/v1/cats/tom") != nil {
		t.Fatalf("found %v", o)
	}
	if o.Answers["200"] != "Cat" || o.Answers["default"] != "" {
		t.Errorf("answers: %v", o.Answers)
	}
	if err := d.Check(o, 200, []byte(`{"lives": 1}`)); err != nil {
		t.Error(err)
	}
	if d.Check(o, 200, []byte(`{}`)) == nil || d.Check(o, 500, []byte(`{}`)) == nil {
		t.Error("an invalid answer is accepted")
	}
}

func TestShape(t *testing.T) {
	t.Parallel()
	one, other := Shape{}, Shape{}
	if err := one.AddJSON(`{"success": true, "result": {"a": [{"b": 1}, {"c": null}], "meta": {"x": 1}}}`); err != nil {
		t.Fatal(err)
	}
	if err := other.AddJSON(`{"success": true, "result": {"a": [], "meta": {"y": 1}}}`); err != nil {
		t.Fatal(err)
	}
	if got := one.Without(other); !slices.Equal(got, []string{".result.a[].b", ".result.a[].c"}) {
		t.Errorf("%v", got)
	}
	if got := other.Without(one); len(got) > 0 {
		t.Errorf("%v", got)
	}
	if err := other.AddJSON(`{"keys": []}`); err != nil || other[".keys"] {
		t.Errorf("no envelope: %v, %v", other, err)
	}
}
