package table

// BadCell is a value of a response that its column cannot store: text instead of a number,
// or a date that does not exist. The cell is null in the batch.
type BadCell struct {
	// Row is its index in the batch.
	Row int
	// Column is the provider's name of the column.
	Column string
	// Raw is the value as JSON, truncated to 80 bytes.
	Raw string
}
