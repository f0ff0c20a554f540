"""Files of encoded frames, which hold finished segments until they are joined to one video.

A plain list, not a container: packets are read with exactly the bytes, time stamps and order they were written in,
for every codec. Per packet: pts and duration (int64, units of the stream), number of bytes (uint32), whether
decoding can begin here (uint8); then the bytes.
"""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from iart.errors import DataError
from iart.files import write_atomically

_HEAD = struct.Struct('<qqIB')


class Encoded(NamedTuple):
    """One encoded frame; packets are in the order of decoding."""

    pts: int
    duration: int
    is_key: bool
    content: bytes


def write_packets(path: Path, packets: Iterable[Encoded]) -> None:
    """Write all packets, or no file.

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """

    def write(name: str) -> None:
        with open(name, 'wb') as file:
            for packet in packets:
                file.write(_HEAD.pack(packet.pts, packet.duration, len(packet.content), packet.is_key))
                file.write(packet.content)

    write_atomically(path, write)


def read_packets(path: Path, *, contents: bool = True) -> Iterator[Encoded]:
    """Yield the packets of a file; without ``contents`` their headers only, with empty contents.

    Raises:
        DataError: the file is damaged.
    """
    with path.open('rb') as file:
        while head := file.read(_HEAD.size):
            if len(head) < _HEAD.size:
                raise DataError(f'{path}: is cut short; remove it and run the same command again')
            pts, duration, size, is_key = _HEAD.unpack(head)
            if contents:
                content = file.read(size)
                if len(content) < size:
                    raise DataError(f'{path}: is cut short; remove it and run the same command again')
            else:
                content = b''
                file.seek(size, 1)
            yield Encoded(pts, duration, bool(is_key), content)
