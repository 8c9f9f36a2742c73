package main

import (
	"fmt"
	"math"
	"net/http"
	"time"
)

// hitConnections are those of the clients that ask for a cached rendition again and again.
const hitConnections = 16

// hits measures the delivery of a rendition that is in the cache, beside nginx with the same bytes
// in a file.
func (b *bench) hits() error {
	s, err := b.startServer("hits", "")
	if err != nil {
		return err
	}
	defer s.stop()
	for _, one := range []struct {
		kb, width, requests int
		aim                 float64
	}{{30, 640, 16_000, 1.6}, {300, 1365, 5_000, 1.2}} {
		path, picture, err := s.renditionOf(one.kb*1000, one.width)
		if err != nil {
			return err
		}
		say("a rendition of %d bytes", len(picture))
		if err := b.hit(s, one.kb, path, picture, b.scaled(one.requests), one.aim); err != nil {
			return err
		}
	}
	return nil
}

// renditionOf uploads pictures with more or less grain until the rendition of one has about size bytes.
func (s *server) renditionOf(size, width int) (path string, body []byte, err error) {
	grain := grainOfSensor
	for range 8 {
		var picture []byte
		if picture, err = photograph(width, width*9/16, 8<<20, grain); err != nil {
			return "", nil, err
		}
		if path, err = s.upload(picture); err != nil {
			return "", nil, err
		}
		if body, err = s.get(path, acceptWebP); err != nil {
			return "", nil, err
		}
		ratio := float64(len(body)) / float64(size)
		if math.Abs(ratio-1) < 0.1 {
			return path, body, nil
		}
		grain /= math.Pow(ratio, 0.7)
	}
	return "", nil, fmt.Errorf("no picture has a rendition of %d bytes, the last one %d", size,
		len(body))
}

func (b *bench) hit(s *server, kb int, path string, picture []byte, n int, aim float64) error {
	name := fmt.Sprintf("hit, %d KB", kb)
	n = max(n, 100)
	nginx, err := b.startNginxAlone(fmt.Sprintf("nginx-%d", kb), picture)
	if err != nil {
		return err
	}
	defer nginx.stop()
	of := func(p *process, path string) func() ([]float64, error) {
		return func() ([]float64, error) {
			cpu, took, err := p.sendHits(path, n)
			return []float64{micros(cpu) / float64(n), float64(n) / took.Seconds()}, err
		}
	}
	err = b.inTurn([]row{
		{name: name + ", CPU of a request", unit: "us", peer: "nginx", aim: aim},
		{name: name + ", rate", unit: "1/s", peer: "nginx"},
	}, of(s.process, path), of(nginx, "/picture.webp"))
	if err != nil {
		return err
	}
	return b.profiled(s, fmt.Sprintf("hit-%d", kb), func() error {
		_, _, err := s.sendHits(path, 3*n)
		return err
	})
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func (p *process) sendHits(path string, n int) (cpu, took time.Duration, err error) {
	asked := pictureRequest(p.address, path, acceptWebP)
	return p.send(hitConnections, n, http.StatusOK, func(int) request { return asked }, nil)
}
