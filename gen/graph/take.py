"""A model as one network for the machine, or cut, with its cells recognized first."""

from collections.abc import Sequence
from dataclasses import dataclass

from onnx import ModelProto

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.model import FloatNetwork
from sparnn.gen.onnx.reader import InvalidModelError, network_of

from .cut import Cut, cut, is_recurrent
from .host import Arrays
from .recognize import recognized

__all__ = ["Taken", "nearer", "take"]


@dataclass(frozen=True, eq=False)
class Taken:
    """What becomes of a model that the importer does not take as it stands.

    Members
    -------
    model: with recurrent nodes in the place of cells that stood as operators.
    cells: what was taken for what, for people.
    whole: the network, where all of it is one then. cut: else.
    """

    model: ModelProto
    cells: tuple[str, ...]
    whole: FloatNetwork | None
    cut: Cut | None

    @property
    def networks(self) -> list[FloatNetwork]:
        if self.whole is not None:
            return [self.whole]
        return [] if self.cut is None else [part.network for part in self.cut.parts]


def take(model: ModelProto, feeds: Sequence[Arrays]) -> Taken:
    """Take a model that the importer refuses as it stands.

    Parameters
    ----------
    feeds: sample inputs, or drawn ones.

    Raises
    ------
    SparnnError: nothing in it is for the machine.
    """
    model, cells, refused = recognized(model, feeds)
    if cells:
        try:
            return Taken(model, tuple(cells), network_of(model), None)
        except SparnnError:
            pass  # more than one network: it is cut
    try:
        return Taken(model, tuple(cells), None, cut(model, feeds))
    except SparnnError:
        if refused and not is_recurrent(model):
            raise SparnnError(refused[0]) from None
        raise


def nearer(whole: SparnnError, error: SparnnError, model: ModelProto) -> SparnnError:
    """Which of two refusals is nearer to what the user has: that of the whole model, or that of the
    recurrent nodes in it, of which there may be none."""
    return whole if isinstance(whole, InvalidModelError) or is_recurrent(model) else error
