"""Print the CID of a file or folder. Usage: python folder_cid.py PATH

This is the CID that any tool of the UnixFS profile `unixfs-v1-2025` gives. Nothing is written, and symbolic links
are kept as links.
"""

import os
import sys

from ptolemy_core import PtolemyError, cid_text, root_cid


def main(path: str) -> None:
    """Hash what is at `path`."""
    print(cid_text(root_cid(os.fsencode(path))))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:2] or ["."])
    except PtolemyError as error:  # says what happened, to which file, and what to do
        sys.exit(f"error: {error}")
