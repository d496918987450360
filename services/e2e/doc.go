// Package e2e tests afterbell from outside: the built programs, started as people
// start them, over gRPC, REST and the files they leave.
package e2e
