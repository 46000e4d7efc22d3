package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// An operator is build/bin/quay-rotator as a process, as a pod of the chart's Deployment would run
// it: with the ServiceAccount's rights and the same name after a restart. It dies with the
// demonstration, whatever ends that.
type operator struct {
	program, kubeconfig, log string
	home                     string      // it finds no kubeconfig there
	unexpected               func(error) // told when it ends although nobody asked for it

	command *exec.Cmd
	ended   chan struct{}
	asked   *atomic.Bool // to end
}

const orderlyEnd = 30 * time.Second // longer than the operator gives itself

// start must be called by the main goroutine: Pdeathsig is about the thread that starts the child,
// and only the main thread lives as long as the process (see main).
func (o *operator) start() error {
	output, err := os.OpenFile(o.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = output.Close() }()
	// Several demonstrations on one machine: the ports of probes and metrics come from the kernel.
	command := exec.Command(o.program, "--kubeconfig="+o.kubeconfig,
		"--health-probe-bind-address=127.0.0.1:0", "--metrics-bind-address=127.0.0.1:0",
		"--allowed-quay-hosts=localhost", "--quay-timeout=10s", "--regenerate-hold=20s", "--log-format=text")
	// Nothing of ours: no proxy between it and this machine.
	command.Env = []string{"POD_NAME=quay-rotator-0", "HOME=" + o.home, "PATH=/usr/bin:/bin"}
	command.Stdout, command.Stderr = output, output
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err = command.Start(); err != nil {
		return fmt.Errorf("the operator does not start: %w", err)
	}
	ended, asked := make(chan struct{}), &atomic.Bool{}
	o.command, o.ended, o.asked = command, ended, asked
	go func() {
		_ = command.Wait() // its state says more
		close(ended)
		if !asked.Load() {
			o.unexpected(fmt.Errorf("the operator ended by itself: %s", command.ProcessState))
		}
	}()
	return nil
}

func (o *operator) running() bool {
	if o.command == nil {
		return false
	}
	select {
	case <-o.ended:
		return false
	default:
		return true
	}
}

// kill is a crash.
func (o *operator) kill() {
	o.asked.Store(true)
	_ = o.command.Process.Kill()
	<-o.ended
	o.command = nil
}

// stop ends it in order, which must give exit status 0.
func (o *operator) stop() error {
	o.asked.Store(true)
	_ = o.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-o.ended:
	case <-time.After(orderlyEnd):
		o.kill()
		return fmt.Errorf("the operator did not end within %s of SIGTERM", orderlyEnd)
	}
	state := o.command.ProcessState
	o.command = nil
	if !state.Success() {
		return fmt.Errorf("expected the operator to end with exit status 0 on SIGTERM, got %s", state)
	}
	return nil
}

func (o *operator) logged() string {
	content, err := os.ReadFile(o.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(content))
}
