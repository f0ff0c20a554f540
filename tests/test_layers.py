"""The shape of the code: imports go downwards only, files and functions stay small, and what must not be written is
not.
"""

import ast
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

from draw_architecture import LAYER_OF, PACKAGE, ROOT, WAYS, component, component_imports, draw, imported

FILES = sorted(PACKAGE.rglob('*.py'))
MOST_LINES = 300
MOST_FUNCTION_LINES = 80


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding='utf-8'), str(path))


def check_each(find_mistakes: Callable[[Path], list[str]]) -> None:
    """Fail with a table of the mistakes in all files."""
    rows = [
        f'iart/{path.relative_to(PACKAGE).as_posix()}: {mistake}' for path in FILES for mistake in find_mistakes(path)
    ]
    assert not rows, '\n'.join(['', *rows])


def package_of(path: Path) -> tuple[str, ...]:
    return ('iart', *path.relative_to(PACKAGE).parent.parts)


def upward(importer: str, module: ast.Module, package: tuple[str, ...] = ('iart',)) -> list[str]:
    """The imports of ``iart`` that do not go to a lower layer or to the component's own folder."""
    wrong = []
    for line, name in imported(module, package):
        parts = name.split('.')
        if parts[0] != 'iart' or len(parts) == 1 or parts[1] == '__version__':
            continue
        target = parts[1]
        lower = target in LAYER_OF and LAYER_OF[target] < LAYER_OF[importer]
        both_at_the_bottom = LAYER_OF.get(target) == LAYER_OF[importer] == 0
        if not (lower or both_at_the_bottom or target == importer):
            floors = f'layer {LAYER_OF[importer]} imports layer {LAYER_OF.get(target, "none")}'
            wrong.append(f'line {line}: iart.{importer} imports {name}: {floors}')
    return wrong


def docstrings(module: ast.Module) -> set[int]:
    """Return the ids of constants that are docstrings or other statements of text alone."""
    return {id(n.value) for n in ast.walk(module) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}


def test_every_component_has_a_layer() -> None:
    unknown = {c for c in map(component, FILES) if c and c not in LAYER_OF}
    assert not unknown, 'give it a place in LAYERS, and in docs/architecture.md'


def test_imports_go_downwards() -> None:
    def find_mistakes(path: Path) -> list[str]:
        this = component(path)
        # the public names and the command line load what they need when they need it
        return [] if this in ('', 'cli', '__main__') else upward(this, tree(path), package_of(path))

    check_each(find_mistakes)


def test_upward_imports_are_found() -> None:
    text = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from iart.training.trainer import Trainer
from iart import models
from .taps import gather
from ..archs import swin
from iart.errors import UserError
def lazily():
    import iart.cli
    import_module('iart.data.sampler')
"""
    result = upward('ops', ast.parse(text), ('iart', 'ops'))
    assert [line.split(':')[0] for line in sorted(result)] == ['line 10', 'line 11', 'line 4', 'line 5', 'line 7']


def test_files_and_functions_stay_small() -> None:
    def find_mistakes(path: Path) -> list[str]:
        lines = path.read_text(encoding='utf-8').count('\n')
        functions = [n for n in ast.walk(tree(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
        sizes = [(f, (f.end_lineno or f.lineno) - f.lineno + 1) for f in functions]
        large = [f'line {f.lineno}: {f.name} has {size} lines' for f, size in sizes if size > MOST_FUNCTION_LINES]
        return large + ([f'{lines} lines'] if lines > MOST_LINES else [])

    check_each(find_mistakes)


def test_only_the_registry_imports_basicsr() -> None:
    def find_mistakes(path: Path) -> list[str]:
        if component(path) == 'registry':
            return []
        return [f'line {line}: {name}' for line, name in imported(tree(path)) if name.split('.')[0] == 'basicsr']

    check_each(find_mistakes)


def names_cuda(module: ast.Module) -> list[str]:
    """Return where code (not documentation) names ``cuda``."""
    wrong, text = [], docstrings(module)
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in text:
            if node.value == 'cuda' or node.value.startswith('cuda:'):
                wrong.append(f'line {node.lineno}: {node.value!r}')
        elif isinstance(node, ast.Attribute) and node.attr == 'cuda':
            wrong.append(f'line {node.lineno}: {ast.unparse(node)}')
    return wrong


def test_only_the_device_layer_names_cuda() -> None:
    check_each(lambda path: [] if component(path) in ('device', 'distributed') else names_cuda(tree(path)))


def unsafe_calls(module: ast.Module) -> list[str]:
    """Calls that run text as code, load pickled code, or load weights that do not fit."""
    wrong = []
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in ('eval', 'exec'):
            wrong.append(f'line {node.lineno}: {node.func.id}()')
        for keyword in node.keywords:
            # zip(strict=False) is not about weights
            lenient = keyword.arg == 'weights_only' or (keyword.arg == 'strict' and ast.unparse(node.func) != 'zip')
            if lenient and isinstance(keyword.value, ast.Constant) and keyword.value.value is False:
                wrong.append(f'line {node.lineno}: {keyword.arg}=False')
    return wrong


def test_no_code_from_text_no_lenient_loading() -> None:
    check_each(lambda path: unsafe_calls(tree(path)))


def test_mistakes_are_found() -> None:
    text = """
torch.load(path, weights_only=False)
network.load_state_dict(state, strict=False)
zip(a, b, strict=False)
eval('1')
network.eval()
tensor.cuda()
device = 'cuda'
'cuda'
"""
    assert [m.split(':')[0] for m in unsafe_calls(ast.parse(text))] == ['line 2', 'line 3', 'line 5']
    assert sorted(m.split(':')[0] for m in names_cuda(ast.parse(text))) == ['line 7', 'line 8']


def test_no_module_is_named_utils() -> None:
    names = [p.relative_to(PACKAGE).as_posix() for p in FILES]
    assert [n for n in names if {'utils', 'utils.py', 'util.py', 'helpers.py', 'misc.py'} & set(n.split('/'))] == []


def repeated(names: Iterable[tuple[str, Path]]) -> list[str]:
    """Names that several files have in common, with the files."""
    files: dict[str, list[str]] = {}
    for name, path in names:
        files.setdefault(name, []).append(path.relative_to(PACKAGE).as_posix())
    return [f'{name}: {", ".join(paths)}' for name, paths in files.items() if len(paths) > 1]


def test_each_module_has_a_name_of_its_own() -> None:
    """But for ``__init__`` and ``__main__``, and for commands, whose files are named after what a user types."""
    names = [(path.name, path) for path in FILES if not path.name.startswith('__') and component(path) != 'commands']
    assert not repeated(names), 'name each file after what it alone knows'


def test_each_public_class_has_a_name_of_its_own() -> None:
    names = [
        (node.name, path)
        for path in FILES
        for node in tree(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith('_')
    ]
    assert not repeated(names), 'two things with one name'


def test_the_drawing_of_the_architecture_is_up_to_date():
    drawn = (ROOT / 'docs' / 'images' / 'architecture.svg').read_text(encoding='utf-8')
    assert draw(component_imports()) == drawn, 'run  python scripts/draw_architecture.py'


def test_the_ways_of_the_data_are_imports():
    imports = component_imports()
    steps = [(name, this, target) for name, (_, stops) in WAYS.items() for this, target in pairwise(stops)]
    assert [step for step in steps if step[2] not in imports[step[1]]] == []
