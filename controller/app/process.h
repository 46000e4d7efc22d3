// What the process does to itself before it holds a secret, and how it is told to stop.
#pragma once

namespace quay_rotator::app {

// No core dumps, no ptrace by the same user, no reading of /proc/self/mem; a closed pipe is an
// error of write(), not the end. SIGTERM and SIGINT are blocked in this thread and those that it
// starts.
void harden_process();

// Makes the C library give memory back that is not used any more, and share its heap among threads:
// a process that lists ten thousand objects at its start shall not stay that large. Before the
// first thread.
void keep_heap_small();
// What is free goes back to the system.
void trim_heap();

// Blocks the calling thread until SIGTERM or SIGINT comes. Needs harden_process first.
void wait_for_termination();

}  // namespace quay_rotator::app
