"""Print the piece CIDs of a stream. Usage: python piece_commitment.py [FILE]   (or pipe data into it)

The data is hashed as it passes by: it needn't fit in memory, and its size needn't be known.
"""

import sys
from typing import BinaryIO

from ptolemy_core import PieceCommitment, cid_text, piece_cid_v1, piece_cid_v2

CHUNK = 1 << 20


def main(stream: BinaryIO) -> None:
    """Hash a stream to its end."""
    piece = PieceCommitment()  # update() and digest(), as in hashlib
    while chunk := stream.read(CHUNK):
        piece.update(chunk)
    commitment = piece.digest()
    print("piece CID v1:", cid_text(piece_cid_v1(commitment)))
    print("piece CID v2:", cid_text(piece_cid_v2(commitment, piece.size)))  # also holds the size
    print("data:        ", piece.size, "bytes")
    print("padded piece:", piece.piece_size, "bytes")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with open(sys.argv[1], "rb") as file:
            main(file)
    else:
        main(sys.stdin.buffer)
