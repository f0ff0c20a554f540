"""What pyproject.toml cannot say: the weights in experiments/pretrained_models are installed as part of the package."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=['iart*']), 'iart.pretrained_models'],
    package_dir={'iart.pretrained_models': 'experiments/pretrained_models'},
)
