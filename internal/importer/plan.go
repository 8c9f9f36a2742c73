package importer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/images"
)

// maxSampled limits the kinds of names of which a plan reads a picture.
const maxSampled = 20

// A Plan is what an import would do. It holds no secrets.
type Plan struct {
	Source   string         `json:"source"`
	Hash     string         `json:"hash"`     // of the account of the source in its delivery URLs; "" if it has none
	Settings map[string]int `json:"settings"` // numbers of variants, keys and config that would be imported
	Images   PlannedImages  `json:"images"`
	Seconds  int64          `json:"seconds"` // expected for the images; 0 if not known
	Notes    []string       `json:"notes"`
	Problems []Problem      `json:"problems"` // what would be refused or reduced
	Omitted  int            `json:"omitted"`  // further problems
}

// PlannedImages are numbers of images of a Plan.
type PlannedImages struct {
	Listed  int   `json:"listed"`
	Import  int   `json:"import"` // would be imported
	Bytes   int64 `json:"bytes"`  // of those; of an API only as far as the list states them
	Exists  int   `json:"exists"`
	Refused int   `json:"refused"`
	Reduced int   `json:"reduced"`
	Differ  int   `json:"differ"`
	Skipped int   `json:"skipped"`
}

// A planner makes a Plan of an import from an API.
type planner struct {
	run
	plan    Plan
	sampled map[string]sampledKind // by the extension of the filenames
}

// A sampledKind is the images whose filenames have one extension, with the first of them.
type sampledKind struct {
	count int
	first string // id
}

// PlanImport reads the list and the settings of the source, and one picture for each extension of the filenames. It
// changes nothing, so Config.Core may be nil: then the plan compares nothing with what exists here.
func PlanImport(ctx context.Context, c Config) (Plan, error) {
	c.Backoff = cmp.Or(c.Backoff, time.Second)
	from, err := newSource(c)
	if err != nil {
		return Plan{}, err
	}
	p := &planner{run: run{Config: c, source: from, known: newKnown()}, sampled: map[string]sampledKind{}}
	p.report = newReport(c.Source.API, c.Source.Account, c.Account)
	p.report.begin(1)
	if err := p.settings(ctx); err != nil {
		return Plan{}, err
	}
	total, err := from.count(ctx)
	if err != nil {
		return Plan{}, err
	}
	p.Progress.Expect(total, 0)
	if err := p.list(ctx); err != nil {
		return Plan{}, err
	}
	if err := p.sample(ctx); err != nil {
		return Plan{}, err
	}
	if c.Rate > 0 {
		p.plan.Seconds = int64(float64(p.plan.Images.Import) / c.Rate)
	}
	return p.plan.finish(p.report), nil
}

// finish adds the problems and notes of a report.
func (p *Plan) finish(r *report) Plan {
	done := r.finish(true)
	p.Source, p.Settings, p.Notes = done.Source, done.Settings, done.Notes
	p.Problems, p.Omitted = done.Problems, done.Omitted
	p.Images.Refused, p.Images.Reduced = done.Images.Refused, done.Images.Reduced
	p.Images.Differ, p.Images.Skipped = done.Images.Differ, done.Images.Skipped
	return *p
}

// settings checks the variants, and counts the keys and the config.
func (p *planner) settings(ctx context.Context) error {
	var variants sourceVariants
	if _, err := p.read(ctx, "variants", "/v1/variants", &variants); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(variants.Variants)) {
		v, err := variants.Variants[id].variant(id)
		if err == nil {
			err = v.Check()
		}
		if err != nil {
			p.report.problem("variant", id, Refused, plainError(err))
			continue
		}
		p.report.setting("variant")
	}
	var config sourceConfig
	found, err := p.read(ctx, "config", "/v1/config", &config)
	if err != nil {
		return err
	}
	if found {
		p.report.setting("config")
	}
	if p.NoKeys {
		return nil
	}
	var keys sourceKeys
	if _, err := p.read(ctx, "keys", "/v1/keys", &keys); err != nil {
		return err
	}
	for range keys.Keys {
		p.report.setting("key")
	}
	return nil
}

// read reads a setting; found is false if the source refuses to show it.
func (p *planner) read(ctx context.Context, what, path string, result any) (found bool, err error) {
	err = p.source.result(ctx, path, result)
	answer := new(statusError)
	if errors.As(err, &answer) && answer.status != 401 && !answer.temporary() {
		p.report.note("the source does not list its " + what + ": set them by hand")
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the %s: %w", what, err)
	}
	return true, nil
}

// plainError returns the text of an error without its kind.
func plainError(err error) string {
	if refusal := new(errs.Error); errors.As(err, &refusal) {
		return refusal.Msg
	}
	return err.Error()
}

// list reads the list of images once.
func (p *planner) list(ctx context.Context) error {
	walk := newPages()
	for token := ""; ; {
		page, err := p.source.list(ctx, token)
		if err != nil {
			return err
		}
		if token, err = walk.next(page); err != nil {
			return err
		}
		if err := p.page(ctx, page.Images); err != nil || token == "" {
			return err
		}
	}
}

func (p *planner) page(ctx context.Context, listed []sourceImage) error {
	here := map[string]images.Image{}
	if p.Core != nil {
		ids := make([]string, len(listed))
		for i, l := range listed {
			ids[i] = l.ID
		}
		var err error
		if here, err = p.Core.ImagesNamed(ctx, p.Account.ID, ids); err != nil {
			return err
		}
	}
	for _, l := range listed {
		if l.Draft {
			continue
		}
		p.plan.Images.Listed++
		p.plan.Hash = cmp.Or(p.plan.Hash, l.hash())
		p.Progress.Add(1, 0)
		i, removed, err := l.imported().Adapted()
		if err == nil && p.MaxBytes > 0 && i.Size > p.MaxBytes {
			err = images.FileTooLarge(p.MaxBytes)
		}
		if err != nil {
			p.report.set(l.ID, Refused, plainError(err))
			continue
		}
		if len(removed) > 0 {
			p.report.set(i.ID, Reduced, strings.Join(removed, "; "))
		}
		if img, found := here[i.ID]; found && !img.Draft {
			if p.isDone(i, img) {
				p.plan.Images.Exists++
			}
			continue
		}
		p.plan.Images.Import++
		p.plan.Images.Bytes += i.Size
		p.count(i)
	}
	return nil
}

// count counts an image by the extension of its filename.
func (p *planner) count(i images.ImportedImage) {
	extension := strings.ToLower(path.Ext(i.Filename))
	kind, known := p.sampled[extension]
	if !known {
		if len(p.sampled) >= maxSampled {
			return
		}
		kind.first = i.ID
	}
	kind.count++
	p.sampled[extension] = kind
}

// sample reads a picture of each kind and records kinds whose formats are refused.
func (p *planner) sample(ctx context.Context) error {
	for _, extension := range slices.Sorted(maps.Keys(p.sampled)) {
		kind := p.sampled[extension]
		err := p.source.retry(ctx, func() error { return p.try(ctx, kind.first) })
		answer := new(statusError)
		switch {
		case err == nil || errors.As(err, &answer) && answer.status == 404:
		case errors.Is(err, imagefile.ErrUnsupported) || errors.Is(err, imagefile.ErrMalformed) ||
			errors.Is(err, errTooLarge):
			p.report.problem("format", extension, Refused, fmt.Sprintf("the picture %q was read: %v; %d images have "+
				"such filenames", kind.first, err, kind.count))
		default:
			return fmt.Errorf("reading the picture %q of the source: %w", kind.first, err)
		}
	}
	return nil
}

var errTooLarge = errors.New("it is larger than -max-upload-bytes")

// try reads a picture and its header.
func (p *planner) try(ctx context.Context, id string) error {
	most := cmp.Or(p.MaxBytes, defaultMaxBytes)
	body := &limitedBuffer{most: most}
	size, err := p.source.blob(ctx, id, body)
	if errors.Is(err, errTooLarge) {
		return errTooLarge
	}
	if err != nil {
		return err
	}
	_, err = imagefile.ReadHeader(bytes.NewReader(body.Bytes()), size)
	return err
}

const defaultMaxBytes = 10 << 20

// A limitedBuffer refuses more bytes than most.
type limitedBuffer struct {
	bytes.Buffer
	most int64
}

// Write implements io.Writer. Error: errTooLarge.
func (b *limitedBuffer) Write(p []byte) (int, error) {
	if int64(b.Len()+len(p)) > b.most {
		return 0, errTooLarge
	}
	return b.Buffer.Write(p)
}

// ReadFrom hides that of the Buffer, which has no limit.
func (b *limitedBuffer) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{b}, r)
}

// wouldExceed notes if the account has too little left for the images of a plan.
func wouldExceed(a accounts.Account, n int, bytes int64, r *report) {
	if err := a.WouldRefuse(accounts.Charge{Images: int64(n), Bytes: bytes}); err != nil {
		r.note("the account would refuse some of them: " + plainError(err))
	}
}
