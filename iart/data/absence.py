"""Explanations of why a clip has no frames: what was found instead, what can be read, and the nearest name."""

from collections import Counter
from pathlib import Path

from iart.data.degraded import DegradedStore, TrimmedStore
from iart.data.frames import FolderStore, FrameStore, LmdbStore
from iart.errors import listing, nearest
from iart.image import IMAGE_SUFFIXES

_LOOKED_AT = 10_000  # directory entries


def explain_absence(store: FrameStore, clip: str) -> str:
    """Return what was found instead of a clip's frames, as the end of a sentence; empty if nothing is known.

    Args:
        store: a store that has no frames of the clip.
        clip: name of the clip.
    """
    if isinstance(store, DegradedStore):
        return explain_absence(store.gt, clip)
    if isinstance(store, TrimmedStore):
        return explain_absence(store.store, clip)
    if isinstance(store, LmdbStore):
        return _other_clips(store, clip, f'keys are like {store.first_key()}' if store.clips() else '')
    if isinstance(store, FolderStore):
        folder = store.folder(clip)
        return _inside(folder) if folder.is_dir() else _other_clips(store, clip)
    return _other_clips(store, clip)


def _other_clips(store: FrameStore, clip: str, layout: str = '') -> str:
    """Suggest the nearest name if the clip itself is missing."""
    try:
        clips = store.clips()
    except Exception:  # its own message is raised where the store is read
        return layout
    suggestion = nearest(clip, clips) or f'there are {listing(clips, 5)}' if clips else ''
    return '; '.join(filter(None, (suggestion, layout)))


def _inside(folder: Path) -> str:
    """Describe a folder without images: folders of images in it, or files of other kinds."""
    entries = sorted(folder.iterdir())[:_LOOKED_AT]
    if not entries:
        return f'{folder} is empty'
    deeper = [entry.name for entry in entries if entry.is_dir() and any(map(_is_image, entry.iterdir()))]
    if deeper:
        return (
            f'{folder} contains the folder {listing(deeper, 3)} with images, which are read from {folder.name}/ itself '
            f'or {folder.name}/X4/: move them up'
        )
    kinds = Counter(entry.suffix.lower() or entry.name for entry in entries if entry.is_file())
    there = listing([f'{count} {kind}' for kind, count in kinds.most_common()], 4) or 'folders only'
    return f'{folder} contains {there}; readable are {listing(IMAGE_SUFFIXES)}'


def _is_image(path: Path) -> bool:
    return path.name.lower().endswith(IMAGE_SUFFIXES)
