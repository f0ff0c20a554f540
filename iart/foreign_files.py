"""Recognition, by their first bytes, of files that are passed as weights but contain none."""

import re
from collections.abc import Iterable
from pathlib import Path

_BY_START = (
    (b'version https://git-lfs', 'a Git LFS pointer', 'run  git lfs pull  where it comes from'),
    (b'\x1f\x8b', 'a gzip archive', 'unpack it first'),
    (b'\xfd7zXZ', 'an xz archive', 'unpack it first'),
    (b'Rar!', 'a RAR archive', 'unpack it first'),
    (b'7z\xbc\xaf', 'a 7z archive', 'unpack it first'),
    (b'\x89HDF', 'an HDF5 file (Keras)', 'expected weights of PyTorch'),
    (b'GGUF', 'a GGUF file', 'expected weights of PyTorch'),
    (b'\x08\x07\x12', 'an ONNX network', 'expected weights of PyTorch'),
    (b'\x08\x08\x12', 'an ONNX network', 'expected weights of PyTorch'),
    (b'\x89PNG', 'a PNG image', 'expected weights of PyTorch'),
)
_GLOBAL = re.compile(r'GLOBAL ([\w.]+)')


def is_safetensors(path: Path) -> bool:
    """Return whether a file begins like a ``.safetensors`` file; its name has no effect."""
    with path.open('rb') as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == b'{' and int.from_bytes(start[:8], 'little') < path.stat().st_size


def describe(path: Path) -> str:
    """Return what a file is instead of weights and what to do about it; empty for a file that could be weights."""
    with path.open('rb') as file:
        start = file.read(512)
    if not start:
        return 'is empty (0 bytes): fetch it again'
    text = start.lstrip(b'\xef\xbb\xbf \t\r\n').lower()
    if text.startswith((b'<!doctype', b'<html', b'<?xml')):
        return 'is a web page (HTML), not the file it links to: open it in a browser, and fetch the file itself'
    for beginning, kind, remedy in _BY_START:
        if start.startswith(beginning):
            return f'is {kind}: {remedy}'
    if start[257:262] == b'ustar':
        return 'is a tar archive: unpack it first'
    if b'\0' not in start and text[:1].isascii() and all(32 <= byte < 127 or byte in b'\t\r\n' for byte in start):
        return f'is a text file that begins {start[:40].decode()!r}, expected weights'
    return ''


def objects_inside(error: Exception) -> str:
    """Return the Python object that torch did not unpickle, from its message; empty if it names none."""
    match = _GLOBAL.search(str(error))
    return match[1] if match else ''


def generator_prefix(names: Iterable[str], *, averaged: bool) -> str:
    """Return the prefix of the generator's names in a checkpoint of mmagic with a discriminator or an average.

    Args:
        names: names of the checkpoint's tensors.
        averaged: whether to prefer the averaged generator.

    Returns:
        ``generator.`` or ``generator_ema.``; empty for other files.
    """
    first = {name.partition('.')[0] for name in names}
    prefixes = ('generator_ema', 'generator') if averaged else ('generator', 'generator_ema')
    return next((f'{part}.' for part in prefixes if part in first and len(first) > 1), '')
