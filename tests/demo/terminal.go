package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// A terminal tells the story line by line; on a real one in colour, with a clock on the last line
// while something takes long. Safe for use by several goroutines.
type terminal struct {
	out   io.Writer
	live  bool // somebody looks at it
	began time.Time

	mutex   sync.Mutex
	waiting bool // the last line is a clock
}

const (
	bold  = "1"
	green = "32"
	red   = "1;31"
	dim   = "2"

	patience   = 3 * time.Second  // after which a clock appears
	logsPeriod = 10 * time.Second // of reports where nobody looks
)

func newTerminal(file *os.File) *terminal {
	status, err := file.Stat()
	live := err == nil && status.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == ""
	return &terminal{out: file, live: live, began: time.Now()}
}

func (t *terminal) paint(style, text string) string {
	if !t.live {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

func (t *terminal) line(text string) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.waiting {
		t.waiting = false
		_, _ = io.WriteString(t.out, "\r\x1b[K")
	}
	_, _ = io.WriteString(t.out, text+"\n") // where nobody reads any more, SIGPIPE ends the story
}

// step names what happens next.
func (t *terminal) step(format string, arguments ...any) {
	seconds := fmt.Sprintf("[%5.1f s] ", time.Since(t.began).Seconds())
	t.line("\n" + t.paint(dim, seconds) + t.paint(bold, fmt.Sprintf(format, arguments...)))
}

// found is something that turned out to be so.
func (t *terminal) found(format string, arguments ...any) {
	t.line("  " + t.paint(green, "✓") + " " + fmt.Sprintf(format, arguments...))
}

func (t *terminal) note(format string, arguments ...any) {
	t.line("    " + fmt.Sprintf(format, arguments...))
}

// block shows what another program printed.
func (t *terminal) block(text string) {
	for line := range strings.Lines(strings.TrimSpace(text)) {
		t.line(t.paint(dim, "    "+strings.TrimRight(line, "\n")))
	}
}

// busy shows how long something takes, once it takes longer than patience, until done is called.
func (t *terminal) busy(what string) (done func()) {
	began := time.Now()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		period := logsPeriod
		if t.live {
			period = time.Second
		}
		for next := patience; ; next += period {
			select {
			case <-stop:
				return
			case <-time.After(time.Until(began.Add(next))):
				t.clock(fmt.Sprintf("    … %s: %.0f s", what, next.Seconds()))
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
		t.mutex.Lock()
		defer t.mutex.Unlock()
		if t.waiting {
			t.waiting = false
			_, _ = io.WriteString(t.out, "\r\x1b[K")
		}
	}
}

func (t *terminal) clock(text string) {
	if !t.live {
		t.line(text)
		return
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.waiting = true
	_, _ = io.WriteString(t.out, "\r\x1b[K"+t.paint(dim, text))
}
