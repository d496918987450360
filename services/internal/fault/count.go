package fault

import "fmt"

// One chooses between the words for one thing and for several.
func One[N ~int | ~int32 | ~int64](n N, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// Count is a number with its noun: "1 row", "3 rows". The words may continue: "row is",
// "rows are".
func Count[N ~int | ~int32 | ~int64](n N, one, many string) string {
	return fmt.Sprintf("%d %s", n, One(n, one, many))
}

// Of is a part of a number with its noun: "1 of 3 rows", "1 of 1 row".
func Of[N ~int | ~int32 | ~int64](n, of N, one, many string) string {
	return fmt.Sprintf("%d of %s", n, Count(of, one, many))
}
