package vips

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// pipeline has all steps between an original and a rendition, in order. A step without work does not change the
// image: a plain photograph is loaded small, resized, stripped and encoded.
var pipeline = []step{
	{"load", before, (*rendering).load},

	{"canvas", each, (*rendering).canvas},
	{"cut", each, (*rendering).cut},
	{"premultiply", each, (*rendering).premultiply},
	{"resize", each, (*rendering).resize},
	{"unpremultiply", each, (*rendering).unpremultiply},
	{"colour", each, (*rendering).colour},
	{"crop", each, (*rendering).crop},
	{"turn", each, (*rendering).turn},
	{"adjust", each, (*rendering).adjust},
	{"blur", each, (*rendering).blur},
	{"sharpen", each, (*rendering).sharpen},
	{"pad", each, (*rendering).pad},
	{"flatten", each, (*rendering).flatten},
	{"border", each, (*rendering).border},
	{"collect", each, (*rendering).collect},

	{"join", after, (*rendering).join},
	{"metadata", after, (*rendering).metadata},
	{"encode", after, (*rendering).encode},
	{"gain map", after, (*rendering).gainMap},
}

// A step is one line of the pipeline.
type step struct {
	name string
	when when
	run  func(*rendering) error
}

// when is the number of times that a step runs.
type when int

const (
	before when = iota // once, for the whole file
	each               // for each frame of an animation; once for a still
	after              // once, when the frames are done
)

// A rendering is the state of one job.
type rendering struct {
	job    render.Job
	in     *os.File
	out    *os.File // nil at an examination
	strict bool
	plan   render.Plan
	// orientation is the EXIF orientation, 1 to 8, that shows the stored picture as the rendition has it.
	orientation int

	source    source
	described imagefile.Colour // the time in the file of its colours besides a profile
	shrunk    int              // by how much the decoder shrinks
	loaded    *vipsImage       // the whole file: of an animation all frames, one below the other
	frames    int
	frame     int        // the one in hand
	im        *vipsImage // what the next step works on

	straight   C.int // what to go back to while multiplied
	multiplied bool
	alpha      bool    // the original has an alpha channel
	rows       *frames // of an animation, reads frame by frame
	patched    pixels  // a copy of the file, where the decoder needs one
	changed    bool    // the pixels are other than in the file
	joined     pixels  // of an animation, the finished frames, one below the other; of a still, its gain map
	bands      int     // of the finished frames
	credits    []byte  // the EXIF segment that is put into the rendition
	ready      bool    // the pixels are computed: a later error is not the fault of the original
	found      int     // the quality that a search found
}

// start begins a job. The caller closes the rendering.
func start(in, out *os.File, j render.Job, plan render.Plan, strict bool) (*rendering, error) {
	C.shim_clear_error() // of what earlier jobs left behind
	src, err := openSource(in)
	if err != nil {
		return nil, err
	}
	return &rendering{
		job: j, in: in, out: out, strict: strict, plan: plan, source: src, frames: 1, shrunk: 1,
		orientation: j.Options.Orientation(j.Header.Orientation),
	}, nil
}

func (r *rendering) close() {
	r.im.close()
	r.rows.close()
	r.loaded.close()
	r.joined.free()
	r.source.close()
	r.patched.free()
}

// do runs the steps of one kind.
func (r *rendering) do(when when) error {
	for _, s := range pipeline {
		if s.when != when {
			continue
		}
		if err := s.run(r); err != nil {
			return r.blame(s, err)
		}
	}
	return nil
}

// blame classifies a failure. libvips computes pixels as late as possible, so any step before the pixels are in
// memory may return a decoder's error.
func (r *rendering) blame(s step, err error) error {
	for _, known := range []error{render.ErrOutOfMemory, render.ErrUndecodable, render.ErrEncode} {
		if errors.Is(err, known) {
			return err
		}
	}
	kind := render.ErrUndecodable
	// A saver names itself, such as "webpsave: ...".
	if r.ready || strings.Contains(err.Error(), "save: ") {
		kind = render.ErrEncode
	}
	return fmt.Errorf("%w: %s: %w", kind, s.name, err)
}

func (r *rendering) run() error {
	if err := r.do(before); err != nil {
		return err
	}
	for r.frame = 0; r.frame < r.frames; r.frame++ {
		if err := r.next(); err != nil {
			return err
		}
		if err := r.do(each); err != nil {
			return err
		}
	}
	return r.do(after)
}

// next reads the next frame.
func (r *rendering) next() error {
	if r.rows == nil {
		r.im, r.loaded = r.loaded, nil
		return nil
	}
	im, err := r.rows.read(r.frame)
	if err != nil {
		return r.blame(step{name: fmt.Sprintf("frame %d", r.frame+1)}, err)
	}
	r.im.close()
	r.im = im
	return nil
}

// Render writes one rendition.
func (e *engine) Render(in, out *os.File, j render.Job) (render.Output, error) {
	runtime.LockOSThread() // libvips ties what reads frames to the thread that made it
	defer runtime.UnlockOSThread()
	if err := look(in, &j); err != nil {
		return render.Output{}, err
	}
	plan := j.Options.Plan(j.Header.Shown())
	if err := j.CheckPlan(plan); err != nil {
		return render.Output{}, err
	}
	r, err := start(in, out, j, plan, false)
	if err != nil {
		return render.Output{}, err
	}
	defer r.close()
	if err := r.run(); err != nil {
		return render.Output{}, err
	}
	info, err := out.Stat()
	if err != nil {
		return render.Output{}, fmt.Errorf("%w: measuring the output: %w", render.ErrEncode, err)
	}
	return render.Output{
		Width: r.plan.CanvasW, Height: r.plan.CanvasH, Frames: r.frames, Size: info.Size(), Quality: r.found,
	}, nil
}
