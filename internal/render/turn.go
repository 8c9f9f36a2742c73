package render

// This file has the eight ways in which a picture can be turned: the EXIF orientations 1 to 8.

// A Rect is a part of a picture, in pixels.
type Rect struct{ X, Y, W, H int }

// A turn mirrors a picture, left and right, and then rotates it clockwise by quarters.
type turn struct {
	mirror   bool
	quarters int // 0 to 3
}

// turns are the ways from a stored picture to the upright one, by EXIF orientation.
var turns = [...]turn{
	1: {false, 0}, 2: {true, 0}, 3: {false, 2}, 4: {true, 2}, 5: {true, 3}, 6: {false, 1}, 7: {true, 1}, 8: {false, 3},
}

// turnOf returns the turn of an orientation; none for values that EXIF does not have.
func turnOf(orientation int) turn {
	if orientation < 1 || orientation >= len(turns) {
		return turn{}
	}
	return turns[orientation]
}

// orientation returns the orientation of a turn, 1 to 8.
func (t turn) orientation() int {
	for i, other := range turns {
		if i > 0 && other == t {
			return i
		}
	}
	return 1
}

// then returns the turn that does t and then next.
func (t turn) then(next turn) turn {
	q := t.quarters
	if next.mirror { // to rotate and mirror is to mirror and rotate the other way
		q = 4 - q
	}
	return turn{t.mirror != next.mirror, (q + next.quarters) % 4}
}

// Orientation returns the EXIF orientation, 1 to 8, that has a stored picture of one shown as the Options want it:
// upright, then flipped, then rotated.
func (o Options) Orientation(stored int) int {
	return turnOf(stored).then(turnOf(o.orientation())).orientation()
}

// orientation returns the orientation of Flip and Rotate.
func (o Options) orientation() int {
	t := turn{}
	switch o.Flip {
	case "h":
		t = turn{mirror: true}
	case "v":
		t = turn{true, 2}
	case "hv":
		t = turn{false, 2}
	}
	return t.then(turn{false, (o.Rotate/90%4 + 4) % 4}).orientation()
}

// Turn returns where a part of a stored picture of w x h pixels is in the picture that its orientation shows.
func (r Rect) Turn(orientation, w, h int) Rect {
	t := turnOf(orientation)
	if t.mirror {
		r.X = w - r.X - r.W
	}
	for range t.quarters {
		r = Rect{h - r.Y - r.H, r.X, r.H, r.W}
		w, h = h, w
	}
	return r
}

// TurnBack returns where a part of a shown picture of w x h pixels is in the stored one.
func (r Rect) TurnBack(orientation, w, h int) Rect {
	switch orientation { // all others are their own opposites
	case 6:
		orientation = 8
	case 8:
		orientation = 6
	}
	return r.Turn(orientation, w, h)
}
