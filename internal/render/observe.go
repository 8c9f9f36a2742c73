package render

import (
	"errors"
	"io"
	"time"
)

// A Timer is told how long a stage of a job took, in which lane: one of Lanes. It must be quick.
// A nil one is told nothing.
type Timer func(lane, stage string, took time.Duration)

// Since tells the Timer of a stage that began at start and ends now.
func (t Timer) Since(lane, stage string, start time.Time) {
	if t != nil {
		t(lane, stage, time.Since(start))
	}
}

// The lanes by name, and the stages that a Pool tells its Timer of.
const (
	Uploads    = "uploads"
	Renditions = "renditions"

	StageWait = "wait" // for a worker and for memory
	StageWork = "work" // in the worker, its start included if need be
)

// A reason is why a worker ended.
type reason int

const (
	endGone reason = iota
	endCrashed
	endTime
	endMemory
	endFailed
	endCancelled
	endRecycled
	endIdle
	endBusy
	reasons
)

// reasonNames are what Status tells.
var reasonNames = [reasons]string{
	endGone:      "gone",          // it was dead before it got a job
	endCrashed:   "crashed",       // in a job, or somebody killed it
	endTime:      "timeout",       // killed, as its job took too long
	endMemory:    "out-of-memory", // its job passed the limit of its process
	endFailed:    "failed",        // it broke the protocol, or what it made is not as it said
	endCancelled: "cancelled",     // killed, as nobody waits for its job any more
	endRecycled:  "recycled",      // in good order, after enough jobs or as it grew
	endIdle:      "idle",          // in good order, for want of work
	endBusy:      "busy-idle",     // it used the CPU without a job
}

// lossReason returns the reason behind the error that a worker was lost with.
func lossReason(why error) reason {
	switch {
	case errors.Is(why, errGone):
		return endGone
	case errors.Is(why, ErrTime), errors.Is(why, errSlow):
		return endTime
	case errors.Is(why, ErrOutOfMemory):
		return endMemory
	case !errors.Is(why, ErrWorker):
		return endCancelled
	case errors.Is(why, io.EOF), errors.Is(why, io.ErrUnexpectedEOF):
		return endCrashed
	}
	return endFailed
}
