package backup

// ParseManifest lets tests read a manifest.
var ParseManifest = parseManifest
