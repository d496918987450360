package run

// The state machine. Each edge is one function of this package; the ledger's schema repeats
// it as CHECK constraints and a trigger. Finish allows, per state: CHECKING: blocked,
// failed, unchanged; RUNNING: succeeded, partial, failed, unchanged; CANCELLING: cancelled,
// or failed if the process was killed; QUEUED: cancelled.
//
//	stateDiagram-v2
//	    [*] --> QUEUED: trigger
//	    QUEUED --> CHECKING: Take
//	    QUEUED --> FINISHED: Finish(cancelled)
//	    CHECKING --> RUNNING: Begin
//	    CHECKING --> PAUSED: Pause
//	    CHECKING --> CANCELLING: AskCancel
//	    CHECKING --> FINISHED: Finish
//	    RUNNING --> PAUSED: Pause
//	    RUNNING --> CANCELLING: AskCancel
//	    RUNNING --> FINISHED: Finish
//	    PAUSED --> CHECKING: Resume
//	    PAUSED --> CANCELLING: AskCancel
//	    CANCELLING --> FINISHED: Finish
//	    FINISHED --> [*]
//
// In ingest_runs.status CHECKING, RUNNING, PAUSED and CANCELLING are "running";
// a queued run has no row there.
