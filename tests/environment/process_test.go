package environment

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// shell is a process that runs a script and is ready once it made the file `ready`.
func shell(t *testing.T, script string) (made *process, ended chan error) {
	directory := t.TempDir()
	ended = make(chan error, 1)
	made = &process{
		name:        "shell",
		arguments:   []string{"/bin/sh", "-c", script},
		environment: []string{"READY=" + filepath.Join(directory, "ready")},
		log:         filepath.Join(directory, "log"),
		ready:       func(context.Context) error { _, err := os.Stat(filepath.Join(directory, "ready")); return err },
		unexpected:  func(_ string, err error) { ended <- err },
	}
	t.Cleanup(func() { made.stop(syscall.SIGKILL) })
	return made, ended
}

func TestProcessRunsAgainAfterStopAndKill(t *testing.T) {
	process, ended := shell(t, `touch "$READY"; exec sleep 600`)
	pids := map[int]bool{}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := process.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		pid := process.pid()
		pids[pid] = true
		if err := process.start(t.Context()); err != nil || process.pid() != pid {
			t.Error("a second start is no no-op:", err)
		}
		process.stop(signal)
		if process.pid() != 0 || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			t.Error("it runs after", signal)
		}
		process.stop(signal)
	}
	if len(pids) != 2 {
		t.Error("it was not started twice")
	}
	select {
	case err := <-ended:
		t.Error("a wanted end was reported:", err)
	default:
	}
}

func TestProcessThatEndsBeforeItIsReadySaysWhy(t *testing.T) {
	process, _ := shell(t, `echo the disk is full; exit 3`)
	err := process.start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the disk is full") || !strings.Contains(err.Error(), "exit status 3") {
		t.Error(err)
	}
}

func TestProcessThatEndsByItselfIsReported(t *testing.T) {
	process, ended := shell(t, `touch "$READY"; read _ <"$READY.wait"; exit 4`)
	if err := syscall.Mkfifo(process.environment[0][len("READY="):]+".wait", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := process.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	fifo, err := os.OpenFile(process.environment[0][len("READY="):]+".wait", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = fifo.Close()
	if err = <-ended; !strings.Contains(err.Error(), "exit status 4") {
		t.Error(err)
	}
}
