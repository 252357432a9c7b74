"""Inflate: the bytes of a file that may be compressed, up to a bound that keeps a small file from filling the memory."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa

from adaptrace.errors import DataError, Problem

COMPRESSED = {  # start -> codec
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    **{b"BZh%d1AY&SY" % level: "bz2" for level in range(1, 10)},
}
FREE = 1 << 26  # bytes that any file may inflate to: 64 MiB
RATIO = 200  # beyond them, times as many as were read; logs reach about 10 to 50, a bomb 1,000


def codec_of(path: Path) -> str | None:
    """What a file is compressed with, by its first bytes."""
    with path.open("rb") as file:
        head = file.read(16)
    return next((codec for start, codec in COMPRESSED.items() if head.startswith(start)), None)


class Inflated(io.RawIOBase):
    """What a compressed file holds; a DataError once it inflates to more than :data:`RATIO` times its size."""

    def __init__(self, path: Path, codec: str) -> None:
        self._path, self._given = path, 0
        self._raw = pa.OSFile(str(path))
        self._stream = pa.CompressedInputStream(self._raw, codec)

    def readable(self) -> bool:
        """It can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        block: bytes = self._stream.read(size if size >= 0 else FREE)
        self._given += len(block)
        if self._given > max(FREE, RATIO * self._raw.tell()):
            got = f"a file that inflates to more than {RATIO} times its size"
            remedy = "if it is meant to, unpack it first and read the unpacked file"
            raise DataError(str(self._path), [Problem(got, f"at most {RATIO} times, or {FREE >> 20} MiB", remedy)])
        return block

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._stream.close()
            self._raw.close()
        super().close()


def opened(path: Path) -> pa.NativeFile:
    """The bytes of a file, inflated if its first bytes say that it is compressed."""
    codec = codec_of(path)
    return pa.OSFile(str(path)) if codec is None else pa.PythonFile(Inflated(path, codec), mode="r")
