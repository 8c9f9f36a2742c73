package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The viewer of the API is a package whose file contains the code of other modules, which the package does not name.
const (
	bundle         = "web/node_modules/swagger-ui-dist"
	bundleMap      = bundle + "/swagger-ui-es-bundle.js.map"
	bundleLicences = "web/docs/licences.txt"
)

// bundledName matches the name of a module and its licence in bundleLicences.
var bundledName = regexp.MustCompile(`^(\S+) \((.+)\)$`)

// bundled returns the modules inside the viewer, and their notices. Error: the licence of a module is not in
// bundleLicences, or a licence there is of a module that is not inside the viewer.
func bundled(root string) (parts []part, notices []notice, err error) {
	var m struct{ Sources []string }
	if err := readJSON(filepath.Join(root, bundleMap), &m); err != nil {
		return nil, nil, err
	}
	inside := map[string]bool{}
	for _, path := range m.Sources {
		if match := npmModule.FindStringSubmatch(path); match != nil {
			inside[strings.TrimPrefix(match[1], "node_modules/")] = true
		}
	}
	text, err := os.ReadFile(filepath.Join(root, bundleLicences))
	if err != nil {
		return nil, nil, err
	}
	sections := strings.Split(string(text), line+"\n")
	for i := 1; i+1 < len(sections); i += 2 { // names, text, names, text
		one := notice{text: bytes.TrimSpace([]byte(sections[i+1]))}
		for name := range strings.Lines(sections[i]) {
			match := bundledName.FindStringSubmatch(strings.TrimSpace(name))
			if match == nil || !inside[match[1]] || len(one.text) == 0 {
				return nil, nil, fmt.Errorf("%s: %q names no module of %s, or no licence", bundleLicences, name,
					bundleMap)
			}
			delete(inside, match[1])
			one.parts = append(one.parts, match[1]+", inside "+filepath.Base(bundle))
			parts = append(parts, part{Name: match[1], Licence: match[2]})
		}
		notices = append(notices, one)
	}
	if len(inside) > 0 || len(parts) == 0 {
		return nil, nil, fmt.Errorf("%s has no licences of %v", bundleLicences, slices.Sorted(maps.Keys(inside)))
	}
	return parts, notices, nil
}
