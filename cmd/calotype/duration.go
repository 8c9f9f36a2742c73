package main

import (
	"reflect"
	"time"

	"github.com/alecthomas/kong"

	"calotype/internal/terminal"
)

// durations makes kong read every flag of type time.Duration by terminal.ParseDuration.
var durations = kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(
	func(ctx *kong.DecodeContext, target reflect.Value) error {
		var text string
		if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
			return err
		}
		d, err := terminal.ParseDuration(text)
		if err != nil {
			return err
		}
		target.SetInt(int64(d))
		return nil
	}))
