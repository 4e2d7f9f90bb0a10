"""Piece commitments: the root, the size and the CIDs of the piece that a payload becomes.

Specification: https://github.com/filecoin-project/FIPs/blob/master/FRCs/frc-0069.md
"""

from ptolemy_core.commp.commitment import SUBTREE, PieceCommitment, subtree_roots
from ptolemy_core.commp.piece_cid import PieceCid, parse_piece_cid, piece_cid_v1, piece_cid_v2
from ptolemy_core.commp.sizes import MAX_PAYLOAD, MAX_PIECE, MIN_PIECE, capacity, height, piece_size
from ptolemy_core.commp.tree import PieceTree, payload_root, zero_root

__all__ = [
    "MAX_PAYLOAD",
    "MAX_PIECE",
    "MIN_PIECE",
    "SUBTREE",
    "PieceCid",
    "PieceCommitment",
    "PieceTree",
    "capacity",
    "height",
    "parse_piece_cid",
    "payload_root",
    "piece_cid_v1",
    "piece_cid_v2",
    "piece_size",
    "subtree_roots",
    "zero_root",
]
