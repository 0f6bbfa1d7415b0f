"""The machine on its bus as a component of IP-XACT (IEEE 1685-2014)."""

from collections.abc import Iterable
from xml.etree import ElementTree as Xml

from amaranth.hdl import Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from sparnn.hdl.bus.geometry import MemoryGeometry
from sparnn.hdl.bus.table import ADDRESS_BITS, Access, Field, Register, registers
from sparnn.hdl.bus.top import BUS_MODULE, VLNV, Bus, bus_ports

__all__ = ["IPXACT", "NAMESPACE", "ipxact_component"]

IPXACT = f"{BUS_MODULE}.xml"
NAMESPACE = "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"

_MAP, _SPACE, _SOURCES, _VIEW = "registers", "memory", "sources", "verilog"
_CLOCK, _RESET, _IRQ = "aclk", "aresetn", "irq"

#: Of each bus, by the prefix of its ports: its definition, and what the machine is on it.
_DEFINITIONS = {
    "s_axi": (("amba.com", "AMBA4", "AXI4-Lite", "r0p0_0"), "slave"),
    "m_axi": (("amba.com", "AMBA4", "AXI4", "r0p0_0"), "master"),
    "s_axis": (("amba.com", "AMBA4", "AXI4Stream", "r0p0_1"), "slave"),
    "m_axis": (("amba.com", "AMBA4", "AXI4Stream", "r0p0_1"), "master"),
    "wb": (("opencores.org", "interface", "wishbone", "B4"), "slave"),
}
#: Signals that are buses of their own: definition, role, port, logical name.
_SIGNALS = (
    (("xilinx.com", "signal", "clock", "1.0"), "slave", _CLOCK, "CLK"),
    (("xilinx.com", "signal", "reset", "1.0"), "slave", _RESET, "RST"),
    (("xilinx.com", "signal", "interrupt", "1.0"), "master", _IRQ, "INTERRUPT"),
)


def ipxact_component(
    bus: Bus, link_words: int, geometry: MemoryGeometry, weights: bool = False
) -> str:
    """The text of sparnn_bus.xml.

    Parameters
    ----------
    link_words: packet words that the machine takes at once. geometry: of its memory.
    """
    Xml.register_namespace("ipxact", NAMESPACE)
    buses = bus_ports(bus, link_words, geometry)
    top = Xml.Element(_tag("component"))
    _texts(top, zip(("vendor", "library", "name", "version"), VLNV, strict=True))
    _bus_interfaces(_add(top, "busInterfaces"), buses)
    if bus.jobs:
        space = _add(_add(top, "addressSpaces"), "addressSpace")
        _texts(
            space,
            (
                ("name", _SPACE),
                ("range", f"'h{1 << geometry.address_bits:x}"),
                ("width", geometry.data_bits),
            ),
        )
    _memory_map(_add(_add(top, "memoryMaps"), "memoryMap"), bus, weights)
    _model(_add(top, "model"), buses)
    sources = _add(_add(top, "fileSets"), "fileSet")
    _texts(sources, [("name", _SOURCES)])
    for name in ("sparnn.v", "sparnn_bus.v"):
        _texts(_add(sources, "file"), (("name", name), ("fileType", "verilogSource")))
    _texts(top, [("description", "Accelerator of recurrent networks, written by sparnn.")])
    Xml.indent(top)
    return Xml.tostring(top, encoding="unicode", xml_declaration=True) + "\n"


def _bus_interfaces(parent: Xml.Element, buses: dict[str, dict[str, wiring.Member]]) -> None:
    for prefix, ports in buses.items():
        definition, role = _DEFINITIONS[prefix]
        pairs = [(name.upper(), f"{prefix}_{name}") for name in ports]
        _interface(parent, prefix, definition, role, pairs)
    for definition, role, port, logical in _SIGNALS:
        interface = _interface(parent, port, definition, role, [(logical, port)])
        if port == _RESET:
            parameter = _add(_add(interface, "parameters"), "parameter")
            parameter.set("parameterId", "polarity")
            _texts(parameter, (("name", "POLARITY"), ("value", "ACTIVE_LOW")))


def _interface(
    parent: Xml.Element,
    name: str,
    definition: tuple[str, str, str, str],
    role: str,
    pairs: list[tuple[str, str]],
) -> Xml.Element:
    """``pairs``: logical and physical names of the ports."""
    interface = _add(parent, "busInterface")
    _texts(interface, [("name", name)])
    keys = ("vendor", "library", "name", "version")
    vendor, library, bus, version = definition
    _add(interface, "busType", dict(zip(keys, definition, strict=True)))
    abstraction = _add(_add(interface, "abstractionTypes"), "abstractionType")
    names = (vendor, library, f"{bus}_rtl", version)
    _add(abstraction, "abstractionRef", dict(zip(keys, names, strict=True)))
    maps = _add(abstraction, "portMaps")
    for logical, physical in pairs:
        one = _add(maps, "portMap")
        _texts(_add(one, "logicalPort"), [("name", logical)])
        _texts(_add(one, "physicalPort"), [("name", physical)])
    side = _add(interface, role)
    if name in ("s_axi", "wb"):
        _add(side, "memoryMapRef", {"memoryMapRef": _MAP})
    elif name == "m_axi":
        _add(side, "addressSpaceRef", {"addressSpaceRef": _SPACE})
    return interface


def _memory_map(parent: Xml.Element, bus: Bus, weights: bool) -> None:
    _texts(parent, [("name", _MAP)])
    block = _add(parent, "addressBlock")
    _texts(
        block,
        (
            ("name", "sparnn_regs"),
            ("baseAddress", "'h0"),
            ("range", f"'h{1 << ADDRESS_BITS:x}"),
            ("width", 32),
        ),
    )
    for register in registers(bus.jobs, weights):
        _register(_add(block, "register"), register)


def _register(parent: Xml.Element, register: Register) -> None:
    _texts(
        parent,
        (
            ("name", register.name),
            ("description", register.text),
            ("addressOffset", f"'h{register.offset:x}"),
            ("size", 32),
        ),
    )
    for field in register.fields:
        _field(_add(parent, "field"), field)


def _field(parent: Xml.Element, field: Field) -> None:
    _texts(parent, (("name", field.name), ("description", field.text), ("bitOffset", field.low)))
    if field.access is not Access.READ:
        _texts(_add(_add(parent, "resets"), "reset"), [("value", f"'h{field.reset:x}")])
    changes = field.access is not Access.WRITE
    access = "read-only" if field.access is Access.READ else "read-write"
    _texts(
        parent,
        (("bitWidth", field.width), ("volatile", str(changes).lower()), ("access", access)),
    )
    if field.access is Access.CLEAR:
        _texts(parent, [("modifiedWriteValue", "oneToClear")])


def _model(parent: Xml.Element, buses: dict[str, dict[str, wiring.Member]]) -> None:
    view = _add(_add(parent, "views"), "view")
    _texts(
        view,
        (
            ("name", _VIEW),
            ("envIdentifier", ":*Synthesis:"),
            ("envIdentifier", ":*Simulation:"),
            ("componentInstantiationRef", _VIEW),
        ),
    )
    instance = _add(_add(parent, "instantiations"), "componentInstantiation")
    _texts(instance, (("name", _VIEW), ("language", "verilog"), ("moduleName", BUS_MODULE)))
    _texts(_add(instance, "fileSetRef"), [("localName", _SOURCES)])
    ports = _add(parent, "ports")
    for name, direction in ((_CLOCK, "in"), (_RESET, "in"), (_IRQ, "out")):
        _port(ports, name, direction, 1)
    for prefix, members in buses.items():
        for name, member in members.items():
            direction = "in" if member.flow is In else "out"
            _port(ports, f"{prefix}_{name}", direction, Shape.cast(member.shape).width)


def _port(parent: Xml.Element, name: str, direction: str, width: int) -> None:
    port = _add(parent, "port")
    _texts(port, [("name", name)])
    wire = _add(port, "wire")
    _texts(wire, [("direction", direction)])
    if width > 1:
        vector = _add(_add(wire, "vectors"), "vector")
        _texts(vector, (("left", width - 1), ("right", 0)))


def _add(parent: Xml.Element, name: str, attributes: dict[str, str] | None = None) -> Xml.Element:
    return Xml.SubElement(parent, _tag(name), attributes or {})


def _texts(parent: Xml.Element, pairs: Iterable[tuple[str, str | int]]) -> None:
    """Children that hold a text each."""
    for name, value in pairs:
        _add(parent, name).text = str(value)


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"
