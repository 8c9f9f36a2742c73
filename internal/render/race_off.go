//go:build !race

package render

// raceDetector says that a worker needs far more address space than it has pixels.
const raceDetector = false
