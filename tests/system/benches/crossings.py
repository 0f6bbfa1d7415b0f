"""What the benches of the buses have met: functional coverage, written beside the JUnit XML."""

import os
from pathlib import Path
from types import SimpleNamespace

from cocotb_coverage.coverage import CoverCross, CoverPoint, coverage_db

from sparnn.hdl.bus.faults import Fault, Part

__all__ = ["meet_fault", "meet_job"]

_STATES = ["none", "load", "save", "both"]
_PLACES = ["on a beat", "within a beat"]
_PAGES = ["within a page", "across pages"]
_PAUSES = ["none", "idle", "stalled", "both"]
#: What a code of a part means is tried; the others cannot be.
_FAULTS = [
    (fault.name, part.name)
    for fault in Fault
    for part in Part
    if fault not in (Fault.NONE, Fault.WEIGHTS, Fault.PARITY)
    and (part, fault) not in ((Part.LOAD, Fault.WRITE), (Part.LOAD, Fault.CAPACITY))
]


@CoverPoint("bus.job.data_bits", xf=lambda one: one.bits, bins=[32, 64, 128, 256, 512])
@CoverPoint("bus.job.source", xf=lambda one: one.source, bins=_PLACES)
@CoverPoint("bus.job.destination", xf=lambda one: one.destination, bins=_PLACES)
@CoverPoint("bus.job.reads", xf=lambda one: one.reads, bins=_PAGES)
@CoverPoint("bus.job.writes", xf=lambda one: one.writes, bins=_PAGES)
@CoverPoint("bus.job.pauses", xf=lambda one: one.pauses, bins=_PAUSES)
@CoverPoint("bus.job.states", xf=lambda one: one.states, bins=_STATES)
@CoverCross("bus.job.places_and_pauses", items=["bus.job.source", "bus.job.destination",
            "bus.job.pauses"])  # fmt: skip
@CoverCross("bus.job.states_and_pauses", items=["bus.job.states", "bus.job.pauses"])
def _job(one):
    pass


@CoverPoint("bus.fault", xf=lambda one: one, bins=_FAULTS)
def _fault(one):
    pass


def meet_job(bits, source, words, destination, capacity, pauses, states):
    """A job begins. ``pauses``: percentages of idle and stalled cycles; ``states``: STATES."""
    beat = bits // 8
    _job(
        SimpleNamespace(
            bits=bits,
            source=_PLACES[source % beat != 0],
            destination=_PLACES[destination % beat != 0],
            reads=_PAGES[source >> 12 != source + 4 * words - 1 >> 12],
            writes=_PAGES[destination >> 12 != destination + 4 * max(1, capacity) - 1 >> 12],
            pauses=_PAUSES[bool(pauses[0]) + 2 * bool(pauses[1])],
            states=_STATES[states],
        )
    )
    _write()


def meet_fault(error):
    """A job has failed; what the register ERROR says."""
    _fault((Fault(error & 15).name, Part(error >> 8).name))
    _write()


def _write():
    if "SPARNN_CROSSINGS" in os.environ:
        coverage_db.export_to_yaml(str(Path(os.environ["SPARNN_CROSSINGS"])))
