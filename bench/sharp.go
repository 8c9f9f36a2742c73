package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// askers are the numbers of concurrent requests, with the requests of a round.
var askers = []struct{ at, requests int }{{1, 12}, {4, 24}, {16, 64}}

const (
	sharpCPU    = 0.85 // aims: of sharp's CPU of a request,
	sharpRate   = 1.4  // of its rate with 16 askers,
	aloneTime   = 1.1  // of the time of the pipeline in one process,
	sharpBytes  = 1.02 // and, so that speed is never bought with quality, of its bytes
	sharpSSIM   = 0.998
	sharpMemory = 130 // MB of the tree, while it renders 12-megapixel JPEGs
)

// sharp measures renditions of several kinds of pictures, each requested for the first time, beside a bare server
// that uses sharp, the same pipeline in one process, and vipsthumbnail.
func (b *bench) sharp() error {
	all, err := b.paintSubjects()
	if err != nil {
		return err
	}
	for _, one := range all {
		if !b.subjects.MatchString(one.name) {
			continue
		}
		say("%s: %d bytes", one.name, len(one.picture))
		if err := b.besideSharp(one); err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
	}
	return nil
}

// A contest is one subject on the two servers.
type contest struct {
	subject
	b      *bench
	s      *server
	theirs *process
	image  string // the path of our image, up to the options
	asked  int    // options that were requested
}

func (b *bench) besideSharp(one subject) error {
	c := &contest{subject: one, b: b}
	if err := os.WriteFile(filepath.Join(b.scratch, one.file), one.picture, 0o600); err != nil {
		return err
	}
	var err error
	if c.s, err = b.startServer("sharp-"+strings.ReplaceAll(one.name, " ", "-"), ""); err != nil {
		return err
	}
	defer c.s.stop()
	if c.image, err = c.s.flexible(one.picture); err != nil {
		if one.peer == "" {
			say("%s is left out: %s", one.name, err)
			return nil
		}
		return err
	}
	if one.peer == "" {
		return errors.Join(c.besideThumbnail(), c.quality())
	}
	if c.theirs, err = b.startSharp(); err != nil {
		return err
	}
	defer c.theirs.stop()
	for _, n := range askers {
		if err := c.measure(n.at, b.scaled(n.requests)); err != nil {
			return err
		}
	}
	return errors.Join(c.besideThumbnail(), c.memory(), c.quality())
}

// startSharp starts the bare server with those of the tried settings that take the least CPU and memory at the same
// rate; see README.md.
func (b *bench) startSharp() (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	settings := []string{
		fmt.Sprintf("UV_THREADPOOL_SIZE=%d", runtime.NumCPU()+1),
		fmt.Sprintf("SHARP_CONCURRENCY=%d", runtime.NumCPU()),
	}
	return startProcess(address, "/", filepath.Join(b.scratch, "sharp.log"), settings,
		"node", "bench/peers/sharp/server.mjs", address, b.scratch)
}

// flexible uploads a picture, allows options in URLs, and returns the path of the image without options.
func (s *server) flexible(picture []byte) (string, error) {
	r, err := http.NewRequest(http.MethodPatch, s.base()+"/client/v4/accounts/"+accountID+"/images/v1/config",
		strings.NewReader(`{"flexible_variants": true}`))
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+apiToken)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	if err := response.Body.Close(); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the configuration was answered with status %d", response.StatusCode)
	}
	variant, err := s.upload(picture)
	return variant[:strings.LastIndex(variant, "/")+1], err
}

// ours returns a request for a rendition that was never requested: its height bounds nothing, but is another option.
func (c *contest) ours(int) request {
	c.asked++
	return pictureRequest(c.s.address, fmt.Sprintf("%s%s,height=%d", c.image, c.options(), 2000+c.asked), c.accept)
}

func (c *contest) sharps(int) request {
	return pictureRequest(c.theirs.address, fmt.Sprintf("/%s/%d/%s", c.peer, c.width, c.file), c.accept)
}

// figures are those of one round on one server.
type figures struct {
	cpu, rate float64   // milliseconds and requests, of a request and in a second
	times     []float64 // of all requests, in milliseconds
}

// ask sends n requests, a number of them at once.
func ask(p *process, at, n int, of func(i int) request) (figures, error) {
	requests := make([]request, n)
	for i := range requests {
		requests[i] = of(i)
	}
	began, times := make([]time.Time, n), make([]float64, n)
	cpu, took, err := p.send(at, n, http.StatusOK,
		func(i int) request { began[i] = time.Now(); return requests[i] },
		func(i int, _ answer) error { times[i] = millis(time.Since(began[i])); return nil })
	return figures{millis(cpu) / float64(n), float64(n) / took.Seconds(), times}, err
}

// measure compares the servers with a number of askers.
func (c *contest) measure(at, n int) error {
	name := func(of string) string { return fmt.Sprintf("%s, %d at once, %s", c.name, at, of) }
	rows := []row{
		{name: name("CPU"), unit: "ms", peer: "sharp", aim: sharpCPU},
		{name: name("rate"), unit: "1/s", peer: "sharp"},
	}
	if at == 16 && !c.moving {
		rows[1].least = sharpRate
	}
	if at == 1 {
		rows = append(rows, row{name: name("p50"), unit: "ms", peer: "the pipeline in one process", aim: aloneTime})
	}
	var all [2][]float64 // the times of both
	round := func(side int, p *process, of func(int) request) (figures, error) {
		f, err := ask(p, at, n, of)
		all[side] = append(all[side], f.times...)
		return f, err
	}
	err := c.b.inTurn(rows, func() ([]float64, error) {
		f, err := round(0, c.s.process, c.ours)
		return []float64{f.cpu, f.rate, quantile(f.times, 0.5)}, err
	}, func() ([]float64, error) {
		f, err := round(1, c.theirs, c.sharps)
		if err != nil || at > 1 {
			return []float64{f.cpu, f.rate}, err
		}
		alone, err := c.alone(n)
		return []float64{f.cpu, f.rate, alone}, err
	})
	// The first round does not count.
	p99 := row{name: name("p99 of all rounds"), unit: "ms", peer: "sharp"}
	for side, into := range []*[]float64{&p99.ours, &p99.theirs} {
		*into = []float64{quantile(all[side][min(n, len(all[side])):], 0.99)}
	}
	c.b.rows = append(c.b.rows, p99)
	return err
}

// alone returns the median time, in milliseconds, of n renderings by our pipeline in one process.
func (c *contest) alone(n int) (float64, error) {
	out, err := exec.Command(c.b.pipeline, filepath.Join(c.b.scratch, c.file), c.format, c.options(),
		strconv.Itoa(n)).Output()
	if err != nil {
		return 0, fmt.Errorf("the pipeline: %w", err)
	}
	var times []float64
	for line := range strings.Lines(string(out)) {
		micros, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
		if err != nil {
			return 0, fmt.Errorf("the pipeline: %w", err)
		}
		times = append(times, micros/1000)
	}
	return quantile(times, 0.5), nil
}

// besideThumbnail compares the CPU with the command's, which has its start and the system's libvips in it.
func (c *contest) besideThumbnail() error {
	const n = 4
	return c.b.inTurn([]row{{name: c.name + ", CPU", unit: "ms", peer: "vipsthumbnail"}},
		func() ([]float64, error) {
			f, err := ask(c.s.process, 1, n, c.ours)
			return []float64{f.cpu}, err
		}, func() ([]float64, error) {
			cpu, err := c.thumbnail()
			return []float64{millis(cpu)}, err
		})
}

// thumbnail runs one vipsthumbnail, which writes thumbnail.SUFFIX.
func (c *contest) thumbnail() (time.Duration, error) {
	file := filepath.Join(c.b.scratch, c.file)
	if c.moving {
		file += "[n=-1]"
	}
	return c.b.thumbnails(file, fmt.Sprintf("%dx", c.width), c.suffix, 1)
}

// memory compares the peaks of the trees with 16 askers, after all the work before.
func (c *contest) memory() error {
	const at, n = 16, 32
	compared := row{name: c.name + ", memory of the tree", unit: "MB", peer: "sharp"}
	own := row{name: compared.name, unit: "MB"}
	if c.width == largeTarget {
		own.aim = sharpMemory
	}
	for range max(3, c.b.rounds/2) {
		for _, side := range []struct {
			p    *process
			of   func(int) request
			into *[]float64
		}{{c.s.process, c.ours, &compared.ours}, {c.theirs, c.sharps, &compared.theirs}} {
			peak, err := peakMemory(side.p, func() error {
				_, err := ask(side.p, at, n, side.of)
				return err
			})
			if err != nil {
				return err
			}
			*side.into = append(*side.into, float64(peak)/1e6)
		}
	}
	own.ours = compared.ours
	c.b.rows = append(c.b.rows, compared, own)
	return nil
}

// quality compares the sizes and the likeness of the renditions to a reference: the decoded original, shrunk by the
// benchmark.
func (c *contest) quality() error {
	ours, err := c.body(c.s.process, c.ours(0))
	if err != nil {
		return err
	}
	theirs, peer := []byte(nil), "sharp"
	if c.theirs == nil {
		peer = "vipsthumbnail"
		suffix, _, _ := strings.Cut(c.suffix, "[")
		theirs, err = os.ReadFile(filepath.Join(c.b.scratch, "thumbnail"+suffix))
	} else {
		theirs, err = c.body(c.theirs, c.sharps(0))
	}
	if err != nil {
		return err
	}
	likeness, err := c.b.likeness(c.reference(), ours, theirs)
	if err != nil {
		return err
	}
	c.b.rows = append(c.b.rows,
		row{name: c.name + ", size", unit: "KB", peer: peer, aim: sharpBytes,
			ours: []float64{float64(len(ours)) / 1000}, theirs: []float64{float64(len(theirs)) / 1000}},
		row{name: c.name + ", SSIM", peer: peer, least: sharpSSIM,
			ours: likeness[:1], theirs: likeness[1:]})
	return nil
}

func (c *contest) body(p *process, r request) (body []byte, err error) {
	_, _, err = p.send(1, 1, http.StatusOK, func(int) request { return r },
		func(_ int, a answer) error { body = bytes.Clone(a.body); return nil })
	return body, err
}

// likeness returns the SSIM of each picture with the original in its size.
func (b *bench) likeness(original []byte, pictures ...[]byte) ([]float64, error) {
	whole, err := b.decode(original)
	if err != nil {
		return nil, err
	}
	var reference frames
	var out []float64
	for _, picture := range pictures {
		decoded, err := b.decode(picture)
		if err != nil {
			return nil, err
		}
		if reference.width != decoded.width || reference.height != decoded.height {
			reference = whole.shrunkTo(decoded.width, decoded.height)
		}
		one, err := ssim(reference, decoded)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}
