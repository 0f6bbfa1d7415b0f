"""`make soc`: a RISC-V system runs the digits network on the machine, bit by bit in Verilator.

The network is compiled with `--bus axi`, the system made by LiteX, the program in C by `zig cc`;
its answers are compared with the golden model's.
"""

import argparse
import datetime
import importlib.metadata
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from sparnn.gen.compile import compile_model
from sparnn.gen.errors import SparnnError
from sparnn.hdl.errors import ConfigurationError
from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.layers import run_network
from sparnn.sim.golden.run import load_compiled
from sparnn.sim.network.arrays import quantize
from sparnn.sim.verilator.verilate import build_driver

HERE = Path(__file__).resolve().parent
DIGITS = HERE.parent / "digits"
#: Cycles without a byte on the console: loading takes the longest.
PATIENCE = 200_000_000


def run_system(system):
    """Run the program to its end: lines of numbers by their first word."""
    program = build_driver(system / "soc.v", driver=HERE / "console.cpp", top="soc")
    done = subprocess.run(
        [str(program), str(PATIENCE)], cwd=system, capture_output=True, text=True, check=False
    )
    (system / "console.txt").write_text(done.stdout, encoding="utf-8")
    if done.returncode:
        raise SimulationError(f"{system}: {done.stderr.strip()}; its console is in console.txt")
    lines = {}
    for line in done.stdout.splitlines():
        word, *numbers = line.split()
        lines.setdefault(word, []).append([int(number) for number in numbers])
    return lines


def report(network, lines, x, labels, seconds):
    """What the program said beside what the golden model says."""
    _, integers = load_compiled(network)
    first = integers.layers[0]
    digits = lines.get("digit", [])
    status = lines["done"][0][0]
    if status or len(digits) != len(x):
        raise SimulationError(
            f"the program ended with status {status} after {len(digits)} of {len(x)} images: see "
            "sparnn_driver.h for the codes"
        )
    expected = [
        run_network(integers, quantize(one, first.f_x, integers.activation_bits)[0]) for one in x
    ]
    logits = np.array([one[3:] for one in digits])
    equal = [
        np.array_equal(found, trace.layers[-1].outputs[-1])
        for found, trace in zip(logits, expected, strict=True)
    ]
    classes = np.array([one[0] for one in digits])
    steps = x.shape[0] * x.shape[1]
    return {
        "images": len(x),
        "right": int(np.sum(classes == labels)),
        "bit_exact": int(np.sum(equal)),
        "cycles_per_step": sum(one[2] for one in digits) / steps,
        "cycles_per_image": sum(one[1] for one in digits) / len(x),
        "machine_cycles_per_image": sum(one[2] for one in digits) / len(x),
        "load_cycles": lines["loaded"][0][1],
        "cycles": lines["cycles"][0][0],
        "seconds": round(seconds, 1),
        "classes": classes.tolist(),
    }


def main():
    parser = argparse.ArgumentParser(prog="python examples/soc/run.py", description=__doc__)
    parser.add_argument("--model", type=Path, default=DIGITS / "lstm.onnx")
    parser.add_argument("--lanes", type=int, default=16)
    parser.add_argument("--bus-bits", type=int, default=32, help="of the machine's memory port")
    parser.add_argument("--images", type=int, default=450, help="held-out images to run")
    parser.add_argument("--sdram", action="store_true", help="LiteDRAM as main memory")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/soc"))
    parser.add_argument("--json", type=Path, help="write the table of docs/results there")
    arguments = parser.parse_args()
    try:
        measured = measure(arguments)
    except (SparnnError, ConfigurationError, SimulationError, OSError) as error:
        print(f"sparnn: error: {error}", file=sys.stderr)
        return 2
    for line in _summary(measured):
        print(line)
    if arguments.json is not None:
        text = json.dumps(_table(measured), indent=1)
        arguments.json.write_text(text + "\n", encoding="utf-8")
    return 0 if measured["bit_exact"] == measured["images"] else 1


def measure(arguments):
    """Compile, build, run and compare; what was measured."""
    try:
        from program import write_program
        from system import write_system
    except ImportError as error:
        raise SparnnError(
            f"{error.name} is not installed: run make soc, or pip install 'sparnn[soc]'"
        ) from None
    data = np.load(DIGITS / "test.npz")
    x, labels = data["x"][: arguments.images], data["labels"][: arguments.images]
    network, system = arguments.output / "network", arguments.output.resolve()
    system.mkdir(parents=True, exist_ok=True)
    compile_model(
        arguments.model,
        DIGITS / "calibrate.npz",
        network,
        lanes=arguments.lanes,
        bus="axi",
        bus_bits=arguments.bus_bits,
    )
    network = network.resolve()
    write_system(network, system, sdram=arguments.sdram)
    rom = write_program(network, system, x)
    (system / "soc_rom.init").write_text("".join(f"{word:08x}\n" for word in rom))
    start = time.monotonic()
    lines = run_system(system)
    measured = report(network, lines, x, labels, time.monotonic() - start)
    return measured | {"lanes": arguments.lanes, "rom_bytes": 4 * len(rom)}


def _summary(measured):
    """For people."""
    return [
        f"images         {measured['images']}, {measured['right']} of them right, on "
        f"{measured['lanes']} lanes",
        f"bit exact      {measured['bit_exact']} of {measured['images']} with the golden model",
        f"classes        {' '.join(map(str, measured['classes'][:32]))} …",
        f"a step         {measured['cycles_per_step']:,.1f} cycles of the machine",
        f"an image       {measured['cycles_per_image']:,.0f} cycles, of which the machine works "
        f"{measured['machine_cycles_per_image']:,.0f}",
        f"loading        {measured['load_cycles']:,} cycles, once",
        f"simulated      {measured['cycles']:,} cycles in {measured['seconds']} s",
    ]


def _table(measured):
    """The content of docs/results/soc.json."""
    packages = ("sparnn", "litex", "pythondata-cpu-vexriscv", "ziglang", "verilator")
    provenance = {
        "command": "make soc ARGS='--json docs/results/soc.json'",
        "date": datetime.date.today().isoformat(),
        "versions": ", ".join(f"{one} {importlib.metadata.version(one)}" for one in packages),
    }
    columns = [
        {"title": "lanes", "text": "{lanes}"},
        {"title": "right", "text": "{right} of {images}"},
        {"title": "bit exact", "text": "{bit_exact} of {images}"},
        {"title": "cycles a step", "text": "{cycles_per_step:,.1f}"},
        {"title": "an image, machine", "text": "{machine_cycles_per_image:,.0f}"},
        {"title": "an image, whole program", "text": "{cycles_per_image:,.0f}"},
        {"title": "loading", "text": "{load_cycles:,}"},
        {"title": "ROM", "text": "{rom_bytes:,} bytes"},
    ]
    kept = {name: value for name, value in measured.items() if name not in ("classes", "seconds")}
    table = {"provenance": provenance, "columns": columns, "rows": [kept]}
    return {"tables": {"digits": table}}


if __name__ == "__main__":
    sys.exit(main())
