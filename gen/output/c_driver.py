"""The C driver of a compiled network: driver/c with a table of the layers."""

from pathlib import Path

from sparnn.hdl.host.protocol import words_per_entry
from sparnn.sim.host.deltas import delta_places
from sparnn.sim.host.program import MachineProgram
from sparnn.sim.network.network import IntegerNetwork

__all__ = ["C_DRIVER", "write_c_driver"]

#: Its files, in the package and in the folder.
C_DRIVER = ("sparnn_driver.h", "sparnn_driver.c")

_SOURCES = Path(__file__).parents[2] / "driver" / "c"


def write_c_driver(folder: Path, program: MachineProgram, network: IntegerNetwork) -> bool:
    """Write the driver, if it can run this network; whether it can.

    It cannot where sequences take turns, where outputs are read from the store (layers that run
    backwards), and where initial states are part of the network: :mod:`sparnn.driver` can.
    """
    constant = any(
        state is not None
        for layer in network.layers
        for state in (layer.initial_h, layer.initial_c)
    )
    stored = any(layer.sequence_order for layer in program.layers)
    if program.streams > 1 or constant or stored:
        return False
    for name in C_DRIVER:
        text = (_SOURCES / name).read_text(encoding="utf-8")
        (folder / name).write_text(
            text.replace("@LAYERS@", _layers(program)).replace("@PLACES@", _places(program)),
            encoding="utf-8",
        )
    return True


def _layers(program: MachineProgram) -> str:
    orders, rows = [], []
    for index, layer in enumerate(program.layers):
        fields = layer.descriptor
        own = layer.has_hidden and not layer.continues
        values = (
            len(layer.neurons),
            fields["out_words"],
            fields["emit"],
            fields["emit_last"] | fields["single_step"],
            fields["hidden_base"] if own else -1,
            fields["state_base"] if own and layer.has_state else -1,
        )
        orders.append(f"static const uint16_t order{index}[] = SPARNN_LAYER{index}_ORDER;")
        rows.append(f"    {{{', '.join(map(str, values))}, order{index}}},")
    return "\n".join([*orders, "static const layer_info layers[] = {", *rows, "};"])


def _places(program: MachineProgram) -> str:
    rows = []
    for place in delta_places(program):
        words = words_per_entry(program.config, place.target)
        values = place.target.value, words, place.number, place.address, place.entries
        rows.append(f"    {{{', '.join(map(str, values))}}},")
    return "\n".join(["static const delta_place delta_places[] = {", *rows, "};"])
