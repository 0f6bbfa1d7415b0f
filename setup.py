"""Finds the packages; everything else is in pyproject.toml.

The folder api is installed as sparnn; hdl, gen, sim, driver and train as sparnn.hdl and so on
(package-dir in pyproject.toml). Setuptools cannot search for packages under mapped names there, so
it is done here: a folder with an __init__.py is a package, at any depth.
"""

from setuptools import find_packages, setup

TOPS = ("hdl", "gen", "sim", "driver", "train")

found = find_packages(".", include=[*TOPS, *(f"{top}.*" for top in TOPS)])
setup(packages=["sparnn", *(f"sparnn.{name}" for name in found)])
