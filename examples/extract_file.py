"""Extract one file or folder from CARs. Usage: python extract_file.py PATH OUT FILE.car...

PATH is the path within the CAR, with slashes. A file that is split over several CARs is joined again, if all
of them are given. Every block's hash is checked before its bytes are written.
"""

import os
import sys

from ptolemy_core import Extraction, PtolemyError


def main(path: str, out: str, *cars: str) -> bool:
    """Restore what is at `path` into the folder `out`; whether nothing went wrong."""
    wanted = os.fsencode(path).replace(b"/", b"\0")  # a path is its names, joined by NUL bytes
    with Extraction(cars, wanted=[wanted]) as extraction:
        report = extraction.write(os.fsencode(out))
    print(f"{report.files} files, {report.written_bytes} bytes written")
    for name, reason in report.problems:
        print(f"{name}: {reason}")
    return not report.problems


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        sys.exit(0 if main(*sys.argv[1:]) else 1)
    except PtolemyError as error:
        sys.exit(f"error: {error}")
