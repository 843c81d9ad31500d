// The program that made golden.txt: it compresses the contents that contents.rs makes too, with the real compressors,
// and prints for each model, version and content the length and the SHA-256 of what they write.
//
// With a Go up to 1.26, whose compress/flate is that of the models go-1 and go-6, and with the packages
// golang-github-klauspost-compress-dev and golang-github-klauspost-pgzip-dev of Debian 12:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go run golden.go old >golden.txt
//
// With a Go from 1.27 on, whose compress/flate is a descendant of klauspost's with the later way to write headers:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go run golden.go new >>golden.txt
//
// With a second argument it reads contents, one a line, from that file instead of those below; with a third, only
// the model of that name and version is used.
package main

import (
	"bufio"
	"bytes"
	stdflate "compress/flate"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/pgzip"
)

type random uint64

func (r *random) next() uint64 {
	x := uint64(*r)
	x ^= x << 13
	x ^= x >> 7
	x ^= x << 17
	*r = random(x)
	return x
}

// A number below n.
func (r *random) below(n int) int {
	return int((r.next() >> 33) % uint64(n))
}

func words(r *random) []string {
	var all []string
	for i := 0; i < 1000; i++ {
		var word []byte
		for n := 2 + r.below(8); n > 0; n-- {
			word = append(word, byte('a'+r.below(26)))
		}
		all = append(all, string(word))
	}
	return all
}

// One in two of the words is one of the first 60.
func word(r *random, all []string) string {
	if r.below(2) == 0 {
		return all[r.below(60)]
	}
	return all[r.below(len(all))]
}

func text(out []byte, r *random, all []string, size int) []byte {
	for end := len(out) + size; len(out) < end; {
		out = append(out, word(r, all)...)
		if r.below(12) == 0 {
			out = append(out, '\n')
		} else {
			out = append(out, ' ')
		}
	}
	return out
}

// A content is a kind, a size and a seed.
func content(kind string, size int, seed uint64) []byte {
	r := random(seed*0x9e3779b97f4a7c15 + 1)
	var out []byte
	switch kind {
	case "zeros":
		out = make([]byte, size)
	case "random":
		for len(out) < size {
			out = append(out, byte(r.next()>>40))
		}
	case "skewed":
		for len(out) < size {
			out = append(out, byte(r.below(8)*r.below(8)))
		}
	case "period":
		for len(out) < size {
			if len(out) < int(seed) {
				out = append(out, byte(r.next()>>40))
			} else {
				out = append(out, out[len(out)-int(seed)])
			}
		}
	case "text":
		out = text(out, &r, words(&r), size)
	case "tar":
		all := words(&r)
		for len(out) < size {
			header := make([]byte, 512)
			length := r.below(6000)
			copy(header, "usr/lib/"+word(&r, all)+"/"+word(&r, all)+".py")
			copy(header[100:], fmt.Sprintf("0000644\x000000000\x000000000\x00%011o\x00%011o", length, 1700000000+r.below(100)))
			copy(header[257:], "ustar\x0000root")
			out = append(out, header...)
			out = text(out, &r, all, length)
			out = append(out, make([]byte, (512-len(out)%512)%512)...)
		}
	case "mixed":
		all := words(&r)
		for len(out) < size {
			switch r.below(6) {
			case 0:
				for n := r.below(600); n > 0; n-- {
					out = append(out, byte(r.next()>>40))
				}
			case 1:
				one := byte(r.below(4))
				for n := r.below(2000); n > 0; n-- {
					out = append(out, one)
				}
			case 2, 3:
				if len(out) == 0 {
					break
				}
				distance := 1 + r.below(min(len(out), 40000))
				for n := 3 + r.below(400); n > 0; n-- {
					out = append(out, out[len(out)-distance])
					if r.below(50) == 0 {
						out[len(out)-1] ^= 1
					}
				}
			case 4:
				out = text(out, &r, all, r.below(1500))
			case 5:
				for n := r.below(700); n > 0; n-- {
					out = append(out, byte(r.below(8)*r.below(8)))
				}
			}
		}
	}
	return out[:size]
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

// Compresses content with what flate writes to.
type model struct {
	name     string
	compress func(w io.Writer, content []byte)
}

func standard(level int) func(io.Writer, []byte) {
	return func(w io.Writer, content []byte) {
		f, _ := stdflate.NewWriter(w, level)
		f.Write(content)
		f.Close()
	}
}

func klauspost(level int) func(io.Writer, []byte) {
	return func(w io.Writer, content []byte) {
		f, _ := flate.NewWriter(w, level)
		f.Write(content)
		f.Close()
	}
}

func parallel(level, block int) func(io.Writer, []byte) {
	return func(w io.Writer, content []byte) {
		var out bytes.Buffer
		z, _ := pgzip.NewWriterLevel(&out, level)
		z.SetConcurrency(block, 2)
		z.Write(content)
		z.Close()
		w.Write(out.Bytes()[10 : out.Len()-8])
	}
}

// What pgzip does, with the compressor of the standard library.
func standardParallel(level, block int) func(io.Writer, []byte) {
	return func(w io.Writer, content []byte) {
		var tail []byte
		for done := false; !done; {
			now := content[:min(len(content), block)]
			content = content[len(now):]
			done = len(now) < block
			f, _ := stdflate.NewWriterDict(w, level, tail)
			f.Write(now)
			f.Flush()
			if done {
				f.Close()
			} else {
				tail = now[len(now)-16384:]
			}
		}
	}
}

var old = []model{
	{"go-6 1", standard(6)},
	{"go-1 1", standard(1)},
	{"klauspost-1 1", klauspost(1)},
	{"klauspost-5 1", klauspost(5)},
	{"klauspost-6 1", klauspost(6)},
	{"pgzip-5-1m 1", parallel(5, 1<<20)},
	{"pgzip-5-256k 1", parallel(5, 256<<10)},
}

var new = []model{
	{"klauspost-1 2", standard(1)},
	{"klauspost-5 2", standard(5)},
	{"klauspost-6 2", standard(6)},
	{"pgzip-5-1m 2", standardParallel(5, 1<<20)},
	{"pgzip-5-256k 2", standardParallel(5, 256<<10)},
}

// Around each number that a compressor or the format knows: blocks of 65,535 and 16,384, a window of 32,768, short
// inputs of 16, 32 and 128, 250 tokens, and the blocks of pgzip.
const contents = `zeros 0 1
zeros 1 1
text 12 1
text 16 2
text 17 3
text 32 4
text 33 5
random 100 1
text 127 6
skewed 128 7
text 129 8
text 400 9
skewed 900 1
random 16384 2
random 16385 3
text 32768 10
zeros 65535 1
text 65534 11
random 65535 4
random 65536 5
text 65536 12
text 65663 13
skewed 70000 2
skewed 131070 3
random 140000 6
period 70000 32767
period 70000 32768
period 70000 32769
period 80000 3
tar 200000 1
mixed 131071 1
mixed 262143 2
mixed 262144 3
mixed 262145 4
mixed 300000 5
`

// For what has blocks of 1 MiB.
const long = `zeros 1048575 1
zeros 1048576 1
zeros 1048577 1
mixed 1048700 6
`

func main() {
	models := old
	if os.Args[1] == "new" {
		models = new
	}
	for _, model := range models {
		specs := contents
		if strings.Contains(model.name, "1m") {
			specs = long
		}
		var in io.Reader = strings.NewReader(specs)
		if len(os.Args) > 2 {
			data, _ := os.ReadFile(os.Args[2])
			in = bytes.NewReader(data)
		}
		if len(os.Args) > 3 && os.Args[3] != model.name {
			continue
		}
		lines := bufio.NewScanner(in)
		for lines.Scan() {
			var kind string
			var size int
			var seed uint64
			fmt.Sscan(lines.Text(), &kind, &size, &seed)
			var out bytes.Buffer
			model.compress(&out, content(kind, size, seed))
			sum := sha256.Sum256(out.Bytes())
			fmt.Printf("%s %s %d %x\n", model.name, lines.Text(), out.Len(), sum)
		}
	}
}
