"""Draw the floors of the package and the ways of the data through them as an SVG, from the imports in the code.

    python scripts/draw_architecture.py            # writes docs/images/architecture.svg

A component (a folder or top-level module of ``iart``) is a box on its floor in :data:`LAYERS`. A gray line is an import
of one component by another, omitted if a longer way implies it. Colored lines are the ways of training, scoring and
upscaling.
"""

import argparse
import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'iart'
LAYERS = (
    (
        'errors',
        'version',
        'shipped',
        'settings_fields',
        'yaml_words',
        'foreign_files',
        'protocols',
        'files',
        'partial',
        'registry',
        'signature',
        'degradations',
        'device',
        'memory',
        'stopwatch',
        'processes',
        'optimizers',
        'component_errors',
        'distributed',
        'image',
        'log',
        'overlap',
    ),
    ('options', 'ops', 'weights', 'pretrained', 'video'),
    ('alignments',),
    ('archs', 'losses', 'metrics', 'data'),
    ('models', 'inference'),
    ('scoring', 'preparing', 'upscaling', 'analysis'),
    ('training', 'reporting', 'export', 'vapoursynth', 'comfyui'),
    ('study', 'demo', 'doctor'),
    ('commands',),
    ('cli', '__main__'),
)
"""Floors from the ground up: a component imports lower floors or its own folder, the ground floor its neighbors."""
LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names}

WAYS = {
    'training': ('#c2410c', ('cli', 'commands', 'training', 'data', 'video')),
    'training step': ('#c2410c', ('training', 'archs', 'alignments', 'ops')),
    'losses': ('#c2410c', ('training', 'models')),
    'scoring': ('#1d4ed8', ('cli', 'commands', 'scoring', 'inference', 'archs', 'alignments', 'ops')),
    'upscaling': ('#15803d', ('cli', 'commands', 'upscaling', 'inference')),
    'frames of a video': ('#15803d', ('upscaling', 'video', 'image')),
}
"""Ways of the data; the drawing fails if a step of one is not an import."""

_WIDTH, _ROW, _BOX_HEIGHT, _GAP = 1180, 96, 46, 14


def component(path: Path) -> str:
    """Return the folder or top-level module of ``iart`` that a file belongs to; '' for ``iart/__init__.py``."""
    first = path.relative_to(PACKAGE).parts[0]
    return '' if first == '__init__.py' else first.removesuffix('.py')


def imported(module: ast.Module, package: tuple[str, ...] = ('iart',)) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every import, also of those in functions and under TYPE_CHECKING.

    Args:
        module: the parsed file.
        package: dotted name of the package that the file is in, for relative imports.
    """
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = '.'.join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f'{base}.{alias.name}') for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith('import_module')
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.lineno, str(node.args[0].value)


def component_imports() -> dict[str, set[str]]:
    """Return which components each component imports."""
    imports: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob('*.py')):
        importer = component(path)
        module = ast.parse(path.read_text(encoding='utf-8'))
        package = ('iart', *path.relative_to(PACKAGE).parent.parts)
        names = {name.split('.')[1] for _, name in imported(module, package) if name.startswith('iart.')}
        imports.setdefault(importer, set()).update(names & LAYER_OF.keys() - {importer})
    imports.pop('', None)
    return imports


def direct(imports: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Return the imports that are not implied by a longer way through other components."""

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        stack = list(imports.get(start, ()))
        while stack:
            name = stack.pop()
            if name not in seen:
                seen.add(name)
                stack.extend(imports.get(name, ()))
        return seen

    return {
        (importer, target)
        for importer, targets in imports.items()
        for target in targets
        if not any(target in reachable(other) for other in targets - {target})
    }


def draw(imports: dict[str, set[str]]) -> str:
    """Return the SVG of the floors, their imports and the ways of the data.

    Raises:
        ValueError: a step of a way is not an import.
    """
    boxes = _boxes([[name for name in names if name in imports] for names in LAYERS])
    height = _ROW * len(LAYERS) + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="system-ui, sans-serif">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for number in range(len(LAYERS)):
        top = _top(number) - 22
        parts.append(f'<rect x="8" y="{top}" width="{_WIDTH - 16}" height="{_ROW - 8}" rx="6" fill="#f6f7f9"/>')
        parts.append(f'<text x="18" y="{top + 46}" font-size="12" fill="#6b7280">floor {number}</text>')
    parts += [_line(boxes[importer], boxes[target], '#c7ccd4', 1, 0) for importer, target in sorted(direct(imports))]
    for shift, (name, (color, stops)) in enumerate(WAYS.items()):
        for importer, target in pairwise(stops):
            if target not in imports.get(importer, ()):
                raise ValueError(f'way {name!r}: got {importer} → {target}, expected an import; correct WAYS')
            parts.append(_line(boxes[importer], boxes[target], color, 2.5, 5 * shift - 10))
    for name, (x, y, width) in boxes.items():
        title = name if (PACKAGE / name).is_dir() else f'{name}.py'
        parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{_BOX_HEIGHT}" rx="5" fill="#eaf1f8" stroke="#4b6584"/>'
        )
        parts.append(
            f'<text x="{x + width / 2}" y="{y + 28}" font-size="14" text-anchor="middle" fill="#111827">{escape(title)}'
            '</text>'
        )
    parts += _legend(height)
    return '\n'.join([*parts, '</svg>', ''])


def _top(number: int) -> int:
    return 30 + (len(LAYERS) - 1 - number) * _ROW


def _boxes(floors: list[list[str]]) -> dict[str, tuple[float, float, float]]:
    boxes: dict[str, tuple[float, float, float]] = {}
    for number, names in enumerate(floors):
        room = (_WIDTH - 110 - _GAP * (len(names) - 1)) / max(len(names), 1)
        width = min(room, 190)
        start = 90 + (_WIDTH - 110 - (width + _GAP) * len(names) + _GAP) / 2
        for place, name in enumerate(names):
            boxes[name] = (round(start + place * (width + _GAP), 1), _top(number), round(width, 1))
    return boxes


def _line(
    upper: tuple[float, float, float], lower: tuple[float, float, float], color: str, width: float, shift: int
) -> str:
    x1, y1 = upper[0] + upper[2] / 2 + shift, upper[1] + _BOX_HEIGHT
    x2, y2 = lower[0] + lower[2] / 2 + shift, lower[1]
    if y2 <= upper[1]:  # neighbors on one floor
        y1 = y2 = upper[1] + _BOX_HEIGHT
        bend = y1 + 22
    else:
        bend = (y1 + y2) / 2
    return (
        f'<path d="M{x1:.1f},{y1:.1f} C{x1:.1f},{bend:.1f} {x2:.1f},{bend:.1f} {x2:.1f},{y2:.1f}" fill="none" '
        f'stroke="{color}" stroke-width="{width}"/>'
    )


def _legend(height: int) -> list[str]:
    colors = {'training': '#c2410c', 'scoring': '#1d4ed8', 'upscaling': '#15803d', 'imports': '#c7ccd4'}
    parts = []
    for place, (name, color) in enumerate(colors.items()):
        x, y = 90 + 150 * place, height - 18
        parts.append(f'<path d="M{x},{y} h30" stroke="{color}" stroke-width="3"/>')
        parts.append(f'<text x="{x + 38}" y="{y + 5}" font-size="13" fill="#374151">{name}</text>')
    return parts


def main() -> None:
    """Write the drawing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--output', type=Path, default=ROOT / 'docs' / 'images' / 'architecture.svg')
    arguments = parser.parse_args()
    arguments.output.write_text(draw(component_imports()), encoding='utf-8')
    print(f'{arguments.output}: written')


if __name__ == '__main__':
    main()
