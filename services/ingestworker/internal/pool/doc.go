// Package pool has what the files of both pools have in common: the tables from the
// catalog, the validation and comparison of a commit's rows, external changes of the file,
// free space on the volume, and the errors of a pool's file.
package pool
