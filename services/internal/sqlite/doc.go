// Package sqlite opens SQLite files in the one way both services use them: WAL,
// a busy timeout, foreign keys, write transactions that lock at once, a single
// writer beside several readers, and embedded migrations.
//
// Limits: one process owns a file. Another that only reads (a shell, a
// dashboard) is welcome; one that holds a write lock for longer than the busy
// timeout makes writes fail with an error for which IsBusy holds.
package sqlite
