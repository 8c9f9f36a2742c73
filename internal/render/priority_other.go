//go:build !linux

package render

// lowerPriority does nothing: dear jobs run at the usual priority.
func lowerPriority(int) {}
