package main

import (
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// printGlibc prints the newest version of glibc whose symbols any of the files needs. Error: a file is not an ELF
// file, or needs a version above maximum, if that is not empty.
func printGlibc(out io.Writer, files []string, maximum string) error {
	var newest string
	for _, name := range files {
		version, err := neededGlibc(name)
		if err != nil {
			return err
		}
		if maximum != "" && compareVersions(version, maximum) > 0 {
			return fmt.Errorf("%s needs glibc %s, newer than %s", name, version, maximum)
		}
		if compareVersions(version, newest) > 0 {
			newest = version
		}
	}
	if newest == "" {
		return errors.New("none of the files needs glibc")
	}
	_, err := fmt.Fprintln(out, newest)
	return err
}

// neededGlibc returns the newest version in the needed symbol versions of an ELF file, such as 2.28.
func neededGlibc(name string) (newest string, err error) {
	file, err := elf.Open(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	defer file.Close()
	libraries, err := file.DynamicVersionNeeds()
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	for _, library := range libraries {
		for _, need := range library.Needs {
			version, ok := strings.CutPrefix(need.Dep, "GLIBC_")
			if ok && compareVersions(version, newest) > 0 {
				newest = version
			}
		}
	}
	return newest, nil
}

// compareVersions compares versions such as 2.9 and 2.28 by their numbers. A text that is no version, such as
// PRIVATE, counts as newer than all: a program that needs it runs with one glibc only. The empty text is the oldest.
func compareVersions(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(a, b string) int {
		return cmp.Compare(versionNumber(a), versionNumber(b))
	})
}

func versionNumber(text string) int {
	if text == "" {
		return -1
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 1 << 30
	}
	return n
}
