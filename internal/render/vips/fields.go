package vips

// #include <stdlib.h>
// #include "shim.h"
import "C"

import "unsafe"

// Metadata is attached to an image as named fields. Reading is always allowed; before writing, own
// copies the fields.

func (im *vipsImage) own() error { return im.become(C.shim_copy(im.c)) }

func withName[T any](name string, f func(*C.char) T) T {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	return f(c)
}

func (im *vipsImage) has(name string) bool {
	return withName(name, func(c *C.char) bool { return C.shim_has(im.c, c) != 0 })
}

func (im *vipsImage) getInt(name string, fallback int) int {
	return withName(name, func(c *C.char) int {
		return int(C.shim_get_int(im.c, c, C.int(fallback)))
	})
}

func (im *vipsImage) setInt(name string, v int) {
	withName(name, func(c *C.char) any { C.shim_set_int(im.c, c, C.int(v)); return nil })
}

// getInts returns at most limit integers of an array field.
func (im *vipsImage) getInts(name string, limit int) []C.int {
	return withName(name, func(c *C.char) []C.int {
		out := make([]C.int, max(1, limit))
		return out[:C.shim_get_ints(im.c, c, &out[0], C.int(limit))]
	})
}

func (im *vipsImage) setInts(name string, v []C.int) {
	if len(v) == 0 {
		return
	}
	withName(name, func(c *C.char) any {
		C.shim_set_ints(im.c, c, &v[0], C.int(len(v)))
		return nil
	})
}

func (im *vipsImage) remove(name string) {
	withName(name, func(c *C.char) any { C.shim_remove(im.c, c); return nil })
}

// copyField copies a field from another image, if that has it.
func (im *vipsImage) copyField(from *vipsImage, name string) {
	withName(name, func(c *C.char) any { C.shim_copy_field(im.c, from.c, c); return nil })
}

func (im *vipsImage) fields() []string {
	list := C.shim_fields(im.c)
	defer C.shim_free_fields(list)
	var names []string
	for i := 0; ; i++ {
		name := C.shim_field(list, C.int(i))
		if name == nil {
			return names
		}
		names = append(names, C.GoString(name))
	}
}

func (im *vipsImage) setString(name, value string) {
	withName(name, func(c *C.char) any {
		v := C.CString(value)
		defer C.free(unsafe.Pointer(v))
		C.shim_set_string(im.c, c, v)
		return nil
	})
}

// blob returns a copy of the first bytes of a field, at most limit of them; nil if the field is absent.
func (im *vipsImage) blob(name string, limit int) []byte {
	return withName(name, func(c *C.char) []byte {
		var size C.size_t
		data := C.shim_blob(im.c, c, &size)
		if data == nil {
			return nil
		}
		return C.GoBytes(data, C.int(min(int(size), limit)))
	})
}
