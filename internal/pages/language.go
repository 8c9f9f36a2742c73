package pages

import (
	_ "embed"
	"encoding/json"
	"strings"

	"calotype/internal/accept"
)

// The texts of the upload page: for each language, by a key. They are in one file, which the scripts of the page
// get with the page.
//
//go:embed words.json
var wordsFile []byte

// fallback is the language for readers of other languages.
const fallback = "en"

var words = func() (all map[string]map[string]string) {
	if err := json.Unmarshal(wordsFile, &all); err != nil {
		panic(err) // the file is a part of the program
	}
	return all
}()

// rightToLeft names the languages that are written from right to left.
var rightToLeft = map[string]bool{"ar": true}

// languageOf returns the language of words that the lines of a header Accept-Language prefer, as "de": with the
// greatest weight, and the first of those with the same weight.
func languageOf(lines []string) string {
	best, most := fallback, 0.0
	for tag, weight := range accept.Items(lines) {
		name, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if words[name] != nil && weight > most {
			best, most = name, weight
		}
	}
	return best
}
