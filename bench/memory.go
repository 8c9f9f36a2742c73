package main

import (
	"errors"
	"net/http"
	"sync"
	"time"
)

// memoryAim is what the process tree may take in the 12-megapixel run, in MB.
const memoryAim = 150

// memory measures what the server and its workers take of the machine: when they have just
// started, at most during cold renditions of 12-megapixel JPEGs, and at most during uploads of
// them, two at once.
func (b *bench) memory() error {
	picture, err := photograph(largeWidth, largeHeight, largeSize, grainOfSensor)
	if err != nil {
		return err
	}
	fresh, after := row{name: "memory of the tree, idle", unit: "MB"},
		row{name: "memory of the tree, 12 MP uploads", unit: "MB", aim: memoryAim}
	during := row{name: "memory of the tree, 12 MP to JPEG and WebP", unit: "MB", aim: memoryAim}
	for range max(3, b.rounds/2) {
		s, err := b.startServer("memory", "")
		if err != nil {
			return err
		}
		err = b.memoryOf(s, picture, &fresh, &after, &during)
		s.stop()
		if err != nil {
			return err
		}
	}
	b.rows = append(b.rows, fresh, after, during)
	return nil
}

func (b *bench) memoryOf(s *server, picture []byte, fresh, after, during *row) error {
	idle, err := s.memory()
	if err != nil {
		return err
	}
	var paths []string
	uploading, err := peakMemory(s.process, func() (err error) {
		paths, err = s.uploadTogether(picture, b.scaled(20))
		return err
	})
	if err != nil {
		return err
	}
	rendering, err := peakMemory(s.process, func() error {
		_, err := renderAll(s, paths, acceptJPEG)
		if err == nil {
			_, err = renderAll(s, paths, acceptWebP)
		}
		return err
	})
	fresh.ours = append(fresh.ours, float64(idle)/1e6)
	after.ours = append(after.ours, float64(uploading)/1e6)
	during.ours = append(during.ours, float64(rendering)/1e6)
	return err
}

// uploadTogether uploads a picture n times, two at once, and returns the paths of the variants.
func (s *server) uploadTogether(picture []byte, n int) ([]string, error) {
	drafts, err := s.drafts(n)
	if err != nil {
		return nil, err
	}
	f, err := newForm(picture)
	if err != nil {
		return nil, err
	}
	paths := make([]string, n)
	_, _, err = s.send(uploadsAtOnce, n, http.StatusOK,
		func(i int) request { return s.uploadRequest(drafts[i], f) },
		func(i int, a answer) (err error) {
			paths[i], err = s.variantOf(a.body)
			return err
		})
	return paths, err
}

// peakMemory returns the most that a tree takes while work runs, as seen 50 times a second.
func peakMemory(p *process, work func() error) (peak int64, err error) {
	done := make(chan struct{})
	var watching error
	var group sync.WaitGroup
	group.Go(func() {
		for {
			now, err := p.memory()
			peak, watching = max(peak, now), errors.Join(watching, err)
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	err = work()
	close(done)
	group.Wait()
	return peak, errors.Join(err, watching)
}
