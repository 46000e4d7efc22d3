// What the process does to itself before it holds a secret, and how it is told to stop.
#pragma once

namespace quay_rotator::app {

// No core dumps, no ptrace by the same user, no reading of /proc/self/mem. Of the signals that are
// no fault of the program none ends it in the middle of its work: SIGTERM, SIGINT, SIGHUP and
// SIGQUIT ask for an orderly end (SIGHUP not under nohup) and are blocked in this thread and those
// that it starts; all others are ignored, and what they stand for (a closed pipe, a full disk) is
// an error of the call.
void harden_process();

// Makes the C library give memory back that is not used any more, and share its heap among threads:
// a process that lists ten thousand objects at its start shall not stay that large. Before the
// first thread.
void keep_heap_small();
// What is free goes back to the system.
void trim_heap();

// Blocks the calling thread until it is told to stop: the name of the signal that does. Needs
// harden_process first.
const char* wait_for_termination();

}  // namespace quay_rotator::app
