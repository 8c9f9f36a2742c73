package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

const (
	burst    = 200 // uploads at once
	eagerAim = 1.2 // of the 99th percentile beside that without -eager
	// eagerTime is the time in which the renditions of a burst of small pictures must be ready.
	eagerTime = 10 * time.Minute
)

// eager measures uploads at once to a server that renders them eagerly, beside one that does not, and their first
// views.
func (b *bench) eager() error {
	picture, err := photograph(1600, 1200, 200_000, grainOfSensor)
	if err != nil {
		return err
	}
	f, err := newForm(picture)
	if err != nil {
		return err
	}
	round := func(variants string) func() ([]float64, error) {
		return func() (figures []float64, err error) {
			err = b.withEager(variants, func(s *server, _ string) error {
				took, _, err := s.burst(f)
				figures = []float64{quantile(took, .99), quantile(took, .5)}
				return err
			})
			return figures, err
		}
	}
	err = b.inTurn([]row{
		{name: "200 uploads at once, 99th percentile", unit: "ms", peer: "without -eager", aim: eagerAim},
		{name: "200 uploads at once, median", unit: "ms", peer: "without -eager"},
	}, round("all"), round(""))
	if err != nil {
		return err
	}
	if picture, err = photograph(400, 300, 20_000, grainOfSensor); err != nil {
		return err
	}
	if f, err = newForm(picture); err != nil {
		return err
	}
	var plain int64
	err = b.withEager("", func(s *server, _ string) (err error) {
		plain, err = peakMemory(s.process, func() error {
			_, _, err := s.burst(f)
			return err
		})
		return err
	})
	if err != nil {
		return err
	}
	return b.withEager("all", func(s *server, metrics string) error { return b.firstViews(s, metrics, f, plain) })
}

// withEager runs work on a new server with the value of -eager. metrics is the base URL of its metrics.
func (b *bench) withEager(variants string, work func(s *server, metrics string) error) error {
	metrics, err := freeAddress()
	if err != nil {
		return err
	}
	s, err := b.startServer("eager", "", "-eager="+variants, "-metrics-listen="+metrics)
	if err != nil {
		return err
	}
	err = work(s, "http://"+metrics)
	s.stop()
	return errors.Join(err, os.RemoveAll(filepath.Join(b.scratch, "eager")))
}

// burst uploads a picture 200 times at once, and returns the time of each upload in milliseconds, and the paths of the
// variants.
func (s *server) burst(f form) (took []float64, paths []string, err error) {
	drafts, err := s.drafts(burst)
	if err != nil {
		return nil, nil, err
	}
	took, paths = make([]float64, burst), make([]string, burst)
	began := make([]time.Time, burst)
	_, _, err = s.send(burst, burst, http.StatusOK, func(i int) request {
		began[i] = time.Now()
		return s.uploadRequest(drafts[i], f)
	}, func(i int, a answer) (err error) {
		took[i] = millis(time.Since(began[i]))
		paths[i], err = s.variantOf(a.body)
		return err
	})
	return took, paths, err
}

// firstViews uploads a small picture 200 times at once, waits until all are rendered, and requests each in three
// formats. It adds the share of hits, and the peak of the memory beside plain, that of the uploads without -eager.
func (b *bench) firstViews(s *server, metrics string, f form, plain int64) error {
	var paths []string
	longest := 0.0
	peak, err := peakMemory(s.process, func() (err error) {
		if _, paths, err = s.burst(f); err != nil {
			return err
		}
		for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
			waiting, err := metric(metrics, `calotype_pool_waiting{pool="eager"}`)
			longest = max(longest, waiting)
			rendered, reading := metric(metrics, `calotype_eager_renditions_total{outcome="rendered"}`)
			switch {
			case err != nil || reading != nil:
				return errors.Join(err, reading)
			case rendered == 3*burst:
				say("%d renditions are ready %s after the uploads", 3*burst, time.Since(began).Round(time.Second))
				return nil
			case time.Since(began) > eagerTime:
				return fmt.Errorf("%v of %d renditions are ready after %s", rendered, 3*burst, eagerTime)
			}
		}
	})
	if err != nil {
		return err
	}
	for _, accept := range []string{acceptAVIF, acceptWebP, acceptJPEG} {
		if _, err := renderAll(s, paths, accept); err != nil {
			return err
		}
	}
	hits, err := metric(metrics, "calotype_rendition_cache_hits_total")
	b.rows = append(b.rows,
		row{name: "first views of 200 pictures in 3 formats that are hits", unit: "%",
			ours: []float64{hits / (3 * burst) * 100}},
		row{name: "the longest queue of -eager", unit: "images", ours: []float64{longest}},
		row{name: "200 uploads at once, memory of the tree", unit: "MB", peer: "without -eager",
			ours: []float64{float64(peak) / 1e6}, theirs: []float64{float64(plain) / 1e6}})
	return err
}

// metric returns the value of a metric of the server.
func metric(base, name string) (value float64, err error) {
	answer, err := http.Get(base + "/metrics")
	if err != nil {
		return 0, err
	}
	text, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("there is no metric %s", name)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}
