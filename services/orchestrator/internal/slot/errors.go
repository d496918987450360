package slot

import "errors"

// ErrDecided is returned by a store for a slot that is already decided: it fires at most
// once.
var ErrDecided = errors.New("the slot has already been decided")
