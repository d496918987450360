module github.com/afterbell/afterbell/services/tusharesim

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	go.uber.org/goleak v1.3.0
)
