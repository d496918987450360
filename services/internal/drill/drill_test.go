package drill

import (
	"testing"
	"time"
)

func TestNormalBuildHasNoPoints(t *testing.T) {
	if Enabled {
		t.Skip("built with the tag drill")
	}
	t.Setenv("AFTERBELL_DRILL_CRASH", "here")
	Point("here") // a build that heeded it would end the test process
	before := time.Now()
	if now := Now(); now.Before(before) || now.After(time.Now()) {
		t.Errorf("Now = %v is not the system's clock", now)
	}
}
