"""The records that cross the lane's boundary, shared with whoever drives them."""

from amaranth.lib import data

from sparnn.hdl.config import MachineConfig
from sparnn.hdl.protocol import DESCRIPTOR_FIELDS

__all__ = [
    "LANE_PROGRAM",
    "STEP_TOKENS",
    "broadcast_layout",
    "local_word_bits",
    "mask_load_layout",
]

#: What a lane must know of the layer that runs; static between two ``start`` pulses.
LANE_PROGRAM = data.StructLayout(
    {
        name: DESCRIPTOR_FIELDS[name][2]
        for name in (
            "chunks_x_last",
            "chunks_h_last",
            "mask_base_x",
            "mask_base_h",
            "weight_base_x",
            "weight_base_h",
            "unfolded",
        )
    }
    | {"has_hidden": 1}
)

#: How many input vectors and hidden states have been broadcast in this layer, modulo 4. The state
#: before the first step counts as one hidden state. A half of step t may start once its count
#: differs from t modulo 4.
STEP_TOKENS = data.StructLayout({"x": 2, "h": 2})


def local_word_bits(config: MachineConfig) -> int:
    """Address bits of a broadcast word inside one vector of the local copy."""
    return (config.local_words - 1).bit_length()


def broadcast_layout(config: MachineConfig) -> data.StructLayout:
    """One word of activations on its way to the local copies.

    ``values`` are ``post_units`` activations for local word ``word`` of vector (``half``,
    ``parity``); ``mask`` is the whole chunk that the word belongs to, as far as it is known.
    """
    return data.StructLayout(
        {
            "half": 1,
            "parity": 1,
            "word": local_word_bits(config),
            "values": config.store_entry_bits,
            "mask": config.chunk,
        }
    )


def mask_load_layout(config: MachineConfig) -> data.StructLayout:
    """A mask memory entry, least significant bit first as the host sends it."""
    return data.StructLayout({"mask": config.chunk, "half_end": 1, "null": 1})
