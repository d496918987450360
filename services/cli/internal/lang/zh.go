package lang

// chinese has the Simplified Chinese of every text, by its English.
var chinese = map[string]string{}
