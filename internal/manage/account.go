package manage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"calotype/internal/apiclient"
	"calotype/internal/terminal"
)

// A Variant is the JSON of a variant. The options are those of the API.
type Variant struct {
	Name    string          `json:"name"`
	Options json.RawMessage `json:"options"`
	Public  bool            `json:"public"` // also of private images
}

func newVariant(v apiclient.Variant) Variant {
	return Variant{Name: v.ID, Options: v.Options, Public: v.NeverRequireSignedURLs}
}

// options writes the options for people: fit=cover, width=200.
func (v Variant) options() string {
	values := map[string]json.RawMessage{}
	if err := json.Unmarshal(v.Options, &values); err != nil {
		return string(v.Options)
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value, plain := values[name], ""
		if json.Unmarshal(value, &plain) != nil {
			plain = string(value)
		}
		all = append(all, name+"="+plain)
	}
	return strings.Join(all, ", ")
}

func printVariants(w io.Writer, all []Variant) {
	table := terminal.NewTable("There are no variants.", terminal.Column{Name: "NAME", Whole: true},
		terminal.Column{Name: "PUBLIC"}, terminal.Column{Name: "OPTIONS"})
	for _, v := range all {
		table.Row(v.Name, terminal.YesNo(v.Public), v.options())
	}
	table.Print(w)
}

// VariantList lists the variants.
type VariantList struct{ terminal.Output }

// Run lists the variants.
func (c *VariantList) Run(ctx context.Context, client *apiclient.Client) error {
	found, err := client.Variants(ctx)
	if err != nil {
		return err
	}
	list := terminal.ListOf[Variant](nil)
	for _, v := range found {
		list.Items = append(list.Items, newVariant(v))
	}
	return c.Print(os.Stdout, list, func(w io.Writer) { printVariants(w, list.Items) })
}

// VariantShow shows a variant.
type VariantShow struct {
	terminal.Output
	Name string `arg:"" help:"Name of the variant."`
}

// Run shows the variant.
func (c *VariantShow) Run(ctx context.Context, client *apiclient.Client) error {
	v, err := client.Variant(ctx, c.Name)
	if err != nil {
		return err
	}
	item := newVariant(v)
	return c.Print(os.Stdout, item, func(w io.Writer) { printVariants(w, []Variant{item}) })
}

// VariantCreate creates a variant.
type VariantCreate struct {
	terminal.Output
	Name    string   `arg:"" help:"Name of the variant, such as thumb."`
	Options []string `arg:"" optional:"" name:"option" help:"Options, such as width=200 or fit=cover." sep:"none"`
	Public  bool     `help:"Deliver private images in this variant without a signature." env:"-"`
}

// Help returns the text of --help below the usage.
func (VariantCreate) Help() string {
	return `Creates a variant, with which each image has a delivery URL. An option is NAME=VALUE: see docs/api.md.

  calotype variant create thumb width=200 height=200 fit=cover`
}

// Validate refuses an option without a value. The parser of the command line calls it.
func (c *VariantCreate) Validate() error {
	for _, option := range c.Options {
		if name, _, found := strings.Cut(option, "="); !found || name == "" {
			return fmt.Errorf("the option %q is not valid: it should be like width=200", option)
		}
	}
	return nil
}

// Run creates the variant.
func (c *VariantCreate) Run(ctx context.Context, client *apiclient.Client) error {
	options := map[string]json.RawMessage{"fit": json.RawMessage(`"scale-down"`), "metadata": json.RawMessage(`"none"`)}
	for _, option := range c.Options {
		name, value, _ := strings.Cut(option, "=")
		options[name] = jsonOf(value)
	}
	whole, err := json.Marshal(options)
	if err != nil {
		return fmt.Errorf("encoding the options: %w", err)
	}
	v, err := client.CreateVariant(ctx,
		apiclient.Variant{ID: c.Name, Options: whole, NeverRequireSignedURLs: c.Public})
	if err != nil {
		return err
	}
	item := newVariant(v)
	return c.Print(os.Stdout, item, func(w io.Writer) { printVariants(w, []Variant{item}) })
}

// jsonOf returns a value as JSON: a number, a boolean, an object and an array as they are, other text as a string.
func jsonOf(value string) json.RawMessage {
	if first := strings.TrimLeft(value, " "); json.Valid([]byte(value)) && first[0] != '"' && value != "null" {
		return json.RawMessage(value)
	}
	text, _ := json.Marshal(value) // a string has always a form
	return bytes.TrimSpace(text)
}

// A Named is a variant or signing key to delete.
type Named struct {
	terminal.Output
	Name   string `arg:"" help:"Its name."`
	DryRun bool   `help:"Only check that it exists." env:"-"`
}

// delete deletes it, or checks by find that it exists.
func (c *Named) delete(what string, find func() error, remove func() error) error {
	if err := find(); err != nil {
		return err
	}
	verb := "would delete"
	if !c.DryRun {
		verb = "deleted"
		if err := remove(); err != nil {
			return err
		}
	}
	return c.Print(os.Stdout, map[string]any{"name": c.Name, "deleted": !c.DryRun}, func(w io.Writer) {
		terminal.ShowLine(w, "%s the %s %s", verb, what, c.Name)
	})
}

// VariantDelete deletes a variant.
type VariantDelete struct{ Named }

// Run deletes the variant.
func (c *VariantDelete) Run(ctx context.Context, client *apiclient.Client) error {
	return c.delete("variant", func() error {
		_, err := client.Variant(ctx, c.Name)
		return err
	}, func() error { return client.DeleteVariant(ctx, c.Name) })
}

// A Key is the JSON of a signing key. Its value is null unless it was asked for.
type Key struct {
	Name  string  `json:"name"`
	Value *string `json:"value"`
}

func findKey(all []apiclient.Key, name string) (Key, error) {
	i := slices.IndexFunc(all, func(k apiclient.Key) bool { return k.Name == name })
	if i < 0 {
		return Key{}, fmt.Errorf("the account has no signing key %q", name)
	}
	return Key{Name: name, Value: &all[i].Value}, nil
}

// KeyList lists the signing keys.
type KeyList struct {
	terminal.Output
	Values bool `help:"Show the values, which are secrets." env:"-"`
}

// Run lists the signing keys.
func (c *KeyList) Run(ctx context.Context, client *apiclient.Client) error {
	all, err := client.Keys(ctx)
	if err != nil {
		return err
	}
	list := terminal.ListOf[Key](nil)
	table := terminal.NewTable("There are no signing keys.", terminal.Column{Name: "NAME", Whole: true},
		terminal.Column{Name: "VALUE", Whole: true})
	for _, k := range all {
		item, shown := Key{Name: k.Name}, "(--values shows it)"
		if c.Values {
			item.Value, shown = &k.Value, k.Value
		}
		list.Items = append(list.Items, item)
		table.Row(k.Name, shown)
	}
	return c.Print(os.Stdout, list, table.Print)
}

// KeyCreate creates a signing key.
type KeyCreate struct {
	terminal.Output
	Name string `arg:"" help:"Name of the key."`
}

// Run creates the key and prints its value.
func (c *KeyCreate) Run(ctx context.Context, client *apiclient.Client) error {
	all, err := client.CreateKey(ctx, c.Name)
	if err != nil {
		return err
	}
	key, err := findKey(all, c.Name)
	if err != nil {
		return err
	}
	return c.Print(os.Stdout, key, func(w io.Writer) { terminal.ShowLine(w, "%s", *key.Value) })
}

// KeyDelete deletes a signing key.
type KeyDelete struct{ Named }

// Run deletes the key.
func (c *KeyDelete) Run(ctx context.Context, client *apiclient.Client) error {
	return c.delete("signing key", func() error {
		all, err := client.Keys(ctx)
		if err != nil {
			return err
		}
		_, err = findKey(all, c.Name)
		return err
	}, func() error {
		_, err := client.DeleteKey(ctx, c.Name)
		return err
	})
}

// A Usage is the JSON of a counted quantity and its limit, null without one.
type Usage struct {
	Used  int64  `json:"used"`
	Limit *int64 `json:"limit"`
}

func newUsage(c apiclient.Count) Usage {
	if c.Allowed == apiclient.NoLimit {
		return Usage{Used: c.Current}
	}
	return Usage{Used: c.Current, Limit: &c.Allowed}
}

// Text writes the usage for people; number writes a number.
func (u Usage) Text(number func(int64) string) string {
	if u.Limit == nil {
		return number(u.Used)
	}
	return number(u.Used) + " of " + number(*u.Limit)
}

// AccountStats is the JSON of stats.
type AccountStats struct {
	Account          string `json:"account"`
	Images           Usage  `json:"images"`
	Drafts           *Usage `json:"drafts"` // null from a server that does not count them
	Bytes            *Usage `json:"bytes"`  // those that open drafts reserve included
	FlexibleVariants bool   `json:"flexibleVariants"`
	PrivateOptions   bool   `json:"privateOptions"`
	PrivateCustomIDs bool   `json:"privateCustomIds"`
	LenientOptions   bool   `json:"lenientOptions"`
	StripOriginals   string `json:"stripOriginals"` // "" from a server that has no such setting
	AutoQuality      bool   `json:"autoQuality"`
	BrowserTTL       int64  `json:"browserTtl"` // seconds
}

// Stats shows what an account stores, and its settings.
type Stats struct{ terminal.Output }

// Run shows the statistics.
func (c *Stats) Run(ctx context.Context, client *apiclient.Client) error {
	found, err := client.Stats(ctx)
	if err != nil {
		return err
	}
	settings, err := client.Settings(ctx)
	if err != nil {
		return err
	}
	s := AccountStats{
		Account: client.Account, Images: newUsage(found.Count), FlexibleVariants: settings.FlexibleVariants,
		PrivateOptions: settings.PrivateOptions, PrivateCustomIDs: settings.PrivateCustomIDs,
		LenientOptions: settings.LenientOptions, StripOriginals: settings.StripOriginals,
		AutoQuality: settings.AutoQuality, BrowserTTL: settings.BrowserTTL,
	}
	var d terminal.Details
	d.Add("account", s.Account)
	d.Add("images", s.Images.Text(terminal.Number))
	if found.Drafts != nil && found.Bytes != nil {
		s.Drafts, s.Bytes = new(newUsage(*found.Drafts)), new(newUsage(*found.Bytes))
		d.Add("drafts", s.Drafts.Text(terminal.Number))
		d.Add("bytes", s.Bytes.Text(terminal.Bytes)+", with what open drafts reserve")
	}
	d.Add("flexible variants", terminal.YesNo(s.FlexibleVariants))
	d.Add("private options", terminal.YesNo(s.PrivateOptions))
	d.Add("private custom ids", terminal.YesNo(s.PrivateCustomIDs))
	d.Add("lenient options", terminal.YesNo(s.LenientOptions))
	if s.StripOriginals != "" {
		d.Add("removed from originals", s.StripOriginals)
	}
	d.Add("auto quality", terminal.YesNo(s.AutoQuality))
	d.Add("browser TTL", terminal.Count(s.BrowserTTL, "second", "seconds"))
	return c.Print(os.Stdout, s, d.Print)
}
