package doctor

import "golang.org/x/sys/unix"

// kernelClock returns a finding by whether the kernel of this machine counts its clock as synchronised.
func kernelClock() Finding {
	var clock unix.Timex // without a bit in Modes it is only read
	state, err := unix.Adjtimex(&clock)
	switch {
	case err != nil:
		return warning("check on the host that NTP synchronises the clock: signed URLs and expiries depend on it",
			"the kernel does not say whether the clock is synchronised: %v", err)
	case state == unix.TIME_ERROR || clock.Status&unix.STA_UNSYNC != 0:
		return warning("start an NTP client, such as chrony: signed URLs and expiries depend on the clock",
			"the kernel counts the clock as not synchronised")
	}
	return ok("the kernel counts the clock as synchronised")
}
