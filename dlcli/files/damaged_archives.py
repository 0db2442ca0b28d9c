"""The exceptions that reading a damaged ZIP archive can raise, which `zipfile` does not list.

Code that interprets the contents or the names of the members may raise ValueError and OverflowError as well.
"""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib

DAMAGED_ZIP = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,  # a password, an unknown method of compression
    OSError,  # bzip2, or a position before the file
)
