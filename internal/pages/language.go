package pages

import (
	_ "embed"
	"encoding/json"
	"strconv"
	"strings"
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

// maxLanguages bounds the languages that are read from a header; browsers send up to ten.
const maxLanguages = 20

// languageOf returns the language of words that a header Accept-Language prefers, as "de": with the greatest
// weight, and the first of those with the same weight.
func languageOf(header string) string {
	best, most := fallback, 0.0
	for i, item := range strings.SplitN(header, ",", maxLanguages+1) {
		if i == maxLanguages {
			break
		}
		tag, parameter, _ := strings.Cut(strings.TrimSpace(item), ";")
		name, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		if weight := weightOf(parameter); words[name] != nil && weight > most {
			best, most = name, weight
		}
	}
	return best
}

// weightOf returns the weight of a parameter "q=0.5", which is from 0 to 1; 1 without one, 0 for an invalid one.
func weightOf(parameter string) float64 {
	text, found := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(parameter, " ", "")), "q=")
	if parameter == "" {
		return 1
	}
	weight, err := strconv.ParseFloat(text, 64)
	if err != nil || !found || !(weight >= 0 && weight <= 1) {
		return 0
	}
	return weight
}
