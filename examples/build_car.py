"""Build one CAR of a folder, without a project or a database. Usage: python build_car.py FOLDER OUT

Three steps: find the files, lay out the CAR, fill it. The layout says where every byte of the CAR goes, so its size
is known before any data is read. The CAR appears in OUT, named by its piece CID, when it is complete and synced.
"""

import os
import sys

from ptolemy_core import PtolemyError, build_car, cid_text, compute_layout, scan_path


def main(folder: str, out: str) -> None:
    """Build the CAR of everything in `folder`."""
    os.makedirs(out, exist_ok=True)
    items, inputs = scan_path(os.fsencode(folder))
    layout = compute_layout(items)
    print("size to be:  ", layout.car_size, "bytes,", len(layout), "blocks")

    car = build_car(layout, inputs, out, "example.part")  # a name for the file until it is complete
    print("file:        ", os.path.join(out, car.file_name))
    print("payload CID: ", cid_text(car.payload_cid))
    print("piece CID v1:", cid_text(car.piece_cid_v1))
    print("piece CID v2:", cid_text(car.piece_cid_v2))
    print("padded piece:", car.piece_size, "bytes")

    print("entries, with the offset of each in the CAR:")
    for path, item in zip(items.paths, car.items, strict=True):
        name = os.fsdecode(path.replace(b"\0", b"/"))  # a path is its names, joined by NUL bytes
        print(f"  {item.car_offset:>10}  {cid_text(item.cid)}  {name}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except PtolemyError as error:
        sys.exit(f"error: {error}")
