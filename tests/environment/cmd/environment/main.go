// environment brings up a Kubernetes API server, a Quay and its registry, and a node, for tests and
// for a person who wants to try things; see package environment.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"quayrotator.dev/tests/environment"
)

const usage = `usage:
  environment up [flags]     bring everything up, write DIRECTORY/environment.json, stay until
                             SIGTERM or SIGINT, and take everything away again
  environment clean DIRECTORY
                             take away what an environment left that was killed

flags of up:
`

func main() {
	if err := run(os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "environment:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	var options environment.Options
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	flags.StringVar(&options.Directory, "directory", "", "where all files go; default a temporary one")
	flags.StringVar(&options.BinDirectory, "bin-directory", "", "what tests/control-plane/build.sh printed")
	flags.StringVar(&options.QuaySim, "quay-sim", "quay-sim", "the program of tests/quay-sim")
	flags.BoolVar(&options.Node, "node", false, "also a node that runs pods; needs root, containerd and runc")
	flags.BoolVar(&options.DurableEtcd, "durable-etcd", false, "let etcd wait for the disk")
	flags.Int64Var(&options.EtcdQuota, "etcd-quota", 0, "bytes above which etcd refuses to write; 0: its own limit")
	untilStdinCloses := flags.Bool("until-stdin-closes", false, "also end when standard input closes, as it does when the parent dies")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	if len(arguments) == 2 && arguments[0] == "clean" {
		return environment.Clean(arguments[1])
	}
	if len(arguments) == 0 || arguments[0] != "up" {
		flags.Usage()
		return errors.New("expected `up` or `clean DIRECTORY`")
	}
	if err := flags.Parse(arguments[1:]); err != nil {
		return err
	}
	if flags.NArg() != 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	// A reader of our output that dies must not end us before everything is taken away.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if *untilStdinCloses {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	options.Progress = func(line string) { fmt.Println(line) }
	up, err := environment.Up(ctx, options)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return up.Down()
}
