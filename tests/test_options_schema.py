"""The JSON Schema of options files: it is up to date, takes every shipped file, and refuses what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from iart.options import load
from iart.options.json_schema import options_schema
from iart.options.yaml_file import Loader

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / 'docs' / 'options.schema.json'
OPTIONS = ROOT / 'options'
# A study file names rows and seeds; the options that its rows share begin with an underscore.
SHIPPED = sorted(p for p in OPTIONS.rglob('*.yml') if p.parent.name != 'study' or p.stem.startswith('_'))
_SHARED_PARTS = ('_basicvsr', '_iart')  # bases that lack what the files built on them add

WRONG = {
    'unknown key': 'scal: 4',
    'text for a number': 'scale: four',
    'fraction of an iteration': 'train: {total_iter: 0.5}',
    'below the range': 'train: {ema_decay: -0.1}',
    'no such precision': 'train: {precision: fp8}',
    'unknown network': 'network_g: {type: IARTT}',
    'argument of another network': 'network_g: {type: IART, num_block: 30}',
    'unknown alignment': 'network_g: {type: IART, alignment: {type: FlowWrap}}',
    'argument of another alignment': 'network_g: {type: IART, alignment: {type: ImplicitAlignment, patch: 4}}',
    'loss without such an argument': 'train: {pixel_opt: {type: CharbonnierLoss, epsilon: 1}}',
    'data set in the wrong place': 'datasets: {val: {type: REDSRecurrentDataset}}',
    'unknown phase': 'datasets: {eval: {type: VideoRecurrentTestDataset}}',
    'typing error in a data set': 'datasets: {train: {type: VideoClipDataset, gtsize: 64}}',
    'metric with a typing error': 'val: {metrics: {psnr: {type: calculate_psnr, crop_boarder: 0}}}',
    'schedule with the keys of another': 'train: {scheduler: {type: TrueCosineAnnealingLR, periods: [3]}}',
    'quoted boolean': "val: {save_img: 'yes'}",
}


def read(text: str) -> Any:
    loader = Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


@pytest.fixture(scope='module')
def validator() -> Any:
    jsonschema = pytest.importorskip('jsonschema', reason='pip install -r scripts/requirements-dev.txt')
    schema = json.loads(options_schema())
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def test_the_file_is_up_to_date() -> None:
    assert FILE.read_text(encoding='utf-8') == options_schema(), (
        'run  python -m iart.options --schema > docs/options.schema.json'
    )


@pytest.mark.parametrize('file', SHIPPED, ids=lambda file: file.relative_to(OPTIONS).as_posix())
def test_shipped_files_are_valid(validator: Any, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = read(file.read_text(encoding='utf-8'))
    if file.stem in _SHARED_PARTS:
        content['base'] = 'other.yml'
    assert not [f'{"/".join(map(str, e.absolute_path))}: {e.message}' for e in validator.iter_errors(content)]


@pytest.mark.parametrize('name', ['IART_REDS_N6_300K', 'IART_Vid4_N6', 'IABasicVSR_residual'])
def test_complete_options_are_valid(validator: Any, name: str) -> None:
    from iart.options import dump

    assert validator.is_valid(yaml.safe_load(dump(load(name))))


@pytest.mark.parametrize('text', WRONG.values(), ids=WRONG.keys())
def test_wrong_files_are_refused(validator: Any, text: str) -> None:
    content = {'base': 'other.yml', **read(text)}
    assert not validator.is_valid(content)


def test_a_complete_file_needs_a_name_and_a_network(validator: Any) -> None:
    assert not validator.is_valid({'name': 'x'})
    assert not validator.is_valid({'network_g': {'type': 'IART'}})
    assert validator.is_valid({'name': 'x', 'network_g': {'type': 'IART'}})
    assert not validator.is_valid({'name': 'x', 'network_g': {'type': 'IART'}, 'train': {'total_iter': 3}})


def test_keys_have_descriptions() -> None:
    schema = json.loads(options_schema())
    train = schema['properties']['train']
    train = next(part for part in train['anyOf'] if 'properties' in part)
    assert all('description' in value for value in train['properties'].values())
    network = next(part for part in schema['properties']['network_g']['anyOf'] if 'allOf' in part)
    iart = next(b['then'] for b in network['allOf'] if b['if']['properties']['type']['const'] == 'IART')
    assert 'description' in iart['properties']['window_size']
