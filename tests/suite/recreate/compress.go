// Compresses a file to standard output at a level, as docker and containerd do.
package main

import (
	"compress/gzip"
	"os"
	"strconv"
)

func main() {
	level, _ := strconv.Atoi(os.Args[1])
	content, _ := os.ReadFile(os.Args[2])
	w, _ := gzip.NewWriterLevel(os.Stdout, level)
	w.Write(content)
	w.Close()
}
