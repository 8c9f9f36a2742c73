package doctor

import (
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"calotype/internal/sqldb"
)

// secrets are the secrets of a configuration, in the forms in which a text may quote them.
type secrets []string

// secretsOf returns the secrets of a configuration and those in the environment.
func secretsOf(c Config) secrets {
	var s secrets
	s.add(c.Account.Token, sqldb.Password(c.DB))
	s.add(c.Secrets...)
	for _, address := range []string{c.DB, c.Blobs, c.WebhookURL} {
		s.addURL(address)
	}
	if u, err := url.Parse(c.WebhookURL); err == nil && len(u.RequestURI()) > shortSecret {
		s.add(u.RequestURI()) // receivers authenticate senders by secrets in it
	}
	s.add(c.WebhookURL)
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		switch name = strings.ToUpper(name); {
		case strings.HasSuffix(name, "_PROXY"):
			s.addURL(value)
		case slices.Contains(c.Variables, name) && !strings.Contains(value, "://"),
			name == "AWS_SECRET_ACCESS_KEY", name == "AWS_SESSION_TOKEN", name == "PGPASSWORD",
			name == "AWS_CONTAINER_AUTHORIZATION_TOKEN":
			s.add(value)
		}
	}
	return s
}

// addURL adds the passwords of a URL, also of one that is not valid.
func (s *secrets) addURL(text string) {
	// A URL may be in the query of another one.
	for _, rest, ok := strings.Cut(text, "://"); ok; _, rest, ok = strings.Cut(rest, "://") {
		if at := strings.LastIndexByte(rest, '@'); at >= 0 {
			_, password, _ := strings.Cut(rest[:at], ":")
			s.add(password)
		}
	}
	u, err := url.Parse(text)
	if err != nil {
		return
	}
	password, _ := u.User.Password()
	s.add(password)
	for key, values := range u.Query() {
		if key = strings.ToLower(key); strings.Contains(key, "pass") || strings.Contains(key, "secret") ||
			strings.Contains(key, "token") {
			s.add(values...)
		}
	}
}

func (s *secrets) add(values ...string) {
	for _, v := range values {
		quoted := strconv.Quote(v)
		for _, form := range []string{v, url.QueryEscape(v), url.PathEscape(v), quoted[1 : len(quoted)-1]} {
			if form != "" && !slices.Contains(*s, form) {
				*s = append(*s, form)
			}
		}
	}
}

// shortSecret is the length up to which a secret counts as quoted only if it stands as a word: a shorter one is part of
// many words.
const shortSecret = 3

// quotedBy reports whether a text has a secret in it.
func (s secrets) quotedBy(text string) bool {
	return slices.ContainsFunc(s, func(secret string) bool {
		if len(secret) > shortSecret {
			return strings.Contains(text, secret)
		}
		return isWordOf(text, secret)
	})
}

// isWordOf reports whether a word stands in a text with no letter or digit at its sides.
func isWordOf(text, word string) bool {
	isPart := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	for at := 0; ; at++ {
		i := strings.Index(text[at:], word)
		if i < 0 {
			return false
		}
		at += i
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, _ := utf8.DecodeRuneInString(text[at+len(word):])
		if !isPart(before) && !isPart(after) {
			return true
		}
	}
}

// userinfo matches the user and the password in a URL.
var userinfo = regexp.MustCompile(`://[^/\s@]*@`)

// hidden stands instead of a text that quotes a secret. Replacing the secret only would show which word of a
// known text it is.
const hidden = "the text is not shown, because it quotes a secret"

// hide returns a text of a driver or of another server without secrets.
func (s secrets) hide(text string) string {
	if s.quotedBy(text) {
		return hidden
	}
	return userinfo.ReplaceAllString(text, "://...@")
}

// A foreign is a text of another program.
type foreign string

// hideIn returns the arguments of a finding with the texts of errors and of other programs hidden.
func (s secrets) hideIn(args []any) []any {
	out := slices.Clone(args)
	for i, arg := range args {
		switch arg := arg.(type) {
		case error:
			text := s.hide(arg.Error())
			if state := sqldb.SQLState(arg); state != "" && text == hidden {
				text = fmt.Sprintf("%s (SQLSTATE %s)", text, state)
			}
			out[i] = text
		case foreign:
			out[i] = s.hide(string(arg))
		}
	}
	return out
}
