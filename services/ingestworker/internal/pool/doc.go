// Package pool holds what the two pools' files share without sharing a store:
// the tables as the catalog describes them, the check and the comparison of a
// commit's rows, what happened to the file meanwhile, room on the volume, and the
// faults of a pool's file.
package pool
