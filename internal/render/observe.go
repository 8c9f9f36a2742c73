package render

import (
	"errors"
	"io"
	"time"
)

// A Timer gets the duration of a stage of a job, and its lane, one of Lanes. It must be quick. A nil Timer
// is not called.
type Timer func(lane, stage string, took time.Duration)

// Since calls the Timer for a stage that began at start and ends now.
func (t Timer) Since(lane, stage string, start time.Time) {
	if t != nil {
		t(lane, stage, time.Since(start))
	}
}

// The names of lanes, and of the stages for which a Pool calls its Timer.
const (
	Uploads    = "uploads"
	Renditions = "renditions"
	Eager      = "eager" // renditions for which no client waits

	StageWait = "wait" // time that a job waits for a worker and for memory
	StageWork = "work" // time in the worker, with the worker's start if needed
)

// The reasons why a worker ended: the keys of Status.Ended.
const (
	endGone      = "gone"          // it was dead before it got a job
	endCrashed   = "crashed"       // in a job, or killed by another process
	endTime      = "timeout"       // killed, as its job took too long
	endMemory    = "out-of-memory" // its job passed the limit of its process
	endFailed    = "failed"        // it broke the protocol, or its output is not as it said
	endCancelled = "cancelled"     // killed, because the caller of its job has left
	endRecycled  = "recycled"      // in good order: after enough jobs, as it grew, or as it was dedicated
	endIdle      = "idle"          // in good order, for want of work
	endBusy      = "busy-idle"     // it used the CPU without a job
)

// noneEnded returns the number of ended workers of each reason, 0.
func noneEnded() map[string]int64 {
	return map[string]int64{endGone: 0, endCrashed: 0, endTime: 0, endMemory: 0, endFailed: 0,
		endCancelled: 0, endRecycled: 0, endIdle: 0, endBusy: 0}
}

// lossReason returns the reason for the error of a lost worker.
func lossReason(why error) string {
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
