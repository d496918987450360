// Command tushare-sim is the simulated Tushare Pro provider as a program.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Getenv, os.Stderr))
}
