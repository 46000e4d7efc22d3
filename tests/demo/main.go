// demo shows the operator at work on this machine: a real API server, a node, a registry and a Quay
// that simulates; see story.go for what happens. It checks everything it tells, and fails when one
// thing is not so.
//
//	demo [--keep] [--kubeconfig=FILE]    run as build/bin/demo by `make demo`, beside the programs it starts
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"quayrotator.dev/tests/environment"
)

func init() {
	runtime.LockOSThread() // the main goroutine stays on the main thread: see operator.start
}

func main() {
	keep := flag.Bool("keep", false, "afterwards leave everything up until Ctrl-C")
	kubeconfig := flag.String("kubeconfig", "", "use the cluster of this kubeconfig's current context instead of starting one")
	flag.Parse()
	if flag.NArg() != 0 {
		fmt.Fprintf(os.Stderr, "demo: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	os.Exit(run(*keep, *kubeconfig))
}

var errInterrupted = errors.New("interrupted")

// run answers the exit status.
func run(keep bool, kubeconfig string) int {
	// SIGPIPE: nobody listens any more.
	signals, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	ctx, cancel := context.WithCancelCause(signals)
	defer cancel(nil)

	screen := newTerminal(os.Stdout)
	told := &story{terminal: screen}
	err := told.prepare(ctx, cancel, kubeconfig)
	if err == nil {
		err = told.tell(ctx)
	}
	// What ends everything is the cause; what it interrupted is of no interest.
	if signals.Err() != nil {
		err = errInterrupted
	} else if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		told.explain(err)
	}
	if keep && told.cluster != nil && signals.Err() == nil {
		told.stay(signals, keepHint)
	}
	if ending := told.end(); ending != nil {
		screen.line(screen.paint(red, "NOT ENDED IN ORDER: ") + ending.Error())
		err = errors.Join(err, ending)
	}
	switch {
	case errors.Is(err, errInterrupted):
		return 130
	case err != nil:
		screen.line("\n" + screen.paint(red, "The demonstration failed."))
		return 1
	}
	told.sum()
	return 0
}

// prepare finds the programs and brings everything up.
func (s *story) prepare(ctx context.Context, cancel context.CancelCauseFunc, kubeconfig string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	programs := filepath.Dir(program) // build/bin
	build := filepath.Dir(programs)   // build
	s.root = filepath.Dir(build)      // of the repository
	operatorProgram := filepath.Join(programs, "quay-rotator")
	for _, needed := range []string{operatorProgram, "skopeo"} {
		if _, err := exec.LookPath(needed); err != nil {
			return fmt.Errorf("%w: run `make demo`, which builds what is missing", err)
		}
	}
	options := environment.Options{
		QuaySim:    filepath.Join(programs, "quay-sim"),
		Kubeconfig: kubeconfig,
		Node:       os.Geteuid() == 0 && kubeconfig == "",
		Progress:   func(line string) { s.note("%s", line) },
		Unexpected: func(err error) { cancel(err) },
	}
	// Absent where $KUBEBUILDER_ASSETS is used instead.
	if controlPlane := filepath.Join(build, "control-plane"); exists(controlPlane) {
		options.BinDirectory = controlPlane
	}

	parts := "a Kubernetes API server, a registry and a Quay (simulated)"
	if options.Node {
		parts += ", and a node"
	} else if kubeconfig != "" {
		parts = "a registry and a Quay (simulated), for the cluster of " + kubeconfig
	}
	s.step("Bringing up %s", parts)
	done := s.busy("starting")
	up, err := environment.Up(ctx, options)
	done()
	if err != nil {
		return err
	}
	s.cluster = &cluster{Environment: up, directory: filepath.Join(up.Directory, "demo"), namespace: "default"}
	if err = os.Mkdir(s.cluster.directory, 0o700); err != nil {
		return err
	}
	s.quay = newQuay(up.QuayControlSocket)
	s.operator = &operator{
		program:    operatorProgram,
		log:        filepath.Join(s.cluster.directory, "operator.log"),
		home:       s.cluster.directory,
		unexpected: func(err error) { cancel(err) },
	}
	switch {
	case up.Node.Available:
	case kubeconfig != "":
		return s.moveIn(ctx)
	case os.Geteuid() != 0:
		s.note("No node, as that needs root (or sudo): skopeo pulls instead of pods.")
	case options.BinDirectory == "":
		s.note("No node, as KUBEBUILDER_ASSETS has no kubelet: skopeo pulls instead of pods.")
	default:
		return fmt.Errorf("expected a node, as this is root, but there is none: %s", up.Node.Reason)
	}
	return nil
}

// explain says what went wrong, with the operator's own words.
func (s *story) explain(err error) {
	if errors.Is(err, errInterrupted) {
		s.line("\nInterrupted: taking everything away again.")
		return
	}
	s.line("\n" + s.paint(red, "FAILED: ") + err.Error())
	if s.operator != nil && exists(s.operator.log) {
		s.line("The last lines of the operator's log:")
		lines := strings.Split(s.operator.logged(), "\n")
		s.block(strings.Join(lines[max(0, len(lines)-25):], "\n"))
	}
}

const keepHint = `
Everything stays up until Ctrl-C here, or: kill %d
In another terminal:
  export KUBECONFIG=%s PATH=%s:$PATH
  kubectl get rtr -w                     # it rotates every 30 s now
  kubectl annotate rtr puller --overwrite quayrotator.dev/rotate-requested-at="$(date)"
  kubectl describe rtr puller
  tail -f %s
`

func (s *story) stay(signals context.Context, hint string) {
	if s.operator.running() {
		if err := s.setInterval(signals, "30s"); err != nil {
			s.explain(err)
		}
	}
	s.line(fmt.Sprintf(hint, os.Getpid(), s.cluster.AdminKubeconfig, filepath.Dir(s.cluster.Kubectl), s.operator.log))
	<-signals.Done()
}

// end takes everything away. It may be called at any point of the story.
func (s *story) end() error {
	if s.cluster == nil {
		return nil
	}
	began := time.Now()
	done := s.busy("taking everything away")
	defer done()
	var failure error
	if s.operator.running() {
		failure = s.operator.stop()
	}
	failure = errors.Join(failure, s.moveOut(), s.cluster.Down())
	if exists(s.cluster.Directory) {
		failure = errors.Join(failure, fmt.Errorf("%s is still there", s.cluster.Directory))
	}
	if failure == nil {
		s.step("Everything is taken away again, in %.1f s", time.Since(began).Seconds())
	}
	return failure
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
