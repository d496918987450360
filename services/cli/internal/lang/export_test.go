package lang

import "maps"

// Keys are the English texts that have a Chinese one.
var Keys = maps.Keys(chinese())
