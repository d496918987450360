package table

// BadCell is a value of a reply that its column cannot hold: text where a number
// belongs, a date that does not exist. The cell itself is null in the batch.
type BadCell struct {
	// Row is its index in the batch.
	Row int
	// Column is the provider's name of the column.
	Column string
	// Raw is the value as JSON, cut after 80 bytes.
	Raw string
}
