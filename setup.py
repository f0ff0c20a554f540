"""Builds the package. Its metadata is in pyproject.toml; here the repository's data files are put into the wheel."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# Relative to the repository and, in the wheel, to iart/_shipped: see iart/shipped.py.
SHIPPED = (
    'options/*.yml',
    'options/demo/*.yml',
    'options/small/*.yml',
    'options/test/*.yml',
    'options/study/*.yml',
    'datasets/demo/bigbuckbunny.mp4',
    'datasets/demo/README.md',
    'datasets/meta_info/*.txt',
    'experiments/pretrained_models/IART_small*',
    'scripts/requirements-basicsr.txt',
)


class BuildWithData(build_py):
    """Copies options, meta files and weights beside the code; an editable installation reads them where they are."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, 'iart', '_shipped')
        shutil.rmtree(target, ignore_errors=True)  # a file that was renamed must not stay behind in build/
        for pattern in SHIPPED:
            for file in sorted(Path(__file__).parent.glob(pattern)):
                copy = target / file.relative_to(Path(__file__).parent)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)


setup(cmdclass={'build_py': BuildWithData})
