package main

import (
	"fmt"
	"slices"
)

// drills lists every drill in the order of the table.
func drills() []drill {
	all := slices.Concat(crashes(), stops(), providerFaults(), fileFaults(), clockFaults(), poolFaults(), fences())
	for seed := range uint64(4) {
		all = append(all, drill{
			name: fmt.Sprintf("chaos-%d", seed), fault: fmt.Sprintf("15 kills, stops, outages, clock jumps and bad answers in a row, seed %d", seed),
			expect: "whatever happened, nothing is lost or doubled in the end", do: chaos(seed, 15),
		})
	}
	return all
}
