package api

import (
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"calotype/internal/errs"
	"calotype/internal/images/imagestest"
	"calotype/internal/listing"
)

func TestListQuery(t *testing.T) {
	t.Parallel()
	empty, name := "", "a b"
	for raw, want := range map[string]listing.Query{
		"":           {Limit: 1000},
		"per_page=1": {Limit: 1},
		"per_page=10000&sort_order=asc&continuation_token=abc": {
			Limit: 10000, Ascending: true, Token: "abc"},
		"sort_order=desc&per_page=&continuation_token=&draft=&prefix=&filename=": {Limit: 1000},
		"creator=":                     {Limit: 1000, Creator: &empty},
		"creator=a%20b":                {Limit: 1000, Creator: &name},
		"draft=true":                   {Limit: 1000, Drafts: true},
		"draft=false":                  {Limit: 1000},
		"prefix=a%2Fb%25&filename=I+_": {Limit: 1000, Prefix: "a/b%", Filename: "I _"},
	} {
		got, err := listQuery(raw)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v (%v), want %+v", raw, got, err, want)
		}
	}
	for raw, says := range map[string]string{
		"per_page=0":             "1 to 10000",
		"per_page=10001":         "1 to 10000",
		"per_page=-1":            "1 to 10000",
		"per_page=ten":           "1 to 10000",
		"per_page=1&per_page=2":  "given twice",
		"sort_order=up":          "asc or desc",
		"creator=%FF":            "UTF-8",
		"continuation_token=%00": "control",
		"a=%zz":                  "%25",
		"perpage=2":              `"perpage" is no parameter of this request: it takes per_page, sort_order`,
		"per_page=2&x":           `"x" is no parameter`,
		"Draft=true":             `"Draft" is no parameter`,
		"draft=1":                "must be true",
		"draft=true&draft=true":  "given twice",
		"prefix=%00":             "control",
		"filename=a&filename=b":  "given twice",
		"a;b":                    "semicolon",
	} {
		_, err := listQuery(raw)
		if e := errs.AsError(err); err == nil || e.Kind != errs.Invalid ||
			!strings.Contains(e.Msg, says) {
			t.Errorf("%s: %v, want a refusal that says %q", raw, err, says)
		}
	}
}

// filter is a filter on metadata that is known to be valid.
func filter(t testing.TB, path, operator, value string) listing.Filter {
	t.Helper()
	f, err := listing.NewFilter(path, operator, value)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFilterParameters(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string][]listing.Filter{
		"meta.status%5Beq%5D=x":              {filter(t, "status", "eq", "x")},
		"meta.status[eq:string]=x":           {filter(t, "status", "eq", "x")},
		"meta%2Ea.b_1%5Beq%3Anumber%5D=5":    {filter(t, "a.b_1", "eq:number", "5")},
		"meta.a%5Bin%5D=x%7Cy+z%7C":          {filter(t, "a", "in", "x|y z|")},
		"meta.a%5Bin%5D=x|y":                 {filter(t, "a", "in", "x|y")},
		"meta.a%5Beq%5D=%5B%5D%3D%26%0A":     {filter(t, "a", "eq", "[]=&\n")},
		"meta.a[eq]":                         {filter(t, "a", "eq", "")},
		"meta.tags.0[eq]=x":                  {filter(t, "tags.0", "eq", "x")},
		"meta.a[gt]=1&per_page=1000":         {filter(t, "a", "gt:number", "1")},
		"meta.a[eq]=x&meta.a[eq]=y&per_page": {filter(t, "a", "eq", "x"), filter(t, "a", "eq", "y")},
	} {
		got, err := listQuery(raw)
		if err != nil || !reflect.DeepEqual(got, listing.Query{Limit: 1000, Meta: want}) {
			t.Errorf("%s: %+v (%v), want %+v", raw, got, err, want)
		}
	}
	for _, raw := range []string{
		"meta=x", "meta.=x", "meta.[eq]=x", "meta[eq]=x", "meta[status][eq]=x", "meta.a.eq=x",
		"meta.status=x", "meta.a[eq=x", "meta.a[eq]x=x", "meta.a[eq]]=x", "meta.a[[eq]=x",
		"meta.a[]=x", "meta.a[ne]=x", "meta.a[EQ]=x", "meta.a[eq:]=x", "meta.a[eq:null]=x",
		"meta.a[gt:string]=1", "meta.a[gt:boolean]=true", "meta.a[in:boolean]=true",
		"meta.a[eq:number:number]=1", "meta.a[eq][eq]=x", "meta.a%20[eq]=x", "meta.a-b[eq]=x",
		"meta.%C3%A9[eq]=x", "meta.a..b[eq]=x", "meta.a.[eq]=x", "meta.a[eq]=%FF", "meta.a[eq]=%00",
		"meta.a[gt]=x", "meta.a[gt]=", "meta.a[eq:boolean]=1", "meta.a[in:number]=1|", "meta.[%FF]=x",
		"meta.a[eq]=x&meta.a[no]=y", "meta.%FF[%FF]=x", "metadata.a[eq]=x", "metadata[a][eq]=x",
		"Meta.a[eq]=x", "META=x", "metadata=x", "meta.a[eq]=x&metas.a[eq]=x", "met[a]=1", "meta.a[gt]=1&Name=1",
	} {
		if _, err := listQuery(raw); err == nil || errs.AsError(err).Kind != errs.Invalid {
			t.Errorf("%s: %v, want a refusal", raw, err)
		}
	}
}

// TestFilteredList asks for lists as the SDKs do, with everything percent-encoded, and by hand.
func TestFilteredList(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		for id, metadata := range map[string]string{
			"a": `{"status":"a|b","n":5}`, "b": `{"status":"x","n":6}`, "c": `{"region":{"name":"eu"}}`,
		} {
			f.upload(f.draft("id", id, "metadata", metadata), id, imagestest.JPEG(t, 1))
		}
		f.draft("id", "draft", "metadata", `{"status":"x"}`)
		for query, want := range map[string]string{
			"":                                        "abc",
			"meta.status%5Beq%5D=x":                   "b",
			"meta.status[eq]=x":                       "b",
			"meta.status%5Beq%5D=a%7Cb":               "a",
			"meta.status%5Bin%3Astring%5D=a%7Cx":      "b",
			"meta.n%5Bin%3Anumber%5D=5%7C6%7C7":       "ab",
			"meta.n[in:number]=5|6":                   "ab",
			"meta.n[gte]=5&meta.n[lt]=6":              "a",
			"meta.n[gt]=6&meta.n[lt]=5":               "",
			"meta.region.name[eq]=eu&creator=":        "c",
			"meta.region.name[eq]=eu&creator=someone": "",
		} {
			r := f.ask("GET", "/images/v2?sort_order=asc&"+query, "", "")
			var page struct {
				Images []image
			}
			if err := json.Unmarshal(r.Result, &page); err != nil || r.status != 200 {
				t.Fatalf("%s: %d %s: %v", query, r.status, r.body, err)
			}
			var ids []string
			for _, img := range page.Images {
				ids = append(ids, img.ID)
			}
			slices.Sort(ids)
			if got := strings.Join(ids, ""); got != want {
				t.Errorf("%s finds %q, want %q", query, got, want)
			}
		}
		six := strings.Repeat("meta.n[gt]=1&", 6)
		for _, query := range []string{six, "meta.n[gt]=x", "meta.n[ne]=5", "meta.n=5",
			"meta.a.b.c.d.e.f[eq]=x", "meta." + strings.Repeat("x", 101) + "[eq]=x", "meta.n[in]=1|2|3|4|5|6|7|8|9|10|11"} {
			f.want(f.ask("GET", "/images/v2?"+query, "", ""), 400, 5400)
			f.want(f.ask("GET", "/images/v1?"+query, "", ""), 400, 5400)
		}
		f.want(f.ask("GET", "/images/v1?meta.n[gt]=1", "", ""), 400, 5400)
	})
}

// FuzzFilter reads a query that holds one parameter: it is a filter, or refused, or plainly none.
func FuzzFilter(f *testing.F) {
	for _, seed := range [][2]string{
		{"meta.status[eq]", "active"}, {"meta.a.b.c.d.e[in:number]", "1|2|3"}, {"meta.a[gt]", "-1e9"},
		{"meta", ""}, {"meta[a]", "x"}, {"meta.a[eq:boolean]", "true"}, {"metadata", "x"},
		{"meta.a[in]", "1|2|3|4|5|6|7|8|9|10|11"}, {"meta.a.b.c.d.e.f[eq]", "x"}, {"meta.a[lte]", "1e999"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		got, err := listQuery(url.QueryEscape(name) + "=" + url.QueryEscape(value))
		if err != nil {
			if errs.AsError(err).Kind != errs.Invalid {
				t.Errorf("unforeseen: %v", err)
			}
			return
		}
		asked := strings.HasPrefix(strings.ToLower(name), "meta")
		if asked != (len(got.Meta) == 1) {
			t.Fatalf("%q gives the filters %v", name, got.Meta)
		}
		if !asked {
			return
		}
		path, operator, _ := strings.Cut(strings.TrimPrefix(name, "meta."), "[")
		again, err := listing.NewFilter(path, strings.TrimSuffix(operator, "]"), value)
		if err != nil || !reflect.DeepEqual(got.Meta[0], again) || len(path) > 100 ||
			strings.Count(path, ".") > 4 || strings.Trim(path, "._0123456789"+
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			t.Errorf("%q gives %v, then %v (%v)", name, got.Meta[0], again, err)
		}
	})
}

// TestUnknownParameters: a parameter that a list or a deletion does not know is named, and nothing is
// listed or deleted.
func TestUnknownParameters(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.draft("id", "one")
		checked := 0
		for _, r := range (&api{}).list() {
			a := attempts[r.method+" "+r.pattern]
			lists := r.method == "GET" && !strings.ContainsAny(r.pattern[strings.Index(r.pattern, "}/")+2:], "{")
			lists = lists && !slices.ContainsFunc(notLists, func(s string) bool { return strings.HasSuffix(r.pattern, s) })
			if r.ofToken() || !lists && r.method != "DELETE" {
				continue
			}
			checked++
			path, _, _ := strings.Cut(a.path, "?")
			path = strings.NewReplacer("{id}", "one", "{hook}", "x", "{policy}", "x", "{stream}", "x").Replace(path)
			got := f.ask(r.method, "/"+path+"?creator_id=one", "", "")
			f.refused(got, 400, 5400, `creator_id\" is no parameter`)
		}
		if checked != 17 {
			t.Errorf("%d routes were asked", checked)
		}
		f.want(f.ask("GET", "/images/v1/one", "", ""), 200, 0)
	})
}

// notLists are routes without a parameter in their path that are not lists.
var notLists = []string{"/config", "/stats", "/batch_token", "/verify", "/eligible", "/available_alerts"}

// TestDraftList: drafts are listed as in details, with what was refused.
func TestDraftList(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.upload(f.draft("id", "image"), "a.jpg", imagestest.JPEG(t, 1))
		f.draft("id", "draft", "creator", "ann", "metadata", `{"a":1}`)
		got := f.ask("GET", "/images/v2?draft=true", "", "")
		f.want(got, 200, 0)
		detail := f.ask("GET", "/images/v1/draft", "", "")
		var list struct {
			Result struct{ Images []json.RawMessage }
		}
		var one struct{ Result json.RawMessage }
		if json.Unmarshal([]byte(got.body), &list) != nil || json.Unmarshal([]byte(detail.body), &one) != nil ||
			len(list.Result.Images) != 1 || compact(t, list.Result.Images[0]) != compact(t, one.Result) ||
			!strings.Contains(string(one.Result), `"upload"`) {
			t.Errorf("the list is %s, the details %s", got.body, detail.body)
		}
		for query, want := range map[string]string{"draft=true&creator=ann": "draft",
			"draft=true&creator=bob": "", "draft=true&prefix=dr": "draft", "draft=true&prefix=im": "",
			"prefix=im": "image", "filename=a.": "image", "draft=true&filename=a": "", "draft=false": "image"} {
			ids, _, _ := f.listed(query)
			if strings.Join(ids, " ") != want {
				t.Errorf("%s: %q, want %q", query, ids, want)
			}
		}
		f.refused(f.ask("GET", "/images/v2?draft=true&meta.a[eq]=1", "", ""), 400, 5400, "images only")
	})
}
