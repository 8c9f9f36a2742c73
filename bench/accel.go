package main

import (
	"errors"
	"fmt"
	"time"
)

// accel measures the delivery of renditions in the cache through nginx that reads the files, beside nginx alone with
// the same bytes in a file, and through nginx that proxies the bytes.
func (b *bench) accel() error {
	s, err := b.startServer("accel", "", "-accel=nginx")
	if err != nil {
		return err
	}
	defer s.stop()
	for _, one := range []struct{ kb, width, requests int }{{30, 640, 16_000}, {300, 1365, 5_000}} {
		path, picture, err := s.renditionOf(one.kb*1000, one.width)
		if err != nil {
			return err
		}
		say("a rendition of %d bytes", len(picture))
		if err := b.accelHit(s, one.kb, path, picture, max(100, b.scaled(one.requests))); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) accelHit(s *server, kb int, path string, picture []byte, n int) error {
	alone, err := b.startNginxAlone(fmt.Sprintf("accel-alone-%d", kb), picture)
	if err != nil {
		return err
	}
	defer alone.stop()
	of := func(path string, front *process, others ...*process) func() ([]float64, error) {
		return func() ([]float64, error) {
			before, err := cpuSoFar(others)
			if err != nil {
				return nil, err
			}
			cpu, took, err := front.sendHits(path, n)
			after, failed := cpuSoFar(others)
			return []float64{micros(cpu+after-before) / float64(n), float64(n) / took.Seconds()},
				errors.Join(err, failed)
		}
	}
	for _, way := range []string{"-accel", "proxy_pass"} {
		front, err := b.startFront(fmt.Sprintf("front%s-%d", way, kb), s, way == "-accel")
		if err != nil {
			return err
		}
		name, aim := fmt.Sprintf("nginx and server, %s, %d KB", way, kb), 0.0
		err = b.inTurn([]row{
			{name: name + ", CPU of a request", unit: "us", peer: "nginx", aim: aim},
			{name: name + ", rate", unit: "1/s", peer: "nginx"},
		}, of(path, front, s.process), of("/picture.webp", alone))
		front.stop()
		if err != nil {
			return err
		}
	}
	return nil
}

// cpuSoFar returns the CPU time that processes have used.
func cpuSoFar(all []*process) (sum time.Duration, err error) {
	for _, p := range all {
		one, failed := p.cpu()
		sum, err = sum+one, errors.Join(err, failed)
	}
	return sum, err
}
