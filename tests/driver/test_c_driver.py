"""The C driver, compiled with all warnings, against a device in plain Python."""

import ctypes
import subprocess

import numpy as np
import pytest
from support.job_device import JobDevice

from sparnn.gen.compile import compile_model
from sparnn.hdl.bus.faults import Fault
from sparnn.hdl.host.protocol import Opcode, header
from sparnn.sim.golden.layers import run_network
from sparnn.sim.golden.run import load_compiled
from sparnn.sim.network.arrays import quantize
from sparnn.sim.verilator.hardware import load_program, read_image
from sparnn.sim.verilator.toolchain import find_compiler

HOOKS = """
#include <stdint.h>
extern uint32_t (*read_hook)(uint32_t);
extern void (*write_hook)(uint32_t, uint32_t);
#define SPARNN_READ(device, offset) ((void)(device), read_hook(offset))
#define SPARNN_WRITE(device, offset, value) ((void)(device), write_hook(offset, value))
"""
NO_DEVICE, OTHER_MACHINE, NO_ROOM, SILENT, UNEXPECTED, BAD_ARGUMENT = range(-1, -7, -1)
READ = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32)
WRITE = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32)


class Handle(ctypes.Structure):
    _fields_ = (
        ("registers", ctypes.c_void_p),
        ("memory", ctypes.c_void_p),
        ("address", ctypes.c_uint64),
        ("words", ctypes.c_uint32),
        ("patience", ctypes.c_uint32),
        ("answer", ctypes.c_uint32),
        ("written", ctypes.c_uint32),
        ("steps", ctypes.c_uint32),
        ("error_word", ctypes.c_uint32),
        ("error_address", ctypes.c_uint64),
    )


def c_compiler():
    """The C compiler beside the C++ compiler, with its warnings as errors."""
    compiler = find_compiler().split()[-1].replace("clang++", "clang")
    compiler = compiler.replace("c++", "cc").replace("g++", "gcc")
    return compiler, "-std=c99", "-Wall", "-Wextra", "-Werror"


@pytest.fixture(scope="module")
def library(network, tmp_path_factory):
    return built(network[0], tmp_path_factory.mktemp("c"))


def built(compiled, folder):
    """The driver of a compiled folder as a library in another one."""
    (folder / "hooks.h").write_text(HOOKS)
    (folder / "hooks.c").write_text(
        '#include "hooks.h"\nuint32_t (*read_hook)(uint32_t);\n'
        "void (*write_hook)(uint32_t, uint32_t);\n"
        '#include "sparnn_driver.h"\n'
        "uint32_t memory_words(uint32_t steps);\n"
        "uint32_t memory_words(uint32_t steps) { return SPARNN_MEMORY_WORDS(steps); }\n"
    )
    subprocess.run(
        [
            *(*c_compiler(), "-Wpedantic", "-fPIC"),
            *("-shared", "-include", "hooks.h", "-I", compiled, "-o", "driver.so", "hooks.c"),
            compiled / "sparnn_driver.c",
        ],
        cwd=folder,
        check=True,
    )
    return ctypes.CDLL(str(folder / "driver.so"))


class Session:
    """A device in Python, behind the driver in C."""

    def __init__(self, library, folder, words=1 << 14):
        self.library = library
        self.device = JobDevice(load_program(folder).config, words=words)
        self.hooks = READ(self.device.read), WRITE(self.device.write)
        for name, hook in zip(("read_hook", "write_hook"), self.hooks, strict=True):
            ctypes.c_void_p.in_dll(library, name).value = ctypes.cast(hook, ctypes.c_void_p).value
        memory = self.device.memory.ctypes.data
        self.handle = Handle(None, memory, self.device.address, words, 5)
        self.image = read_image(folder / "image.bin")

    def call(self, name, *arguments):
        """Arrays go as pointers."""
        plain = [
            one.ctypes.data_as(ctypes.c_void_p) if isinstance(one, np.ndarray) else one
            for one in arguments
        ]
        return getattr(self.library, f"sparnn_{name}")(ctypes.byref(self.handle), *plain)

    def loaded(self):
        assert self.call("open") == 0
        assert self.call("load", self.image) == 0
        return self

    def outputs(self, layer, steps, units):
        values = np.zeros((steps, units), np.int32)
        for step in range(steps):
            assert self.call("output", layer, step, values[step]) == 0
        return values


@pytest.fixture
def integers(network):
    """The integer network, and inputs for it: [steps, inputs]."""
    folder, inputs = network
    _, integer_network = load_compiled(folder)
    x, _ = quantize(inputs[:, 0], integer_network.layers[0].f_x, integer_network.activation_bits)
    return integer_network, x


def test_outputs_are_those_of_the_golden_model(library, network, integers):
    integer_network, x = integers
    session = Session(library, network[0]).loaded()
    assert session.call("run", x.astype(np.int16), len(x), 0) == 0
    trace = run_network(integer_network, x)
    assert np.array_equal(session.outputs(1, len(x), 3), trace.layers[1].outputs)
    cycles = np.zeros(1, np.uint32)
    assert session.call("cycles", cycles) == 0
    assert cycles[0] > 0
    values = np.zeros(8, np.int32)
    assert session.call("output", 1, len(x), values) == BAD_ARGUMENT
    assert session.call("output", 0, 0, values) == BAD_ARGUMENT
    assert session.call("run", x.astype(np.int16), 0, 0) == BAD_ARGUMENT


def test_states_are_put_aside_and_back(library, network, integers):
    integer_network, x = integers
    session = Session(library, network[0]).loaded()
    header_text = (network[0] / "sparnn.h").read_text()
    words = int(header_text.split("SPARNN_NETWORK_STATE_WORDS ")[1].split()[0])
    states = np.full(words + 1, 0xDEADBEEF, np.uint32)
    first, second = x[:4].astype(np.int16), x[4:].astype(np.int16)
    assert session.call("run", first, 4, 0) == 0
    assert session.call("get_states", states) == 0
    assert states[-1] == 0xDEADBEEF
    assert states[-2] != 0xDEADBEEF
    assert session.call("run", second[::-1].copy(), len(second), 0) == 0  # another stream
    assert session.call("set_states", states) == 0
    assert session.call("run", second, len(second), 1) == 0
    expected = run_network(integer_network, x).layers[1].outputs[4:]
    assert np.array_equal(session.outputs(1, len(second), 3), expected)


def test_streams_take_turns(library, network, integers):
    """Four streams, frame by frame; a call that fails is repeated."""
    integer_network, x = integers
    session = Session(library, network[0]).loaded()
    assert session.call("open_streams") == 0
    rng = np.random.default_rng(3)
    sequences = rng.integers(-500, 500, (4, 5, x.shape[1]))
    golden = [run_network(integer_network, one).layers[1].outputs for one in sequences]
    streams = [np.zeros(2, np.uint64) for _ in sequences]
    assert [session.call("new_stream", stream) for stream in streams] == [0] * 4
    for step in range(5):
        for one in rng.permutation(4):
            frame = sequences[one, step : step + 1].astype(np.int16)
            if step == 3:
                session.device.damage = 4
                assert session.call("run_stream", streams[one], frame, 1) == Fault.CHECK
            assert session.call("run_stream", streams[one], frame, 1) == 0
            assert np.array_equal(session.outputs(1, 1, 3)[0], golden[one][step])
    assert session.device.values["STATES"] == 0
    found = 0
    while found == 0:
        found = session.call("new_stream", np.zeros(2, np.uint64))
    assert found == NO_ROOM
    assert Session(library, network[0], words=8).call("open_streams") == NO_ROOM


def test_faults_are_told_and_the_next_job_runs(library, network, integers):
    _, x = integers
    session = Session(library, network[0]).loaded()
    session.device.damage = 6
    assert session.call("run", x.astype(np.int16), len(x), 0) == Fault.CHECK
    assert session.handle.error_word == len(session.device.jobs[-1]) - 1
    assert session.call("run", x.astype(np.int16), len(x), 0) == 0
    session.image[0] = header(Opcode.RUN, 0)
    session.device.machine.feed = lambda words: [0xF0000000]
    assert session.call("load", session.image) == Fault.CAPACITY


def test_other_devices_are_refused(library, network):
    session = Session(library, network[0])
    session.device.values["IDENTITY"] ^= 1
    assert session.call("open") == OTHER_MACHINE
    session.device.values["MAGIC"] = 0
    assert session.call("open") == NO_DEVICE
    assert Session(library, network[0], words=30).call("load", session.image) == NO_ROOM
    session = Session(library, network[0]).loaded()
    session.device._start = lambda: None
    assert session.call("load", session.image) == SILENT


def test_memory_that_the_header_asks_for_is_enough(library, network, integers):
    """For loading, and for the longest run."""
    _, x = integers
    longest = load_program(network[0]).max_steps
    long = np.resize(x, (longest, x.shape[1])).astype(np.int16)
    for steps in (1, longest):
        words = library.memory_words(steps)
        session = Session(library, network[0], words=words).loaded()
        assert session.call("run", long, steps, 0) == 0
    assert library.memory_words(1) == len(session.image) + 2


def test_weights_in_memory(network, tmp_path):
    """Of a machine that reads them itself: where they lie, and that they are read anew."""
    folder, inputs = network
    np.savez(tmp_path / "x.npz", x=inputs)
    text = "lanes = 2\nstream_bits = 64\nmask_depth = 512\nweight_depth = 512\nmax_v = 2\n"
    (tmp_path / "m.toml").write_text(text)
    model, out = folder / "model.onnx", tmp_path / "out"
    options = {"config": str(tmp_path / "m.toml"), "bus": "axi", "bus_bits": 64}
    compile_model(model, tmp_path / "x.npz", out, **options)
    library = built(out, tmp_path)
    session = Session(library, out)
    address = ctypes.c_uint64(0x1_2345_6780)
    assert session.call("keep_weights", address) == 0
    assert session.device.values["WEIGHTS_LO"] == 0x2345_6780
    assert session.device.values["WEIGHTS_HI"] == 1
    assert session.call("keep_weights", ctypes.c_uint64(4)) == BAD_ARGUMENT
    words = len(np.fromfile(out / "weights.bin", "<u4"))
    assert f"SPARNN_WEIGHTS_WORDS {words}\n" in (out / "sparnn.h").read_text()


def test_the_program_of_the_example_compiles(network, tmp_path, checkout):
    """examples/soc/main.c, for another network than that of `make soc`."""
    (tmp_path / "generated").mkdir()
    (tmp_path / "generated" / "mem.h").write_text("#define SPARNN_BASE 0x80000000L\n")
    (tmp_path / "data.h").write_text(
        "#include <stdint.h>\n#define IMAGES 2\n#define STEPS 3\nextern const uint32_t image[];\n"
        "extern const uint8_t pixels[IMAGES][STEPS * 4];\n"
    )
    folders = [f"-I{folder}" for folder in (checkout / "examples" / "soc", tmp_path, network[0])]
    source = checkout / "examples" / "soc" / "main.c"
    subprocess.run([*c_compiler(), "-fsyntax-only", *folders, source], check=True)
