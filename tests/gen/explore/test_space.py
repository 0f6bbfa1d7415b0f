"""The grid, what dominates what, and which results are taken for which run."""

import numpy as np
import pytest

from sparnn.gen.errors import SparnnError
from sparnn.gen.explore.front import front
from sparnn.gen.explore.space import Point, read_space


def test_every_combination_once(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(
        "network = {prune = [0, 0.5], delta = [0]}\ngrid = {lanes = [2, 4], chunk = 16}"
    )
    space = read_space(path)
    points = list(space.points())
    assert len(points) == len(set(points)) == space.size == 4
    assert points[0].config().lanes == 2
    assert points[0].config().delta == 1
    assert {point.prune for point in points} == {0, 0.5}
    assert Point.of(points[3].as_dict()) == points[3]


def test_blocks_matter_to_what_is_pruned(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text("network = {prune = [0, 0.5], rows = [1, 4]}\ngrid = {lanes = [2]}")
    points = list(read_space(path).points())
    assert [(point.prune, point.rows) for point in points] == [(0, 1), (0, 1), (0.5, 1), (0.5, 4)]
    assert points[0] == points[1]
    assert points[3].text().endswith("pruned 50% in blocks of 4 rows")
    assert Point.of(points[3].as_dict()) == points[3]


def test_the_built_in_space():
    space = read_space(None)
    assert space.size >= 10_000
    groups = {point.placed_as for point in space.points()}
    assert len(groups) * 20 == space.size  # bits alone do not place anew
    assert len({space.point(number) for number in range(space.size)}) == space.size


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("grid = 3", "has to be a table"),
        ("[grid]\nlane = [1]", "lane is unknown in .grid.; known: activation_bits"),
        ("[grid]\nlanes = []", "one or more numbers from 1 to 1024"),
        ("[grid]\nlanes = [0]", "one or more numbers from 1 to 1024"),
        ("[grid]\nlanes = [1.5]", "whole numbers"),
        ("[network]\nprune = [1.0]", "from 0 to 0.99"),
        ("[network]\nrows = [2.5]", "whole numbers"),
        ("board = 'x'", "board = 'x' is none of"),
        ("machine = 'x'", "machine = 'x' is none of sparse, dense"),
        ("board = []", "board = .. is none of"),
        ("machine = ['sparse']", "machine = .'sparse'. is none of"),
        ("machine = 'dense'\n[network]\ndelta = [0]", "a dense machine has none"),
        (
            "[grid]\ndelta = [0]\n[network]\ndelta = [0]",
            "with .network. delta all machines have it",
        ),
        ("x = 1", "x is unknown in a space; known: board"),
        ("lanes = [", "cannot be read"),
    ],
)
def test_bad_spaces(tmp_path, text, said):
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(SparnnError, match=said):
        read_space(path)


def test_front():
    rng = np.random.default_rng(5)
    points = [dict(zip("ab", map(int, one), strict=True)) for one in rng.integers(0, 9, (60, 2))]
    kept = front(points, ["a", "b"])

    def better(one, other):
        return one != other and all(one[name] <= other[name] for name in "ab")

    for index, point in enumerate(points):
        dominated = any(better(other, point) for other in points)
        again = any(points[k] == point for k in kept)
        assert again != dominated, index
    assert [points[k]["a"] for k in kept] == sorted({points[k]["a"] for k in kept})
    assert front([], ["a"]) == []
