// Package sqlite opens SQLite files in the same way for both services: WAL, a busy timeout,
// foreign keys, write transactions that lock at once, one writer and several readers, and
// embedded migrations.
//
// Limits: one process owns a file. Another one may read it (a shell, a dashboard); if it
// holds a write lock for longer than the busy timeout, writes fail with an error for which
// IsBusy is true.
package sqlite
