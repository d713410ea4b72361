"""Only what pyproject.toml cannot say: cffi's hook into setuptools."""

from setuptools import setup

setup(cffi_modules=["fastvol/_cffi/build.py:ffibuilder"])
