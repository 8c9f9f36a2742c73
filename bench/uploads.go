package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"
)

const (
	uploadsAtOnce = 2 // connections
	validated     = 4 // files of each round that a vipsthumbnail is run for
)

// uploads measures durable, validated uploads, beside their parts measured alone, tusd, which
// neither validates nor syncs, and tusd with a vipsthumbnail behind it, which validates.
func (b *bench) uploads() error {
	s, err := b.startServer("uploads", "")
	if err != nil {
		return err
	}
	defer s.stop()
	tusd, err := b.startTusd()
	if err != nil {
		return err
	}
	defer tusd.stop()
	for _, one := range []struct {
		name                   string
		width, height, size, n int
	}{
		{"200 KB", 1600, 1200, 200_000, 60},
		{"3.5 MB", largeWidth, largeHeight, largeSize, 12},
	} {
		picture, err := photograph(one.width, one.height, one.size, grainOfSensor)
		if err != nil {
			return err
		}
		say("a photograph of %d bytes", len(picture))
		u := &uploading{
			b: b, s: s, tusd: tusd, picture: picture, n: max(8, b.scaled(one.n)),
			file: filepath.Join(b.scratch, "upload.jpg"),
		}
		if u.form, err = newForm(picture); err != nil {
			return err
		}
		if err := os.WriteFile(u.file, picture, 0o600); err != nil {
			return err
		}
		if err := u.measure("upload " + one.name); err != nil {
			return err
		}
	}
	return nil
}

// uploading is the uploading of one picture, n times a round.
type uploading struct {
	b       *bench
	s       *server
	tusd    *tusd
	picture []byte
	file    string // with the picture in it
	form    form
	n       int
}

func (u *uploading) measure(name string) error {
	err := u.b.inTurn([]row{
		{name: name + ", CPU", unit: "ms", peer: "the sum of its parts", aim: 1.25},
		{name: name + ", CPU", unit: "ms", peer: "tusd"},
		{name: name + ", CPU", unit: "ms", peer: "tusd and vipsthumbnail"},
		{name: name + ", rate", unit: "1/s", peer: "tusd"},
		{name: name + ", rate", unit: "1/s", peer: "tusd and vipsthumbnail"},
	}, u.ours, u.theirs)
	if err != nil {
		return err
	}
	return u.b.profiled(u.s, "upload-"+fmt.Sprint(len(u.picture)/1000)+"KB", func() error {
		_, err := u.ours()
		return err
	})
}

func (u *uploading) ours() ([]float64, error) {
	each, rate, err := u.upload(func() error { return nil })
	return []float64{each, each, each, rate, rate}, err
}

// upload uploads n pictures to as many one-time URLs, which were asked for before, and waits for what
// comes of it. each is the CPU time of an upload in milliseconds, with what was waited for; rate is
// that of the uploads in a second.
func (u *uploading) upload(wait func() error) (each, rate float64, err error) {
	drafts, err := u.s.drafts(u.n)
	if err != nil {
		return 0, 0, err
	}
	l, err := newLoad(u.s.address, uploadsAtOnce)
	if err != nil {
		return 0, 0, err
	}
	var took time.Duration
	cpu, err := cpuOf(u.s.process, func() (err error) {
		took, err = l.run(u.n, http.StatusOK,
			func(i int) request { return u.s.uploadRequest(drafts[i], u.form) }, nil)
		if err == nil {
			err = wait()
		}
		return err
	})
	n := float64(u.n)
	return millis(cpu) / n, n / took.Seconds(), errors.Join(err, l.close())
}

func (u *uploading) theirs() ([]float64, error) {
	parts, err := u.b.floor(u.picture, u.file, u.n)
	if err != nil {
		return nil, err
	}
	cpu, took, files, err := u.tusd.upload(u.picture, u.n)
	if err != nil {
		return nil, err
	}
	// Some stand for all: it is slow.
	some := files[:min(len(files), validated)]
	began := time.Now()
	validating, err := u.b.validate(some)
	if err != nil {
		return nil, err
	}
	scale := float64(len(files)) / float64(len(some))
	validating = time.Duration(float64(validating) * scale)
	both := took + time.Duration(float64(time.Since(began))*scale)
	if err := u.tusd.empty(); err != nil {
		return nil, err
	}
	n := float64(u.n)
	return []float64{millis(parts), millis(cpu) / n, millis(cpu+validating) / n,
		n / took.Seconds(), n / both.Seconds()}, nil
}

// validate runs a vipsthumbnail for each file, as many at once as there were uploads.
func (b *bench) validate(files []string) (cpu time.Duration, err error) {
	var mu sync.Mutex
	var group sync.WaitGroup
	for at := range uploadsAtOnce {
		group.Go(func() {
			for i := at; i < len(files); i += uploadsAtOnce {
				out := filepath.Join(b.scratch, fmt.Sprintf("valid-%d%s", at, decodeSuffix))
				took, failed := runCommand("vipsthumbnail", "--size", decodeSize, "-o", out, files[i])
				mu.Lock()
				cpu, err = cpu+took, errors.Join(err, failed)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return cpu, err
}

// A tusd is an upload server to measure beside.
type tusd struct {
	*process
	folder string
}

func (b *bench) startTusd() (*tusd, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	t := &tusd{folder: filepath.Join(b.scratch, "tusd")}
	if err := os.Mkdir(t.folder, 0o700); err != nil {
		return nil, err
	}
	t.process, err = startProcess(address, "/files/none", filepath.Join(b.scratch, "tusd.log"), nil,
		b.tusd, address, t.folder)
	return t, err
}

// upload uploads a picture n times, each by one request that makes the upload and has its bytes,
// and returns the files that they are in.
func (t *tusd) upload(picture []byte, n int) (cpu, took time.Duration, files []string, err error) {
	asked := request{
		head: fmt.Sprintf("POST /files/ HTTP/1.1\r\nHost: %s\r\nTus-Resumable: 1.0.0\r\n"+
			"Upload-Length: %[2]d\r\nContent-Type: application/offset+octet-stream\r\n"+
			"Content-Length: %[2]d\r\n\r\n", t.address, len(picture)),
		body: picture,
	}
	files = make([]string, n)
	cpu, took, err = t.send(uploadsAtOnce, n, http.StatusCreated, func(int) request { return asked },
		func(i int, a answer) error {
			files[i] = filepath.Join(t.folder, path.Base(a.location))
			return nil
		})
	return cpu, took, files, err
}

func (t *tusd) empty() error {
	entries, err := os.ReadDir(t.folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.Remove(filepath.Join(t.folder, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}
