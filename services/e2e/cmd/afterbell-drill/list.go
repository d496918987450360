package main

import (
	"fmt"
	"slices"
)

// drills returns all drills in the order of the table.
func drills(o options) []drill {
	all := slices.Concat(crashes(), stops(), providerFaults(), wrongAnswers(), habits(), fileFaults(), publishedFaults(), clockFaults(), noticeFaults(), poolFaults(), fences())
	for seed := range uint64(4) {
		all = append(all, drill{
			name: fmt.Sprintf("chaos-%d", seed), fault: fmt.Sprintf("15 kills, stops, outages, clock jumps and bad answers in a row, seed %d", seed),
			expect: "whatever happened, nothing is lost or doubled in the end", do: chaos(seed, 15),
		})
	}
	return append(all, eight(o.seed), seasonDrill("sixty", length{evenings: o.evenings, calm: 12, window: 30}, o.seed))
}
