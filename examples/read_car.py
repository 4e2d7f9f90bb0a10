"""Read and check a CAR. Usage: python read_car.py FILE.car

`inspect_car` takes a CAR of any writer and checks every block's hash. `verify_car` also asks for what Ptolemy's own
CARs promise: one root, depth-first order, the UnixFS profile, nothing behind the last block. The reader shares no
code with the builder but the primitives of CIDs and varints.
"""

import sys

from ptolemy_core import cid_text, inspect_car, open_car, verify_car


def main(path: str) -> bool:
    """Print what is in a CAR and what is wrong with it; whether its blocks are what their CIDs say."""
    inspection = inspect_car(path)
    print(
        f"CAR version {inspection.version}, {inspection.blocks} blocks, {inspection.block_bytes} bytes in them"
    )
    for root in inspection.roots:
        print("root:", cid_text(root))
    for finding in inspection.findings:
        print(f"damaged at byte {finding.offset}: {finding.code}: {finding.message}")
    if not inspection.ok:
        return False

    report = verify_car(path)
    if report.ok:
        print(
            f"as Ptolemy writes it: {report.files} files, {report.directories} folders, {report.symlinks} links"
        )
    else:
        print("sound, but not as Ptolemy writes it:", report.findings[0].message)
    if report.piece_cid_v2:
        print("piece CID v2:", cid_text(report.piece_cid_v2))

    with open_car(path) as reader:  # one block at a time, however large the CAR
        for number, block in enumerate(reader.blocks()):
            if number == 5:
                print("  ...")
                break
            print(f"  {block.offset:>10}  {cid_text(block.cid)}  {len(block.data)} bytes")
    return True


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(0 if main(sys.argv[1]) else 1)
