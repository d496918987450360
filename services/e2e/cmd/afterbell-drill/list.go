package main

import "slices"

// drills lists every drill in the order of the table.
func drills() []drill {
	return slices.Concat(crashes(), stops(), providerFaults(), fileFaults(), clockFaults(), poolFaults(), fences())
}
