// Piece commitment of standard input by go-fil-commp-hashhash: the root in hex, the padded piece size.
package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"

	commp "github.com/filecoin-project/go-fil-commp-hashhash"
)

func main() {
	calculator := new(commp.Calc)
	if _, err := io.CopyBuffer(struct{ io.Writer }{calculator}, struct{ io.Reader }{os.Stdin}, make([]byte, 1<<20)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	root, size, err := calculator.Digest()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(hex.EncodeToString(root), size)
}
