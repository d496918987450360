package doctor

import "golang.org/x/sys/windows"

// posix is whether files have the rights of owner, group and others.
const posix = false

// freeBytes is the room that this user has on the volume of a directory.
func freeBytes(dir string) (uint64, error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(path, &free, nil, nil); err != nil {
		return 0, err
	}
	return free, nil
}

// writable cannot be determined here without trying, so it is not reported.
func writable(string) bool { return true }

// alive reports whether a process exists.
func alive(pid int) bool {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return false
	}
	_ = windows.CloseHandle(h)
	return true
}
