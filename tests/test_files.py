"""Files and folders are complete or absent: no error, and no second process, leaves half of one."""

import os

import pytest

from iart import files
from iart.errors import DataError
from iart.files import folder_written_atomically, write_atomically


def test_a_folder_appears_only_when_it_is_filled(tmp_path):
    with folder_written_atomically(tmp_path / 'new' / 'clip') as folder:
        (folder / 'a.txt').write_text('a')
        assert not (tmp_path / 'new' / 'clip').exists()
    assert (tmp_path / 'new' / 'clip' / 'a.txt').read_text() == 'a'
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['clip'], 'no temporary folder is left'


def test_an_error_leaves_no_folder_and_the_former_one_as_it_was(tmp_path):
    (tmp_path / 'clip').mkdir()
    (tmp_path / 'clip' / 'former.txt').touch()

    def fail():
        with folder_written_atomically(tmp_path / 'clip', replace=True) as folder:
            (folder / 'half.txt').touch()
            raise OSError('disk')

    with pytest.raises(OSError, match='disk'):
        fail()
    assert [path.name for path in tmp_path.rglob('*')] == ['clip', 'former.txt']


@pytest.mark.parametrize(('replace', 'remaining'), [(False, 'theirs.txt'), (True, 'ours.txt')])
def test_a_folder_that_exists_by_then_is_kept_or_replaced(tmp_path, replace, remaining):
    with folder_written_atomically(tmp_path / 'clip', replace=replace) as folder:
        (folder / 'ours.txt').touch()
        (tmp_path / 'clip').mkdir()  # another process was faster
        (tmp_path / 'clip' / 'theirs.txt').touch()
    assert [path.name for path in tmp_path.rglob('*')] == ['clip', remaining]


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path):
    (tmp_path / 'a').write_text('old')

    def fail(name):
        with open(name, 'w') as file:
            file.write('half')
        raise OSError('full')

    with pytest.raises(OSError, match='full'):
        write_atomically(tmp_path / 'a', fail)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [('a', 'old')]


def test_a_folder_that_cannot_be_made_is_named_before_work(tmp_path):
    (tmp_path / 'out').write_text('mine')
    with pytest.raises(DataError, match=r'out: got a folder that cannot be written, .* --output FOLDER'):
        files.require_writable(tmp_path / 'out', '--output FOLDER')
    assert (tmp_path / 'out').read_text() == 'mine'
    files.require_writable(tmp_path / 'a' / 'b', '')
    assert (tmp_path / 'a' / 'b').is_dir()


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_a_read_only_folder_is_named_before_work(tmp_path):
    tmp_path.chmod(0o500)
    for folder in (tmp_path, tmp_path / 'new'):
        with pytest.raises(DataError, match='cannot be written'):
            files.require_writable(folder, '')
