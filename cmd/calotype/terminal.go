package main

import "calotype/internal/terminal"

// Texts of other servers, clients and backups are printed by these only.
var (
	visible      = terminal.Visible
	visibleLines = terminal.VisibleLines
	show         = terminal.Show
	showLine     = terminal.ShowLine
)
