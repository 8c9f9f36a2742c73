package manual

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"

	"github.com/alecthomas/kong"
)

// A choice is a word that may follow on the command line, with its help.
type choice struct {
	Word, Help string
	Value      bool     // a flag that takes a value
	Values     []string // the values of a flag that has a choice of them
}

// A level is a place in the command tree: the commands up to it, such as "webhook add", and what may follow.
type level struct {
	Path     string
	Commands []choice // or the values of the arguments that have a choice
	Flags    []choice
}

// WriteCompletion writes the script of one shell: bash, zsh or fish.
func WriteCompletion(w io.Writer, app *kong.Application, shell string) error {
	return completions.ExecuteTemplate(w, shell, levels(app.Node, ""))
}

// levels returns the levels of the tree from node on, whose path is given.
func levels(node *kong.Node, path string) []level {
	here := level{Path: path}
	var below []level
	for _, child := range node.Children {
		if child.Hidden || child.Type != kong.CommandNode {
			continue
		}
		here.Commands = append(here.Commands, choice{Word: child.Name, Help: child.Help})
		below = append(below, levels(child, strings.TrimSpace(path+" "+child.Name))...)
	}
	for _, argument := range node.Positional {
		for _, value := range valuesOf(argument) {
			here.Commands = append(here.Commands, choice{Word: value, Help: argument.Help})
		}
	}
	for _, flag := range Flags(node) {
		here.Flags = append(here.Flags,
			choice{Word: flag.Name, Help: flag.Help, Value: !flag.IsBool(), Values: valuesOf(flag.Value)})
		if flag.Tag.Negatable != "" {
			here.Flags = append(here.Flags, choice{Word: "no-" + flag.Name, Help: "Not: " + flag.Help})
		}
	}
	here.Flags = append(here.Flags, choice{Word: "help", Help: "Show help."})
	return slices.Insert(below, 0, here)
}

// valuesOf returns the values of a flag or argument that has a choice of them: by its type, which has a method Values,
// or its list.
func valuesOf(v *kong.Value) []string {
	if choice, ok := v.Target.Interface().(interface{ Values() []string }); ok {
		return choice.Values()
	}
	if v.Enum == "" {
		return nil
	}
	return strings.Split(v.Enum, ",")
}

// completions has a template for each shell. Each script finds the path of the commands before the word, and
// offers what the level of that path has.
var completions = template.Must(template.New("").Funcs(template.FuncMap{
	"quote": func(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" },
	"join":  func(words []string) string { return strings.Join(words, " ") },
	"paths": func(all []level) string {
		var paths []string
		for _, one := range all[1:] {
			paths = append(paths, fmt.Sprintf("'%s'", one.Path))
		}
		return strings.Join(paths, "|")
	},
}).Parse(`{{define "bash"}}# Completion of calotype for bash.
_calotype() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} path= words= i
  # Bash splits --flag=value at the equals sign.
  if [[ $word == = ]]; then
    word=
  elif [[ $before == = ]]; then
    before=${COMP_WORDS[COMP_CWORD-2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "${path:+$path }${COMP_WORDS[i]}" in
      {{paths .}}) path="${path:+$path }${COMP_WORDS[i]}" ;;
    esac
  done
  case $path in
{{- range .}}
    '{{.Path}}') words='{{range .Commands}}{{.Word}} {{end}}{{range .Flags}}--{{.Word}} {{end}}' ;;
{{- end}}
  esac
  # A flag takes one dash, too.
  local flag=${before#-}
  case "$path --${flag#-}" in
{{- range $level := .}}{{range .Flags}}{{if .Values}}
    '{{$level.Path}} --{{.Word}}') [[ $before == -* ]] && words='{{range .Values}}{{.}} {{end}}' ;;
{{- end}}{{end}}{{end}}
  esac
  case $word in
    --*) ;;
    -?*) words=${words//--/-} ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _calotype calotype
{{end}}{{define "zsh"}}#compdef calotype
# Completion of calotype for zsh.
_calotype() {
  local path_= word before=$words[CURRENT-1]
  local -a commands_ flags_ values_
  for word in "${(@)words[2,CURRENT-1]}"; do
    case "${path_:+$path_ }$word" in
      {{paths .}}) path_="${path_:+$path_ }$word" ;;
    esac
  done
  case $path_ in
{{- range .}}
    '{{.Path}}')
      commands_=({{range .Commands}}
        {{quote (print .Word ":" .Help)}}{{end}}
      )
      flags_=({{range .Flags}}
        {{quote (print "--" .Word ":" .Help)}}{{end}}
      ) ;;
{{- end}}
  esac
  [[ $words[CURRENT] == -*=* ]] && { before=${words[CURRENT]%%=*}; compset -P '*='; }
  local flag=${before#-}
  case "$path_ --${flag#-}" in
{{- range $level := .}}{{range .Flags}}{{if .Values}}
    '{{$level.Path}} --{{.Word}}') [[ $before == -* ]] && values_=({{range .Values}}{{.}} {{end}}) ;;
{{- end}}{{end}}{{end}}
  esac
  if (( $#values_ )); then
    compadd -a values_
  elif [[ $words[CURRENT] == -* ]]; then
    _describe -o flag flags_
  elif (( $#commands_ )); then
    _describe command commands_
  else
    _files
  fi
}
if [ "$funcstack[1]" = _calotype ]; then _calotype "$@"; else compdef _calotype calotype; fi
{{end}}{{define "fish"}}# Completion of calotype for fish.
function __calotype_path
    set -l path
    for word in (commandline -opc)[2..]
        switch (string join -- ' ' $path $word)
            case{{range .}}{{if .Path}} '{{.Path}}'{{end}}{{end}}
                set -a path $word
        end
    end
    string join -- ' ' $path
end
function __calotype_at
    set -l at (__calotype_path)
    test "$at" = "$argv"
end
{{range $level := .}}{{range .Commands -}}
complete -c calotype -n '__calotype_at {{$level.Path}}' -f -a {{.Word}} -d {{quote .Help}}
{{end}}{{range .Flags -}}
complete -c calotype -n '__calotype_at {{$level.Path}}' -l {{.Word}}{{template "fish value" .}} -d {{quote .Help}}
{{end}}{{end}}{{end}}{{define "fish value" -}}
{{if .Values}} -x -a {{quote (join .Values)}}{{else if .Value}} -r{{end}}{{end}}`))
