"""What is found before training starts: clips, counts and sizes that do not fit together."""

import pytest
from helpers.data_clips import gt_frame, lr_frame, write_clips

from iart.data.frames import FolderStore
from iart.data.meta import MetaClip, read_meta
from iart.data.pairs import choose_clips, missing_numbers, pair_clips
from iart.errors import DataError
from iart.image import write_png


def check(root, meta=None, **arguments):
    lq, gt = FolderStore(root / 'lq'), FolderStore(root / 'gt')
    return pair_clips(lq, gt, choose_clips(lq, gt, meta), scale=4, **arguments)


@pytest.fixture
def root(tmp_path):
    write_clips(tmp_path, {'000': 5, '001': 4})
    return tmp_path


def test_clips_that_fit(root):
    clips = check(root, every_size=True)
    assert [(c.name, len(c.frames), c.size) for c in clips] == [('000', 5, (8, 12)), ('001', 4, (8, 12))]
    assert clips[0].frames == clips[0].gt_frames


@pytest.mark.parametrize('side', ['lq', 'gt'])
def test_missing_middle_frame_is_named(root, side):
    (root / side / '000' / '00000002.png').unlink()
    with pytest.raises(DataError, match=rf'{side}/000/00000002\.png'):
        check(root)


def test_frame_missing_on_both_sides_is_named(root):
    for side in ('lq', 'gt'):
        (root / side / '000' / '00000002.png').unlink()
    with pytest.raises(DataError, match=r'numbering has gaps.*00000002\.png'):
        check(root)
    assert len(check(root, {'000': MetaClip(4)})[0].frames) == 4  # by the meta file


def test_all_problems_are_in_one_message(root):
    write_png(root / 'gt' / '001' / '00000000.png', gt_frame(1, 0, (32, 44)))
    (root / 'lq' / '000' / '00000004.png').unlink()
    (root / 'gt' / '002').mkdir()
    with pytest.raises(DataError) as caught:
        check(root)
    text = str(caught.value)
    assert 'lq/000/00000004.png' in text
    assert 'gt/001/00000000.png: got 44x32, expected 48x32, 4 times' in text
    assert 'clip 002: no frames in' in text


def test_long_lists_are_cut(tmp_path):
    write_clips(tmp_path, {f'{i:03d}': 1 for i in range(30)})
    for i in range(30):
        (tmp_path / 'lq' / f'{i:03d}' / '00000000.png').unlink()
    with pytest.raises(DataError, match=r'\.\.\. and 10 more'):
        check(tmp_path)


def test_wrong_size_in_the_middle(root):
    write_png(root / 'lq' / '000' / '00000003.png', lr_frame(0, 3, (32, 40)))
    check(root)
    with pytest.raises(DataError, match=r'lq/000/00000003\.png: got 10x8, expected 12x8'):
        check(root, every_size=True)


def test_empty_file_is_named(root):
    (root / 'gt' / '001' / '00000000.png').write_bytes(b'')
    with pytest.raises(DataError, match=r'gt/001/00000000\.png: got an empty file'):
        check(root)


def test_different_names_are_paired_in_order(tmp_path):
    write_clips(tmp_path, {'calendar': 11}, 'Frame {}')
    for index in range(11):
        (tmp_path / 'lq' / 'calendar' / f'Frame {index}.png').rename(tmp_path / 'lq' / 'calendar' / f'{index:08d}.png')
    clip = check(tmp_path)[0]
    assert (clip.frames[10], clip.gt_frames[10]) == ('00000010', 'Frame 10')
    (tmp_path / 'lq' / 'calendar' / '00000010.png').unlink()
    with pytest.raises(DataError, match=r'clip calendar: 10 frames in .*lq, 11 in .*gt'):
        check(tmp_path)


def test_counts_and_sizes_of_the_meta_file(root):
    with pytest.raises(DataError, match=r'clip 000: got 5 frames .* expected 6'):
        check(root, {'000': MetaClip(6)})
    with pytest.raises(DataError, match='got 48x32, expected 64x32'):
        check(root, {'000': MetaClip(5, (32, 64))})
    with pytest.raises(DataError, match=r'clip 002: no frames in .*lq, expected 5'):
        check(root, {'002': MetaClip(5)})


def test_unknown_clip_gets_a_suggestion(root):
    lq = FolderStore(root / 'lq')
    with pytest.raises(DataError, match="did you mean '001'"):
        choose_clips(lq, None, None, ['0011'])
    assert list(choose_clips(lq, None, None, ['001'])) == ['001']


@pytest.mark.parametrize(
    ('names', 'missing'),
    [
        (['im1', 'im2', 'im4'], ['im3']),
        (['008', '009', '011', '012'], ['010']),
        (['0', '2', '4', '8'], ['6']),
        (['0', '2', '4'], []),
        (['1623', '1655', '1691'], []),
        (['a', 'b', 'd'], []),
        (['1', '3'], []),
        (['0x4', '1x4', '3x4'], []),
    ],
)
def test_holes_in_a_numbering(names, missing):
    assert missing_numbers(names) == missing


def test_meta_file_lines(tmp_path):
    path = tmp_path / 'meta.txt'
    path.write_text('000 100 (720,1280,3)\n\n00001/0001 7 (256, 448, 3)\r\nmy clip 12\n00001/0266\n')
    assert read_meta(path) == {
        '000': MetaClip(100, (720, 1280)),
        '00001/0001': MetaClip(7, (256, 448)),
        'my clip': MetaClip(12),
        '00001/0266': MetaClip(),
    }


@pytest.mark.parametrize(
    ('text', 'message'),
    [('000 (720,1280,3)', r'meta\.txt:1: got'), ('a 1\na 2', 'second time'), ('\n', 'got no clips')],
)
def test_bad_meta_files(tmp_path, text, message):
    (tmp_path / 'meta.txt').write_text(text)
    with pytest.raises(DataError, match=message):
        read_meta(tmp_path / 'meta.txt')


def test_missing_meta_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match='The key is optional'):
        read_meta('basicsr/data/meta_info/meta_info_ABCD_GT.txt')
    # an upstream YAML finds the file that comes with this package, from any folder
    reds = read_meta('basicsr/data/meta_info/meta_info_REDS_GT.txt')
    assert len(reds) == 270
    assert reds['269'] == MetaClip(100, (720, 1280))
