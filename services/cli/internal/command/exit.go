package command

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"strings"

	afterbell "github.com/afterbell/afterbell/clients/go"
)

// The exit codes. They are part of the command's contract: scripts rely on them.
const (
	// ExitWhole: the data is complete, or the command is done.
	ExitWhole = 0
	// ExitFailed: the command line is wrong, or something failed.
	ExitFailed = 1
	// ExitBlocked: a check failed, so nothing is fetched until a user acts; for a run, also
	// if it is retried.
	ExitBlocked = 2
	// ExitNotWhole: the data is not complete, or something differs.
	ExitNotWhole = 3
	// ExitNotDue: the data is not due yet.
	ExitNotDue = 4
	// ExitUnreachable: the orchestrator or the worker cannot be reached.
	ExitUnreachable = 5
)

// exit ends a command with a code. Its answer has been written by then.
type exit struct{ code int }

// Error is never shown.
func (e exit) Error() string { return "exit" }

// usage is a command line that is wrong.
type usage struct {
	message string
	next    string
}

// Error says what is wrong.
func (e usage) Error() string { return e.message }

// advised is an error with the next command to type.
type advised struct {
	err  error
	next string
}

// Error is the error's.
func (e advised) Error() string { return e.err.Error() }

// Unwrap is the error without the advice.
func (e advised) Unwrap() error { return e.err }

// mistakes are errors that are reported together, one line each.
type mistakes []error

// Error has one line for each.
func (m mistakes) Error() string { return errors.Join(m...).Error() }

// err is nil without a mistake, and the mistake itself if it is the only one.
func (m mistakes) err() error {
	switch len(m) {
	case 0:
		return nil
	case 1:
		return m[0]
	}
	return m
}

// report writes an error in one line and what to do about it, and returns the exit code.
func (a *app) report(err error) int {
	var end exit
	switch {
	case err == nil:
		return ExitWhole
	case errors.As(err, &end):
		return end.code
	case errors.Is(err, context.Canceled):
		a.tell(a.T("Stopped."))
		return ExitFailed
	}
	var all mistakes
	if errors.As(err, &all) {
		for _, one := range all[:len(all)-1] {
			a.tell("afterbell: " + oneLine(a.errorText(one)))
		}
		err = all[len(all)-1]
	}
	code, next := ExitFailed, ""
	message, remedy := a.errorText(err), ""
	var wrong usage
	var answer *afterbell.Error
	var with advised
	switch {
	case errors.As(err, &wrong):
		next = wrong.next
	case errors.As(err, &answer):
		_, remedy = a.answered(answer)
		switch {
		case errors.Is(err, afterbell.ErrUnreachable):
			code, next = ExitUnreachable, "afterbell doctor"
		case errors.Is(err, afterbell.ErrWorkerUnreachable):
			code, next = ExitUnreachable, "afterbell doctor"
		case errors.Is(err, afterbell.ErrUnauthenticated), errors.Is(err, afterbell.ErrRoleRequired):
			next = a.path + " --key-file FILE"
		case errors.Is(err, afterbell.ErrInvalidArgument):
			next = a.path + " --help"
		case errors.Is(err, afterbell.ErrNotFound):
			next = map[string]string{
				"run": "afterbell runs", "slot": "afterbell explain", "module": "afterbell domains", "domain": "afterbell domains",
			}[answer.Metadata["kind"]]
			if answer.Metadata["kind"] == "version" && answer.Metadata["id"] == "" { // nothing is published
				next = commandIn(a.commands(answer.Remedy))
			}
			next = cmp.Or(next, a.path+" --help")
		}
	}
	if errors.As(err, &with) {
		next = with.next
	}
	a.tell("afterbell: " + oneLine(message))
	if remedy != "" {
		a.tell(oneLine(a.commands(remedy)))
	}
	if next != "" {
		a.next(next)
	}
	return code
}

// errorText is the message of an error.
func (a *app) errorText(err error) string {
	var answer *afterbell.Error
	if !errors.As(err, &answer) {
		return err.Error()
	}
	message, _ := a.answered(answer)
	if before, ok := strings.CutSuffix(err.Error(), answer.Message); ok { // where in a file it is
		message = before + message
	}
	return message
}

// answered is the message and remedy of an error that the orchestrator answered, or
// did not answer.
func (a *app) answered(e *afterbell.Error) (message, remedy string) {
	if errors.Is(e, afterbell.ErrTLS) {
		return e.Message, a.T("Name the CA of the orchestrator's certificate with --ca FILE, or AFTERBELL_CA.")
	}
	if errors.Is(e, afterbell.ErrNotOrchestrator) {
		return a.T("What listens at %s is not the orchestrator's gRPC port; perhaps it is its REST port, or another program.", e.Addr), ""
	}
	if errors.Is(e, afterbell.ErrUnreachable) {
		return a.T("The orchestrator at %s cannot be reached or did not respond in time.", e.Addr), ""
	}
	meta := e.Metadata
	if field := meta["field"]; field != "" {
		meta = maps.Clone(meta)
		meta["field"] = a.fieldName(field)
	}
	message, remedy = a.translated(e.ReasonName, meta, a.inFlags(e), e.Remedy)
	message = cmp.Or(a.wrongFields(e), message)
	if e.ReasonName != "" {
		message += " [" + e.ReasonName + "]"
	}
	if errors.Is(e, afterbell.ErrInvalidArgument) || errors.Is(e, afterbell.ErrNotFound) {
		return message, "" // the message says what to correct
	}
	return message, remedy
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
