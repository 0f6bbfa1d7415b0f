"""The check at the end of a section: of each 32 bits across its words the CRC-32 (ISO-HDLC)."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from sparnn.hdl.common.check import CRC_INIT, RESIDUE, next_crc

__all__ = ["follow_check"]


def follow_check(
    m: Module, payload: Value, taken: Value, checks: Value, damaged: Signal, clear: Value
) -> tuple[Signal, Value]:
    """Follow the words of one section after the other; each 32 bits across a section have a check
    of their own, so that no logic is wider.

    Parameters
    ----------
    payload, taken: the word, and whether it is taken in this cycle.
    checks: it is the check, the section's last word.
    damaged: is set where a section's check did not match. clear: clears it.

    Returns
    -------
    Two cycles after the check was taken: a pulse, and whether it does not match.
    """
    word = Signal(payload.shape(), name="word", reset_less=True)
    was_taken, was_check, fresh = Signal(), Signal(), Signal(init=1)
    m.d.sync += [word.eq(payload), was_taken.eq(taken), was_check.eq(checks)]
    differs = []
    for number in range(len(word) // 32):
        state, after = (Signal(32, name=f"{name}{number}") for name in ("crc", "crc_after"))
        m.d.comb += after.eq(next_crc(Mux(fresh, CRC_INIT, state), word.word_select(number, 32)))
        with m.If(was_taken):
            m.d.sync += state.eq(after)
        differs.append(state != RESIDUE)
    compares = Signal()
    m.d.sync += compares.eq(was_taken & was_check)
    with m.If(was_taken):
        m.d.sync += fresh.eq(was_check)
    wrong = Cat(differs).any()
    with m.If(compares & wrong):
        m.d.sync += damaged.eq(1)
    with m.If(clear):
        m.d.sync += damaged.eq(0)
    return compares, wrong
