"""The records that cross the lane's boundary, shared with whoever drives them."""

from amaranth.lib import data

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import BASE_FIELDS, DESCRIPTOR, RING_FIELDS, MaskFlag

__all__ = [
    "STEP_TOKENS",
    "broadcast_layout",
    "chunk_bits",
    "factors_layout",
    "lane_program",
    "local_word_bits",
    "mask_load_layout",
    "mask_word_layout",
    "refill_layout",
    "row_plan_layout",
    "tokens_layout",
]

#: How many input vectors and hidden states of a thread the lanes may use, modulo 4. The state
#: before the first step counts as one hidden state. A half of step t may start once its count
#: differs from t modulo 4.
STEP_TOKENS = data.StructLayout({"x": 2, "h": 2})


def lane_program(config: SparseConfig) -> data.StructLayout:
    """What a lane must know of the layer that runs; static between two ``start`` pulses. Everything
    else stands in its mask memory."""
    return DESCRIPTOR.layout(RING_FIELDS if config.stream_bits else BASE_FIELDS)


def tokens_layout(config: SparseConfig) -> data.ArrayLayout:
    """STEP_TOKENS of each thread."""
    return data.ArrayLayout(STEP_TOKENS, config.threads)


def local_word_bits(config: SparseConfig) -> int:
    """Address bits of a broadcast word inside one vector of the local copy."""
    return clog2(config.local_words)


def chunk_bits(config: SparseConfig) -> int:
    """Address bits of a chunk inside one vector of the local copy."""
    return clog2(config.column_chunks)


def broadcast_layout(config: SparseConfig) -> data.StructLayout:
    """One word of activations on its way to the local copies.

    ``values`` are ``post_units`` activations, or differences of them, for local word ``word`` of
    vector (``half``, ``parity``, ``thread``); ``mask`` is the whole chunk that the word belongs to,
    as far as it is known. ``word``, ``thread``, ``parity`` and ``half`` are the local copy's
    address, lowest first.
    """
    return data.StructLayout(
        {
            "word": local_word_bits(config),
            "thread": config.thread_bits,
            "parity": 1,
            "half": 1,
            "values": config.lane_entry_bits,
            "mask": config.chunk,
        }
    )


def mask_load_layout(config: SparseConfig) -> data.StructLayout:
    """A mask memory entry, least significant bit first as the host sends it.

    ``factors``: of the row's positive weights, then of its negative ones (:func:`factors_layout`).
    """
    return data.StructLayout(
        {"mask": config.chunk}
        | {flag.name.lower(): 1 for flag in sorted(MaskFlag)}
        | {"factors": factors_layout(config)}
    )


def mask_word_layout(config: SparseConfig) -> data.StructLayout:
    """A word of a ring of masks.

    Members
    -------
    masks: the first one lowest. last: a half ends in this word, with the mask number ``final``;
    those behind it are none. empty: no row ends with it, since the lane has none in this half.
    """
    return data.StructLayout(
        {
            "masks": config.stream_bits,
            "last": 1,
            "final": clog2(config.mask_slots),
            "empty": 1,
        }
    )


def refill_layout(config: SparseConfig) -> data.StructLayout:
    """A word of external memory on its way to a lane's rings: to that of masks, or of weights,
    which takes ``masks`` of it alone."""
    return data.StructLayout(
        {"word": mask_word_layout(config), "mask_en": config.masks, "weight_en": 1}
    )


def row_plan_layout(config: SparseConfig) -> data.StructLayout:
    """How rows are dealt, for a lane without masks; static while a layer runs.

    Members
    -------
    first: the lane's group, of ``groups`` in the cluster.
    blocks: of one half, in the whole cluster.
    hidden: there is a hidden half. paired: the loop has two threads. rotate: as in the descriptor.
    """
    bits = clog2(config.cluster_lanes + 1)
    return data.StructLayout(
        {
            "first": bits,
            "groups": bits,
            "blocks": clog2(config.rows + 1),
            "hidden": 1,
            "paired": config.thread_bits,
            "rotate": 1,
        }
    )


def factors_layout(config: SparseConfig) -> data.StructLayout:
    """What a row's weights are multiplied by; without bits on a machine without split scales."""
    return data.StructLayout(
        {"positive": config.factor_bits // 2, "negative": config.factor_bits // 2}
    )
