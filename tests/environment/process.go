package environment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A process is a program of the environment that can be stopped, killed and started again with the
// same arguments, on the same port. Its output is appended to one log file.
//
// It is a process group of its own, so that a Ctrl-C in the terminal reaches only the environment,
// which ends it in order; and the kernel kills it when the environment dies without doing so.
//
// Safe for use by several goroutines.
type process struct {
	name        string
	arguments   []string // the program first
	environment []string // added to ours
	log         string
	ready       func(context.Context) error     // asked again and again until it answers nil
	unexpected  func(name string, report error) // told when it ends although nobody asked for it

	mutex   sync.Mutex
	current *os.Process   // nil while it does not run
	isReady bool          // only the end of a program that was ready is unexpected
	ended   chan struct{} // closed at the end of the current run
	failure error         // how the last run ended
}

const (
	readyTimeout = 60 * time.Second
	stopTimeout  = 20 * time.Second
	pollInterval = 20 * time.Millisecond
)

// start runs the program and waits until it is ready. A program that runs already is left alone.
func (p *process) start(ctx context.Context) error {
	if p.pid() != 0 {
		return nil
	}
	ended, err := p.spawn()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		if err = p.ready(ctx); err == nil {
			p.mutex.Lock()
			p.isReady = true
			p.mutex.Unlock()
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("%s ended before it was ready: %w\n%s", p.name, p.failure, tail(p.log))
		case <-ctx.Done():
			// The probe's last error may be the context's own; the log says more.
			return fmt.Errorf("%s did not become ready: %w\n%s", p.name, err, tail(p.log))
		case <-time.After(pollInterval):
		}
	}
}

func (p *process) spawn() (ended chan struct{}, err error) {
	output, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	command := exec.Command(p.arguments[0], p.arguments[1:]...)
	command.Env = append(os.Environ(), p.environment...)
	command.Stdout, command.Stderr = output, output
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	started := make(chan error)
	ended = make(chan struct{})
	go func() {
		// Pdeathsig is about the thread that starts the child, not about the process: the thread
		// must live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer func() { _ = output.Close() }()
		p.mutex.Lock()
		err := command.Start()
		if err == nil {
			p.current, p.ended, p.isReady = command.Process, ended, false
		}
		p.mutex.Unlock()
		started <- err
		if err != nil {
			return
		}
		err = command.Wait()
		p.mutex.Lock()
		surprising := p.current == command.Process && p.isReady
		p.current = nil
		if p.failure = err; err == nil {
			p.failure = errors.New("exit status 0")
		}
		close(ended)
		p.mutex.Unlock()
		if surprising {
			p.unexpected(p.name, fmt.Errorf("%s ended by itself: %w\n%s", p.name, p.failure, tail(p.log)))
		}
	}()
	if err = <-started; err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	return ended, nil
}

// stop sends the signal and waits for the end; what ignores SIGTERM for too long is killed. It does
// nothing when the program does not run.
func (p *process) stop(signal syscall.Signal) {
	p.mutex.Lock()
	process, ended := p.current, p.ended
	p.current = nil
	p.mutex.Unlock()
	if process == nil {
		return
	}
	_ = process.Signal(signal)
	select {
	case <-ended:
	case <-time.After(stopTimeout):
		_ = process.Kill()
		<-ended
	}
}

// pid is 0 while the program does not run.
func (p *process) pid() int {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.current == nil {
		return 0
	}
	return p.current.Pid
}

// tail is the end of a log, for an error message.
func tail(file string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	lines = lines[max(0, len(lines)-8):]
	for i, line := range lines {
		lines[i] = line[:min(len(line), 400)]
	}
	return "the end of " + file + ":\n  " + strings.Join(lines, "\n  ")
}

// find is exec.LookPath that also looks where Debian keeps the system's own programs: the PATH of a
// user who became root may lack them.
func find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, directory := range []string{"/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(directory + program); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("the program %s is not installed", program)
}
