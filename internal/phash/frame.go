package phash

// unframed returns a plane without its frame: bars of one tone at the left and the right, or at the top and the bottom,
// such as a border or those of a film, of a third of the side at most. Both bars of a direction must have the tone, so
// a clear sky is no frame. The line beside a bar goes too, because it is mixed with the bar.
func unframed(w, h int, levels []float64) (int, int, []float64) {
	if min(w, h) < leastFramed {
		return w, h, levels
	}
	top, bottom := frame(h, func(i int) (low, high float64) { return extremes(levels[i*w : (i+1)*w]) })
	left, right := frame(w, func(x int) (low, high float64) {
		column := make([]float64, h)
		for y := range column {
			column[y] = levels[y*w+x]
		}
		return extremes(column)
	})
	var rest []float64
	for y := top; y < bottom; y++ {
		rest = append(rest, levels[y*w+left:y*w+right]...)
	}
	return right - left, bottom - top, rest
}

// extremes returns the lowest and the highest level.
func extremes(levels []float64) (low, high float64) {
	low, high = levels[0], levels[0]
	for _, v := range levels {
		low, high = min(low, v), max(high, v)
	}
	return low, high
}

// frame returns the first line of the picture inside of two bars, and the line after the last one. line returns the
// extremes of one of n lines.
func frame(n int, line func(int) (low, high float64)) (from, to int) {
	low, high := line(0)
	low2, high2 := line(n - 1)
	low, high = min(low, low2), max(high, high2)
	if high-low > maxTone {
		return 0, n
	}
	inBar := func(i int) bool {
		l, h := line(i)
		return l >= low-maxTone && h <= high+maxTone
	}
	most := n / 3
	for from < most && inBar(from) {
		from++
	}
	to = n
	for to > n-most && inBar(to-1) {
		to--
	}
	return from + 1, to - 1
}
