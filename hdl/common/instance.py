"""Equal components become one Verilog module that is placed many times."""

from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

__all__ = ["place"]


def place(m: Module, name: str, signature: wiring.Signature, module: str) -> Any:
    """Place one copy of a component as an instance of the Verilog module ``module``.

    Returns an interface object with the members of the component's ``signature``, to be driven and
    read as if it were the component. The module itself is emitted once, by
    :func:`sparnn.hdl.emit.machine_verilog`. Amaranth's Python simulator cannot run what holds such
    an instance.
    """
    interface = signature.create(path=(name,))
    ports = {"i_clk": ClockSignal("sync"), "i_rst": ResetSignal("sync")}
    for path, member, value in signature.flatten(interface):
        direction = "i" if member.flow is In else "o"
        ports[f"{direction}_{'__'.join(map(str, path))}"] = value
    m.submodules[name] = Instance(module, **ports)
    return interface
