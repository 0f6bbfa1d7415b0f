"""The registers as hardware, whatever the bus in front of them."""

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .table import ADDRESS_BITS, Access, Field, Register, members, registers

__all__ = ["ACCESS", "RegisterBlock"]

#: How a bus adapter reads and writes: one access a cycle, answered within the cycle. Reading
#: changes nothing. ``address`` counts words; ``error``: the access is refused and changed nothing.
ACCESS = wiring.Signature(
    {
        "address": Out(ADDRESS_BITS - 2),
        "write": Out(1),
        "data": Out(32),
        "strobe": Out(4),
        "read_data": In(32),
        "error": In(1),
    }
)


class RegisterBlock(wiring.Component):
    """Holds what software writes, shows what the hardware says.

    An access is refused where there is no register, where a register that cannot be written is, for
    single bytes of a register whose bits do something when written, and for a trigger that is not
    ready. A write without any strobe changes nothing and is not refused.

    Latency: reads within the cycle; what is written stands the cycle after. ``write`` may be high
    in any cycle; no flow control.

    Parameters
    ----------
    jobs: with the registers of jobs. weights: with those of weights in memory.

    Members
    -------
    access: In(ACCESS).
    For each field, by the name of :meth:`~sparnn.hdl.bus.table.Register.member`:
    READ: In. WRITE: Out, its value. TRIGGER: Out, one cycle high, and ``NAME_ready``: In.
    CLEAR: Out, its value, and ``NAME_set``: In, which wins over clearing.
    """

    def __init__(self, *, jobs: bool, weights: bool = False) -> None:
        self._table = registers(jobs, weights)
        ports: dict[str, wiring.Member] = {"access": In(ACCESS)}
        for name, _, field in members(self._table):
            if field.access is Access.READ:
                ports[name] = In(field.width)
            else:
                ports[name] = Out(field.width, init=field.reset)
            if field.access is Access.TRIGGER:
                ports[f"{name}_ready"] = In(1)
            if field.access is Access.CLEAR:
                ports[f"{name}_set"] = In(1)
        super().__init__(ports)

    @property
    def table(self) -> tuple[Register, ...]:
        return self._table

    def elaborate(self, platform: object) -> Module:
        m = Module()
        access = self.access
        full = access.strobe == 0b1111
        nothing = access.strobe == 0
        with m.Switch(access.address):
            for register in self._table:
                with m.Case(register.offset // 4):
                    m.d.comb += access.read_data.eq(self._shown(register))
                    if not register.writable:
                        m.d.comb += access.error.eq(access.write)
                        continue
                    with m.If(access.write & ~nothing):
                        if not register.partial:
                            m.d.comb += access.error.eq(~full | self._unready(register))
                        with m.If(~access.error):
                            for field in register.fields:
                                self._write(m, register, field)
            with m.Default():
                m.d.comb += access.error.eq(1)
        for name, _, field in members(self._table):
            if field.access is Access.CLEAR:
                with m.If(getattr(self, f"{name}_set")):
                    m.d.sync += getattr(self, name).eq(1)
        return m

    def _shown(self, register: Register) -> Value:
        parts: list[Value] = []
        at = 0
        for field in sorted(register.fields, key=lambda one: one.low):
            parts.append(Const(0, field.low - at))
            hidden = field.access is Access.TRIGGER
            parts.append(Const(0, field.width) if hidden else self._port(register, field))
            at = field.low + field.width
        return Cat(*parts)

    def _unready(self, register: Register) -> Value:
        """A trigger is written that is not ready."""
        return Cat(
            self.access.data[field.low] & ~getattr(self, f"{register.member(field)}_ready")
            for field in register.fields
            if field.access is Access.TRIGGER
        ).any()

    def _write(self, m: Module, register: Register, field: Field) -> None:
        port, data = self._port(register, field), self.access.data
        if field.access is Access.TRIGGER:
            m.d.comb += port.eq(data[field.low])
        elif field.access is Access.CLEAR:
            with m.If(data[field.low]):
                m.d.sync += port.eq(0)
        elif field.access is Access.WRITE:
            for byte in range(4):
                low, high = max(field.low, 8 * byte), min(field.low + field.width, 8 * byte + 8)
                if low < high:
                    with m.If(self.access.strobe[byte]):
                        m.d.sync += port[low - field.low : high - field.low].eq(data[low:high])

    def _port(self, register: Register, field: Field) -> Signal:
        return getattr(self, register.member(field))
