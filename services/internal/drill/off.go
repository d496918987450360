//go:build !drill

package drill

import "time"

// Enabled reports whether the program was built for drills.
const Enabled = false

// Point is a place where a drill may kill the process.
func Point(string) {}

// Now is the system's clock.
func Now() time.Time { return time.Now() }
