"""``iart data info``: the contents of a folder, an LMDB or a video."""

from collections import Counter
from pathlib import Path
from typing import Any

from iart.data.frames import LmdbStore, find_store
from iart.data.videos import VideoStore
from iart.errors import listing
from iart.preparing.jobs import parallel


def describe(path: Path, *, jobs: int = 1) -> dict[str, Any]:
    """Return kind, clips, frames, sizes and bytes; for folders of images, sizes are those of each clip's first frame.

    Raises:
        DataError: there are no clips, or an LMDB is truncated.
    """
    store = find_store(path)
    clips = store.clips()
    counts = [len(store.frames(clip)) for clip in clips]
    filled = [clip for clip, count in zip(clips, counts, strict=True) if count]
    sizes = Counter(
        parallel(
            lambda c: store.size(c, store.frames(c)[0]), filled, jobs=jobs, title=f'looking at {path}', unit='clip'
        )
    )
    facts: dict[str, Any] = {
        'path': str(path),
        'kind': {LmdbStore: 'LMDB', VideoStore: 'video files'}.get(type(store), 'folders of images'),
        'clips': len(clips),
        'frames': sum(counts),
        'frames_per_clip': [min(counts), max(counts)],
        'sizes': {f'{w}x{h}': count for (h, w), count in sizes.most_common()},
        'first_clip': clips[0],
        'first_frame': next((store.where(c, store.frames(c)[0]) for c in filled), ''),
        'empty_clips': [clip for clip in clips if clip not in set(filled)],
    }
    if isinstance(store, LmdbStore):
        store.encoded(filled[0], store.frames(filled[0])[0])  # opens the LMDB, which raises if it is truncated
        facts['bytes'] = (path / 'data.mdb').stat().st_size
    if isinstance(store, VideoStore):
        facts['colors'] = {clip: store.color(clip) for clip in clips}
    return facts


def rows(facts: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the facts as lines of a table."""
    low, high = facts['frames_per_clip']
    lines: list[tuple[str, ...]] = [
        ('kind', facts['kind']),
        ('clips', str(facts['clips'])),
        ('frames', f'{facts["frames"]} ({low} each)' if low == high else f'{facts["frames"]} ({low} to {high} a clip)'),
        ('size', listing([f'{size} ({count} clips)' for size, count in facts['sizes'].items()], 5)),
        ('first frame', facts['first_frame']),
    ]
    if 'bytes' in facts:
        lines.append(('size on disk', f'{facts["bytes"] / 2**20:.1f} MiB'))
    if 'colors' in facts:
        lines.append(('colors', listing(dict.fromkeys(facts['colors'].values()), 5)))
    if facts['empty_clips']:
        lines.append(('without frames', listing(facts['empty_clips'], 5)))
    return lines
