package transport

import (
	"fmt"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// StallTimeout is how long a client of a stream of rows may stop reading.
const StallTimeout = 30 * time.Second

// SendWithin sends one message of a stream and returns STALLED if the client does not read
// it in time. The handler must then return: that ends the stream, and with it the pending
// send.
func SendWithin(d time.Duration, send func() error) error {
	done := make(chan error, 1)
	go func() { done <- send() }()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fault.New(fault.Stalled, fmt.Sprintf("The client read nothing for %s, so the response was aborted.", d), "seconds", fmt.Sprint(int(d.Seconds())))
	}
}
