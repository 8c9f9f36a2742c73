package render

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"strings"

	"calotype/internal/imagefile"
)

// NoHEVC stands instead of the library of HEIC if no loaded library decodes HEVC, the compression of HEIC.
const NoHEVC = "no libheif with HEVC"

// An Inspection is what a worker reports at its start.
type Inspection struct {
	Version   string                      // of the pipeline and libvips, such as "2-8.14.1"
	Libraries map[imagefile.Format]string // see Engine
}

// Inspect starts one worker and ends it.
func Inspect(ctx context.Context, c PoolConfig) (Inspection, error) {
	c.fill()
	s := newSpawner(c)
	defer s.close()
	w, err := startProcess(ctx, s, c)
	if err != nil {
		return Inspection{}, err
	}
	w.kill()
	return Inspection{Version: w.hello.Version, Libraries: w.hello.Libraries}, nil
}

// checkLibraries returns one line for each of Formats. A worker's other keys are discarded.
func checkLibraries(said map[imagefile.Format]string) map[imagefile.Format]string {
	libraries := map[imagefile.Format]string{}
	for _, format := range Formats {
		libraries[format] = sanitise(said[format])
	}
	return libraries
}

// probes has a small picture in each format that not every worker can encode, and a PNG.
//
//go:embed probe
var probes embed.FS

// Formats are the formats of originals.
var Formats = []imagefile.Format{
	imagefile.JPEG, imagefile.PNG, imagefile.GIF, imagefile.WebP, imagefile.AVIF, imagefile.HEIC,
}

// Probe has workers encode a small picture in a format, if it is an output format, and decode it. If there may be a
// decoder without an encoder, a worker decodes another picture before.
func (p *Pool) Probe(ctx context.Context, format imagefile.Format) error {
	_, output := maxSides[format]
	if _, err := probes.Open("probe/probe." + string(format)); err == nil {
		if err := p.probe(ctx, format, ""); err != nil || !output {
			return err
		}
	}
	return p.probe(ctx, imagefile.PNG, format)
}

// probe has workers decode the small picture in the format source, after they have encoded it in another format if
// that is not "".
func (p *Pool) probe(ctx context.Context, source, format imagefile.Format) error {
	picture, err := probes.ReadFile("probe/probe." + string(source))
	if err != nil {
		return fmt.Errorf("reading the picture of a probe: %w", err)
	}
	in, err := newScratch()
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := in.Write(picture); err != nil {
		return fmt.Errorf("writing the picture of a probe: %w", err)
	}
	header, err := imagefile.ReadHeader(in, int64(len(picture)))
	if err != nil {
		return fmt.Errorf("reading the picture of a probe: %w", err)
	}
	if format != "" {
		if in, header, err = p.encode(ctx, in, header, format); err != nil {
			return fmt.Errorf("it cannot be encoded: %w", err)
		}
		defer in.Close()
	}
	if _, err := p.Examine(ctx, in, header); err != nil {
		return fmt.Errorf("it cannot be decoded: %w", err)
	}
	return nil
}

// encode renders a picture in a format to a new file.
func (p *Pool) encode(ctx context.Context, in *os.File, h imagefile.Header, format imagefile.Format) (
	out *os.File, made imagefile.Header, err error,
) {
	if out, err = newScratch(); err != nil {
		return nil, made, err
	}
	output, err := p.Render(ctx, in, out, Job{Header: h, Format: format})
	if err == nil {
		made, err = imagefile.ReadHeader(out, output.Size)
	}
	if err != nil {
		return nil, made, errors.Join(err, out.Close())
	}
	return out, made, nil
}

// EngineName writes the pipeline's version, such as "2-8.14.1", for people.
func EngineName(pipeline string) string {
	number, libvips, _ := strings.Cut(pipeline, "-")
	return fmt.Sprintf("libvips %s, pipeline %s", libvips, number)
}
