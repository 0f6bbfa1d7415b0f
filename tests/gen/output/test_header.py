import subprocess

import numpy as np
import pytest

from sparnn.gen.bench.random_networks import random_config, random_network
from sparnn.gen.machines.backend import backend
from sparnn.gen.output.header import header_text
from sparnn.hdl.host.protocol import RUN_RESET, Opcode, Response, Target, header
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import DESCRIPTOR
from sparnn.sim.verilator.toolchain import find_compiler


@pytest.fixture(scope="module")
def compiled():
    rng = np.random.default_rng(3)
    config = random_config(rng)
    network = random_network(rng, config, layers=3)
    return backend(config).place(network, config, fit=True)


def values_of(tmp_path, text, expressions):
    """What a C++ compiler makes of some expressions."""
    (tmp_path / "sparnn.h").write_text(text)
    prints = "".join(f'    printf("%lld\\n", (long long)({one}));\n' for one in expressions)
    (tmp_path / "main.cpp").write_text(
        f'#include <cstdint>\n#include <cstdio>\n#include "sparnn.h"\n'
        f"static const uint16_t order[] = SPARNN_LAYER0_ORDER;\nint main() {{\n{prints}}}\n"
    )
    command = [*find_compiler().split(), "-Wall", "-Werror", "-o", "main", "main.cpp"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "main"], check=True, capture_output=True, text=True)
    return [int(line) for line in done.stdout.split()]


def test_values(tmp_path, compiled):
    program = compiled.program
    first = program.layers[0]
    expected = {
        "SPARNN_HEADER(SPARNN_OPCODE_RUN, SPARNN_RUN_RESET | 7)": header(Opcode.RUN, RUN_RESET | 7),
        "SPARNN_SELECT(SPARNN_TARGET_STATE, 3)": Target.STATE << 20 | 3,
        "SPARNN_RESPONSE_ERROR": Response.ERROR,
        "SPARNN_LANES": compiled.config.lanes,
        "SPARNN_STORE_BITS": compiled.config.store_entry_bits,
        "SPARNN_PARAMETER_WORDS": 2,
        "SPARNN_FIELD_OUT_SHIFT_SHIFT": DESCRIPTOR.fields["out_shift"][1],
        "SPARNN_NETWORK_MAX_STEPS": program.max_steps,
        "SPARNN_NETWORK_INPUT_ADDRESS": first.descriptor["in_base"],
        "sizeof order / sizeof *order": len(first.neurons),
        "order[0]": first.neurons[0],
        "SPARNN_LAYER2_F_OUT": program.layers[2].f_out,
    }
    text = header_text(compiled.config, program)
    assert values_of(tmp_path, text, expected) == list(expected.values())


def test_negative_formats_are_safe_in_expressions(compiled):
    text = header_text(compiled.config, compiled.program)
    assert not any(line.split(" ", 2)[2].startswith("-") for line in text.splitlines()[3:]
                   if line.startswith("#define") and line.count(" ") >= 2)  # fmt: skip


def test_every_opcode_and_parameter_is_there():
    text = header_text(SparseConfig())
    for name in ("OPCODE_SELECT", "TARGET_MASK", "RESPONSE_RESULT", "MASK_DEPTH", "KIND_LSTM"):
        assert f"#define SPARNN_{name} " in text
    assert "NETWORK" not in text
