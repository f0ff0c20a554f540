"""What users' situations showed, by kind: several members of each, and the right answer to each of them."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny import options
from PIL import Image
from torch import nn

from iart.archs.builder import build_network
from iart.archs.recognize import network_section
from iart.archs.released import released_extras
from iart.data.frames import open_store
from iart.data.lmdb_store import LmdbStore
from iart.data.meta import read_meta
from iart.data.pairs import choose_clips, pair_clips
from iart.errors import DataError, OptionsError, UserError, WeightsError
from iart.options import Options, load, resolve
from iart.registry import ALIGNMENT_REGISTRY, ARCH_REGISTRY, LOSS_REGISTRY, build
from iart.training.checkpoints import load_state
from iart.weights import load_weights, read_weights, released_state_dict

TRAIN = {
    'name': 'x',
    'network_g': {'type': 'BasicVSR'},
    'datasets': {
        'train': {
            'type': 'REDSRecurrentDataset',
            'dataroot_gt': 'a',
            'dataroot_lq': 'b',
            'num_frame': 5,
            'gt_size': 64,
        },
        'val': {'type': 'VideoRecurrentTestDataset', 'dataroot_lq': 'b'},
    },
    'train': {
        'total_iter': 10,
        'optim_g': {'type': 'Adam', 'lr': 1e-4},
        'scheduler': {'type': 'CosineAnnealingRestartLR', 'periods': [10]},
        'pixel_opt': {'type': 'CharbonnierLoss'},
    },
}


def mistakes(*overrides: str) -> str:
    """The message for a training file with values changed; empty for one without mistakes."""
    try:
        resolve(TRAIN, overrides)
    except OptionsError as error:
        return str(error)
    return ''


# B: what a component raises is a user's mistake, with the key and the component's own words


@pytest.mark.parametrize(
    ('registry', 'section', 'message'),
    [
        (
            ARCH_REGISTRY,
            {'type': 'BasicVSR', 'spynet_path': 'missing.pth'},
            r"k\.spynet_path: got 'missing\.pth'.*No such",
        ),
        (ARCH_REGISTRY, {'type': 'IconVSR', 'edvr_path': 'gone.pth'}, r"k\.edvr_path: got 'gone\.pth'"),
        (LOSS_REGISTRY, {'type': 'L1Loss', 'reduction': 'avg'}, r"k\.reduction: got 'avg'.*Unsupported reduction"),
        (LOSS_REGISTRY, {'type': 'CharbonnierLoss', 'reduction': 'avg'}, r"k\.reduction: got 'avg'"),
        (ARCH_REGISTRY, {'type': 'IART', 'embed_dim': 7, 'num_heads': [2, 2, 2]}, 'k'),
    ],
)
def test_what_a_constructor_raises_is_a_message(registry, section, message):
    with pytest.raises(UserError, match=message):
        build(registry, section, key='k')


def test_a_loss_that_finds_no_network_is_a_message(monkeypatch):
    def offline(*_, **__):
        raise OSError('<urlopen error no route to host>')

    monkeypatch.setattr('torch.hub.load_state_dict_from_url', offline)
    monkeypatch.setattr('torchvision.models._api.load_state_dict_from_url', offline, raising=False)
    section = {'type': 'PerceptualLoss', 'layer_weights': {'conv5_4': 1.0}}
    with pytest.raises(OptionsError, match=r'train\.perceptual_opt.*no route to host'):
        build(LOSS_REGISTRY, section, key='train.perceptual_opt')


def test_a_bug_of_ours_is_no_message(monkeypatch):
    class Broken(nn.Module):
        def __init__(self):
            raise KeyError('bug')

    Broken.__module__ = 'iart.alignments.broken'
    monkeypatch.setitem(ALIGNMENT_REGISTRY._obj_map, 'Broken_iart', Broken)
    with pytest.raises(KeyError):
        build(ALIGNMENT_REGISTRY, {'type': 'Broken'})


# C: the check knows the role of a key


@pytest.mark.parametrize(
    ('override', 'message'),
    [
        ('scale=2', 'scale: got 2, expected 4, the scale of BasicVSR'),
        ('network_g={type: IART}', ''),
        ('network_g={type: EDSR}', "network_g.type: got 'EDSR'.*not a network for clips"),
        ('network_g={type: EDVR}', "network_g.type: got 'EDVR'.*one frame of a window"),
        ('network_g={type: UNetDiscriminatorSN}', 'network_g.type: got'),
        ('network_g={type: BasicVSRPlusPlus, is_low_res_input: false}', 'scale: got 4, expected 1'),
        ('datasets:val:type=REDSRecurrentDataset', r"datasets\.val\.type: got 'REDSRecurrentDataset'.*trains"),
        ('datasets:train:type=VideoRecurrentTestDataset', r'datasets\.train\.type: got .*scores'),
        ('datasets:train:type=PairedImageDataset', r'datasets\.train\.type: got'),
        ('train:pixel_opt:type=GANLoss', r"train\.pixel_opt\.type: got 'GANLoss'.*adversarial"),
        ('train:pixel_opt:type=PerceptualLoss', r'train\.pixel_opt\.type: got .*no loss for pixel_opt'),
        ('train:pixel_opt={type: L1Loss, reduction: avg}', r'train\.pixel_opt: got .*Unsupported reduction mode'),
        ('train:perceptual_opt={type: L1Loss}', r'train\.perceptual_opt\.type: got'),
        ('val:metrics:p={type: calculate_psnr_pt, crop_border: 0}', r'val\.metrics\.p\.type: got .*takes tensors'),
    ],
)
def test_a_name_that_cannot_work_in_its_place_is_refused(override, message):
    text = mistakes(override)
    assert re.search(message, text) if message else text == ''


def test_messages_offer_only_what_can_work():
    text = mistakes('network_g={type: Nonsense}')
    offered = re.search(r'expected one of: ([\w, ]+)', text)[1].split(', ')
    assert {'BasicVSR', 'IART'} <= set(offered)
    assert not {'EDSR', 'RRDBNet', 'EDVR', 'StyleGAN2Generator'} & set(offered)


# H: names of sets are unique


@pytest.mark.parametrize(('first', 'second', 'refused'), [('A', 'A', True), ('A', 'a', True), ('A', 'B', False)])
def test_sets_have_names_of_their_own(first, second, refused):
    more = f'datasets:val_1={{type: VideoRecurrentTestDataset, dataroot_lq: c, name: {second}}}'
    assert ('datasets.val_1.name: got' in mistakes(f'datasets:val:name={first}', more)) is refused


def test_the_key_of_a_set_counts_as_its_name():
    more = 'datasets:val_1={type: VideoRecurrentTestDataset, dataroot_lq: c, name: val}'
    assert "datasets.val_1.name: got 'val'" in mistakes(more)


# J: text files


@pytest.mark.parametrize('start', [b'', b'\xef\xbb\xbf'])
def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path, start):
    meta, yaml = tmp_path / 'meta.txt', tmp_path / 'x.yml'
    meta.write_bytes(start + '000 5 (8,8,3)\r\n夜 5 (8,8,3)\r\n'.encode())
    assert list(read_meta(meta)) == ['000', '夜']
    yaml.write_bytes(start + b'name: y\r\nnetwork_g: {type: IART}\r\n')
    assert load(yaml).name == 'y'


@pytest.mark.parametrize(
    ('encoding', 'message'), [('gbk', 'expected UTF-8'), ('utf-16', 'UTF-16'), ('latin-1', 'UTF-8')]
)
def test_another_encoding_names_the_file(tmp_path, encoding, message):
    text = '000 5 (8,8,3)\nn\xf6 5 (8,8,3)\n' if encoding == 'latin-1' else '000 5 (8,8,3)\n夜晚 5 (8,8,3)\n'
    meta, yaml, lmdb = tmp_path / 'meta.txt', tmp_path / 'x.yml', tmp_path / 'x.lmdb'
    lmdb.mkdir()
    (lmdb / 'data.mdb').touch()
    for path in (meta, yaml, lmdb / 'meta_info.txt'):
        path.write_bytes(text.encode(encoding))
    for read, path in ((read_meta, meta), (load, yaml), (LmdbStore, lmdb)):
        with pytest.raises(UserError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert 'iconv' in str(caught.value)


# K: files of other programs


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


STATE = {'epoch': 3, 'iter': 100, 'optimizers': [{'state': {}, 'param_groups': []}], 'schedulers': [{'last_epoch': 3}]}


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'\n<!DOCTYPE html><html>404</html>', r'is a web page \(HTML\)'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:0\n', 'Git LFS pointer: run  git lfs pull'),
        (b'', r'is empty \(0 bytes\)'),
        (b'\x1f\x8b\x08' + bytes(40), 'gzip archive'),
        (b'Access denied', 'is a text file that begins'),
        (saved(STATE), r'training state of BasicSR.*models/net_g_'),
        (saved({'params_ema': {'w': torch.zeros(1)}}), r"only the averaged weights 'params_ema'.*--key params_ema"),
        (saved({'params': {'w': torch.zeros(1)}})[:-60], 'damaged or not a torch file'),
    ],
)
def test_files_of_other_programs_are_named(tmp_path, content, message):
    path = tmp_path / 'w.pth'
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        read_weights(path)
    assert 'weights_only' not in str(caught.value)


def test_a_state_of_basicsr_is_not_called_damaged(tmp_path):
    (tmp_path / '100.state').write_bytes(saved(STATE))
    with pytest.raises(WeightsError, match=r'training state of BasicSR.*pretrain_network_g'):
        load_state(tmp_path / '100.state')


BASICVSR = {'type': 'BasicVSR', 'num_feat': 8, 'num_block': 1}


@pytest.mark.parametrize('prefix', ['generator.', 'module.', 'model.net_g.', 'module.generator.'])
def test_a_common_prefix_is_taken_off(tmp_path, prefix):
    network, target = build_network(BASICVSR), build_network(BASICVSR)
    state = {f'{prefix}{name}': tensor for name, tensor in network.state_dict().items()}
    torch.save({'state_dict': state}, tmp_path / 'w.pth')
    load_weights(target, tmp_path / 'w.pth')
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), target.state_dict().values(), strict=True)
    )
    assert network_section(tmp_path / 'w.pth') == BASICVSR


def test_safetensors_are_known_by_content(tmp_path):
    from safetensors.torch import save_file

    save_file({'w': torch.arange(3.0)}, tmp_path / 'w.pth')
    assert read_weights(tmp_path / 'w.pth')['w'].tolist() == [0, 1, 2]


# S: dead weights of another width


@pytest.mark.parametrize('width', [64, 8])
def test_dead_weights_have_any_width(tmp_path, width):
    section = options(tmp_path)['network_g'] | {'spynet_path': None}
    network, target = build_network(section), build_network(section)
    state = released_state_dict(network)
    dead = [name for name, tensor in released_extras(network).items() if tensor.is_meta and 'conv_first_feat' in name]
    for name in dead:
        if name.endswith('weight'):
            assert state[name].shape[1] == 64  # as the released code has it, whatever mid_channels is
            state[name] = torch.zeros(state[name].shape[0], width, 3, 3)
    torch.save({'params': state}, tmp_path / 'w.pth')
    load_weights(target, tmp_path / 'w.pth')
    assert dead
    assert torch.equal(target.conv_before_upsample.weight, network.conv_before_upsample.weight)


# L: "no frames" where there are files


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)


@pytest.mark.parametrize(
    ('file', 'message'),
    [
        ('000/frames/0.png', r'000 contains the folder frames with images.*move them up'),
        ('000/0.exr', r'000 contains 1 \.exr; readable are \.png'),
        ('000x/0.png', r"did you mean '000x'"),
        ('clip_b/0.png', 'there are clip_a, clip_b'),
    ],
)
def test_no_frames_says_what_is_there(tmp_path, file, message):
    image(tmp_path / 'clip_a' / '0.png')
    if file.endswith('.png'):
        image(tmp_path / file)
    else:
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    (tmp_path / 'meta').write_text('000 1\n')
    store = open_store(tmp_path)
    with pytest.raises(DataError, match=message):
        pair_clips(store, None, choose_clips(store, None, read_meta(tmp_path / 'meta')), scale=4)


def test_an_lmdb_of_another_layout_shows_a_key(tmp_path):
    (tmp_path / 'meta_info.txt').write_text('REDS/000_00000000.png (8,8,3) 1\n')
    (tmp_path / 'data.mdb').touch()
    (tmp_path / 'meta').write_text('000 1\n')
    store = LmdbStore(tmp_path)
    with pytest.raises(DataError, match='keys are like REDS/000_00000000'):
        pair_clips(store, None, choose_clips(store, None, read_meta(tmp_path / 'meta')), scale=4)


# M: the words of a YAML, not Python's


@pytest.mark.parametrize(
    ('override', 'message'),
    [
        ('datasets:val:io_backend=lmdb', "datasets.val.io_backend: got 'lmdb', expected {type: disk or lmdb}"),
        ('datasets:val:clips=[000, 011]', 'datasets.val.clips: got [0, 9], expected a list of text or ~ (quote them'),
        (
            'datasets:train:interval_list=one',
            "datasets.train.interval_list: got 'one', expected a list of whole numbers",
        ),
        ('datasets:train:use_rot=maybe', "datasets.train.use_rot: got 'maybe', expected true or false"),
        ('datasets:val:dataroot_lq=011', 'datasets.val.dataroot_lq: got 9, expected text or ~ (quote it'),
        ('name=007', 'name: got 7, expected text (quote it'),
    ],
)
def test_messages_speak_yaml(override, message):
    text = mistakes(override)
    assert message in text
    assert not re.search(r'\bdict\[|Literal|typing|NoneType|\bstr\b|\bint\b|True|None', text)


# P: sections that do not matter do not stop a command


@pytest.mark.parametrize(
    'section', [{'total_iter': 10}, {'ema_decay': 0.999, 'gan_opt': {'type': 'GANLoss'}}, 'nonsense']
)
def test_scoring_does_not_look_at_the_train_section(tmp_path, section):
    import yaml

    raw = {**TRAIN, 'train': section, 'datasets': {**TRAIN['datasets'], 'train': {'type': 'Unheard'}}}
    (tmp_path / 'x.yml').write_text(yaml.safe_dump(raw))
    assert load(tmp_path / 'x.yml', scoring=True).train is None
    with pytest.raises(OptionsError):
        load(tmp_path / 'x.yml')


# Q: paths and terminals


def test_home_and_variables_expand(monkeypatch):
    monkeypatch.setenv('HOME', '/home/u')
    monkeypatch.setenv('DATA', '/data')
    changed = ('path:experiments_root=~/x', 'datasets:val:dataroot_lq=$DATA/lq', 'path:results_root=${DATA}/r')
    loaded: Options = resolve(TRAIN, changed)
    assert loaded.path.experiments_root == '/home/u/x'
    assert loaded.path.results_root == '/data/r'
    assert loaded.datasets['val'].arguments['dataroot_lq'] == '/data/lq'


def test_a_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv('NOWHERE', raising=False)
    assert 'datasets.val.dataroot_lq: got' in mistakes('datasets:val:dataroot_lq=$NOWHERE/lq')
    assert '$NOWHERE is not' in mistakes('path:results_root=$NOWHERE/lq')


def test_an_ascii_terminal_shows_what_it_can(tmp_path):
    (tmp_path / 'x.yml').write_text('name: 夜\nnetwork_g: {type: IART}\n', encoding='utf-8')
    environment = {**os.environ, 'PYTHONIOENCODING': 'ascii', 'PYTHONUTF8': '0'}
    command = [sys.executable, '-m', 'iart', 'check', str(tmp_path / 'x.yml')]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.startswith('name: ?')


# protocols by every name


@pytest.mark.parametrize('name', ['REDS4', 'REDS4-BI', 'Vid4-BD', 'vid4-bi', 'UDM10-BD', 'Vimeo-90K-T-BI'])
def test_a_protocol_has_every_name_it_is_known_by(name):
    assert mistakes(f'datasets:val:protocol={name}') == ''


def test_a_protocol_of_no_name_is_refused():
    assert "datasets.val.protocol: got 'REDS5-BI'" in mistakes('datasets:val:protocol=REDS5-BI')


def test_the_options_of_this_test_have_no_mistakes():
    assert mistakes() == ''
