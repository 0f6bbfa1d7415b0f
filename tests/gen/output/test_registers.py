"""The texts of the registers say what the table says."""

import re

import pytest

from sparnn.gen.output.registers import c_header, filled_page, markdown_page, system_rdl
from sparnn.hdl.bus.table import registers
from sparnn.hdl.bus.top import Bus

BUSES = pytest.mark.parametrize("bus", list(Bus))


@BUSES
def test_c_header(bus):
    text = c_header(bus)
    found = dict(re.findall(r"#define SPARNN_REG_(\w+) (0x\w+)", text))
    assert {name: int(offset, 16) for name, offset in found.items()} == {
        one.name: one.offset for one in registers(bus.jobs)
    }
    assert "#define SPARNN_CONTROL_RESET 0x00000002u" in text
    assert "#define SPARNN_FAULT_CHECK 6" in text
    names = re.findall(r"#define (\w+)", text)
    assert len(names) == len(set(names))


@BUSES
def test_page(bus):
    rows = markdown_page(bus).splitlines()
    assert all(row.count("|") in (0, 4, 8) for row in rows)
    for register in registers(bus.jobs):
        assert any(f"| {register.offset:#04x} | {register.name} |" in row for row in rows)


@BUSES
def test_system_rdl(bus):
    text = system_rdl(bus)
    assert text.count("{") == text.count("}")
    assert text.count('"') % 2 == 0
    for register in registers(bus.jobs):
        assert f"}} {register.name} @ {register.offset:#x};" in text
        for field in register.fields:
            assert f"}} {field.name}[{field.low + field.width - 1}:{field.low}]" in text


def test_the_document_has_the_registers(checkout):
    """`python -m sparnn.gen.output.registers docs/interface.md` writes them."""
    text = (checkout / "docs" / "interface.md").read_text(encoding="utf-8")
    assert "| 0x10 | CONTROL |" in text
    assert filled_page(text) == text
