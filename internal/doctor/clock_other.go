//go:build !linux

package doctor

// kernelClock returns a finding by whether the kernel of this machine counts its clock as synchronised.
func kernelClock() Finding {
	return warning("check that NTP synchronises the clock: signed URLs and expiries depend on it",
		"whether the clock is synchronised is not known on this system")
}
