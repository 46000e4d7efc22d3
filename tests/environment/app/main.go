// app is the whole content of the image that pods run in the tests, and of the pause image: it
// prints a line and waits for the signal that ends it.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	fmt.Println("acme/app is running")
	<-ended
}
