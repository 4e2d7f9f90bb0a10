// A CARv1 of a file or folder by the Go libraries that `car create` is made of: go-car and go-unixfsnode.
// Usage: gocar OUTPUT.car PATH; prints the root CID.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-unixfsnode/data/builder"
	car "github.com/ipld/go-car/v2"
	"github.com/ipld/go-car/v2/blockstore"
	"github.com/ipld/go-ipld-prime"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	"github.com/multiformats/go-multihash"
)

func main() {
	root, err := create(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(root)
}

func create(output, source string) (cid.Cid, error) {
	// the root stands first in the file and is known last: a CID of the same length holds its place
	digest, err := multihash.Sum(nil, multihash.SHA2_256, -1)
	if err != nil {
		return cid.Undef, err
	}
	placeholder := cid.NewCidV1(cid.DagProtobuf, digest)
	store, err := blockstore.OpenReadWrite(output, []cid.Cid{placeholder}, blockstore.WriteAsCarV1(true))
	if err != nil {
		return cid.Undef, err
	}
	links := cidlink.DefaultLinkSystem()
	links.TrustedStorage = true
	links.StorageWriteOpener = func(ipld.LinkContext) (io.Writer, ipld.BlockWriteCommitter, error) {
		buffer := new(bytes.Buffer)
		return buffer, func(link ipld.Link) error {
			block, err := blocks.NewBlockWithCid(buffer.Bytes(), link.(cidlink.Link).Cid)
			if err != nil {
				return err
			}
			return store.Put(context.Background(), block)
		}, nil
	}
	link, _, err := builder.BuildUnixFSRecursive(source, &links)
	if err != nil {
		return cid.Undef, err
	}
	if err := store.Finalize(); err != nil {
		return cid.Undef, err
	}
	root := link.(cidlink.Link).Cid
	return root, car.ReplaceRootsInFile(output, []cid.Cid{root})
}
