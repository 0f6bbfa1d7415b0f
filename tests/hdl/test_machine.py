"""What both machines' configurations have in common: limits, documents, memories, identity."""

import re
from collections.abc import Iterator
from dataclasses import fields, replace

import pytest

from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.emit import MACHINES, machine_config
from sparnn.hdl.errors import ConfigurationError
from sparnn.hdl.host.protocol import identity
from sparnn.hdl.machine import MachineConfig, Target, require
from sparnn.hdl.sparse.config import SparseConfig

#: A machine of each kind from which any single parameter can be changed.
MACHINE_OF: dict[type[MachineConfig], MachineConfig] = {
    SparseConfig: SparseConfig(lanes=16, max_v=4, queue_depth=16, columns=1024),
    DenseConfig: DenseConfig(lanes=32, width=8, banks=4, slices=2, gate_depth=16, link_words=4),
}

#: What a parameter needs before it can change.
NEEDED = {"gate_functions": {"cell_functions": 1}}

FIELDS = [(one, field.name) for one in MACHINE_OF for field in fields(one)]


def _documented(machine: type[MachineConfig]) -> set[str]:
    """The names in the section Parameters of the class that has the parameters."""
    owner = next(one for one in machine.__mro__ if "RANGES" in vars(one))
    assert owner.__doc__ is not None
    section = owner.__doc__.split("Parameters\n    ----------\n")[1]
    items = re.findall(r"^    (\w[\w, ]*): ", section, re.MULTILINE)
    # A parameter may also be explained behind the one that it belongs to.
    items += re.findall(r"``(\w+)``: ", section)
    return {name for item in items for name in item.split(", ")}


@pytest.mark.parametrize("machine", MACHINE_OF)
def test_every_parameter_is_documented(machine: type[MachineConfig]) -> None:
    assert {field.name for field in fields(machine)} == _documented(machine)


@pytest.mark.parametrize("machine", MACHINE_OF)
def test_every_parameter_has_a_range(machine: type[MachineConfig]) -> None:
    assert {field.name for field in fields(machine)} == set(machine.RANGES)
    assert set(machine.POWERS) <= set(machine.RANGES)
    for name, (least, most) in machine.RANGES.items():
        assert least <= getattr(machine(), name) <= most, name


@pytest.mark.parametrize(("machine", "name"), FIELDS)
@pytest.mark.parametrize("wrong", ["below", "above", "bool", "float"])
def test_out_of_range(machine: type[MachineConfig], name: str, wrong: str) -> None:
    least, most = machine.RANGES[name]
    value = {"below": least - 1, "above": most + 1, "bool": True, "float": float(most)}[wrong]
    with pytest.raises(ConfigurationError) as refused:
        machine(**{name: value})
    assert str(refused.value) == (
        f"configuration: {name} = {value!r} is not an integer from {least} to {most}"
    )


@pytest.mark.parametrize("machine", MACHINE_OF)
def test_powers_of_two(machine: type[MachineConfig]) -> None:
    for name in machine.POWERS:
        most = machine.RANGES[name][1]
        value = next(one for one in (12, 6, 3) if one <= most)
        with pytest.raises(
            ConfigurationError,
            match=f"{name} = {value} is not a power of two; use {value // 3 * 2}",
        ):
            machine(**{name: value})


def test_require() -> None:
    require(1, "nothing")
    with pytest.raises(ConfigurationError, match=r"^configuration: lanes = 3; use 4$"):
        require(0, "lanes = 3; use 4")


def _others(config: MachineConfig, name: str) -> Iterator[int]:
    value = getattr(config, name)
    least, most = config.RANGES[name]
    near = (value * 2, value // 2, value + 1, value - 1, value + config.lanes)
    for other in (*near, least, most, most // 2):
        if other != value and least <= other <= most:
            yield other


@pytest.mark.parametrize(("machine", "name"), FIELDS)
def test_identity_differs_for_any_parameter(machine: type[MachineConfig], name: str) -> None:
    config = replace(MACHINE_OF[machine], **NEEDED.get(name, {}))
    for other in _others(config, name):
        try:
            changed = replace(config, **{name: other})
        except ConfigurationError:
            continue
        same = name in config.unused & changed.unused
        assert (changed.identity_text() == config.identity_text()) == same
        assert (identity(changed) == identity(config)) == same
        return
    pytest.fail(f"no other machine with another {name}")


@pytest.mark.parametrize("machine", MACHINE_OF)
def test_identity_is_that_of_the_parameters(machine: type[MachineConfig]) -> None:
    config = MACHINE_OF[machine]
    assert identity(replace(config)) == identity(config)
    assert identity(machine()) != identity(config)


def test_identity_differs_between_the_machines() -> None:
    assert identity(SparseConfig()) != identity(DenseConfig())


@pytest.mark.parametrize("machine", MACHINE_OF)
def test_identity_depends_on_the_descriptor(
    machine: type[MachineConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images hold descriptors, so a field that moves makes another machine."""
    before = identity(MACHINE_OF[machine])
    other = next(one for one in MACHINE_OF if one is not machine)
    monkeypatch.setattr(machine, "DESCRIPTOR", other.DESCRIPTOR)
    assert identity(MACHINE_OF[machine]) != before


@pytest.mark.parametrize("machine", MACHINE_OF)
def test_machine_config_is_the_inverse_of_a_file(machine: type[MachineConfig]) -> None:
    config = MACHINE_OF[machine]
    parameters = {field.name: getattr(config, field.name) for field in fields(config)}
    assert MACHINES[config.MACHINE] is machine
    assert machine_config(config.MACHINE, parameters) == config


def test_unknown_machine() -> None:
    with pytest.raises(
        ConfigurationError, match="machine = 'systolic' is unknown; use one of sparse, dense"
    ):
        machine_config("systolic", {})


@pytest.mark.parametrize("config", MACHINE_OF.values(), ids=lambda config: config.MACHINE)
def test_memories(config: MachineConfig) -> None:
    """The host can address each: an index of 12 bits, an address of 20."""
    memories = config.memories()
    assert {Target.PROGRAM, Target.WEIGHT, Target.PARAMETER, Target.STATE, Target.STORE} <= {
        *memories
    }
    for target, (count, entries) in memories.items():
        assert 0 < count <= 1 << 12
        assert 0 < entries <= 1 << 20
        assert config.entry_bits(target) > 0
    assert memories[Target.PROGRAM] == (1, config.program_depth * config.DESCRIPTOR.words)
    assert config.entry_bits(Target.STORE) == config.post_units * config.activation_bits


def test_what_only_one_machine_has() -> None:
    """Reports ask any machine for it."""
    for name in ("counters", "packed_store", "packed_rows", "split_scales"):
        assert getattr(DenseConfig(), name) == 0
    assert SparseConfig().peepholes == 0
    assert Target.COUNTER in SparseConfig(counters=1).memories()
    assert Target.COUNTER not in SparseConfig().memories()
