"""The wheel: what it holds, and that it works far from the checkout."""

import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest

#: Folder -> where it is installed within sparnn.
PACKAGES = {"api": "", **{name: f"{name}/" for name in ("hdl", "gen", "sim", "driver", "train")}}

# One worker builds the wheel once.
pytestmark = pytest.mark.xdist_group("wheel")


def run(*command, **options):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    """Built from a copy: a build leaves files in its folder."""
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(
            checkout / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "setup.py", "LICENSE", "README.md"):
        if (checkout / name).exists():
            shutil.copy(checkout / name, source)
    target = tmp_path_factory.mktemp("wheel")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    run(sys.executable, "-m", "pip", "wheel", *options, "-w", target, source)
    (file,) = target.glob("sparnn-*.whl")
    return file


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_citation_names_this_version(checkout):
    """What GitHub and reference managers read says the version that pyproject.toml has."""
    lines = (checkout / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    cited = dict(line.split(": ", 1) for line in lines if line and line[0] != " " and ": " in line)
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cited["version"] == project["version"]
    assert cited["license"] == project["license"]
    assert cited["cff-version"] == "1.2.0"


def test_wheel_claims_no_generic_names(names):
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"sparnn"}
    inside = {name.split("/")[1] for name in names if name.startswith("sparnn/")}
    assert {name for name in inside if "." not in name} == {*PACKAGES} - {"api"}


def test_wheel_holds_every_file(checkout, names):
    """Sources and data alike, at any depth."""
    ignored = {"__pycache__", ".mypy_cache", ".ruff_cache"}
    files = {
        place + file.relative_to(checkout / package).as_posix()
        for package, place in PACKAGES.items()
        for file in (checkout / package).rglob("*")
        if file.is_file() and not ignored & set(file.parts) and not file.name.startswith(".")
    }
    missing = sorted(file for file in files if f"sparnn/{file}" not in names)
    assert not missing, (
        "a Python file needs an __init__.py in its folder; "
        "data of a new kind needs a line under package-data in pyproject.toml"
    )


def test_wheel_is_typed_and_licensed(names):
    assert {f"sparnn/{place}py.typed" for place in PACKAGES.values()} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_installed_wheel_works_elsewhere(wheel, tmp_path):
    run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
        *("--target", tmp_path / "site", wheel),
    )
    # -I: neither the current folder nor PYTHONPATH; -S: not the editable installation either. The
    # dependencies come from where this interpreter finds them.
    code = f"""
import sys
sys.path[:0] = [{str(tmp_path / "site")!r}]
sys.path += {[path for path in sys.path if path.endswith("site-packages")]!r}
import sparnn.gen.cli.main, sparnn.gen.cli.doctor, sparnn.sim.verilator.toolchain, sparnn.hdl.errors
print(sparnn.gen.cli.main.__file__)
sparnn.sim.verilator.toolchain.find_toolchain()
sparnn.gen.cli.main.main(["--version"])
"""
    where, version = run(sys.executable, "-I", "-S", "-c", code, cwd=tmp_path).splitlines()
    assert where == str(tmp_path / "site" / "sparnn" / "gen" / "cli" / "main.py")
    assert version.startswith("sparnn ")
    assert (tmp_path / "site" / "bin" / "sparnn").is_file()
