"""`sparnn evaluate --metric examples/denoiser/judge.py:quality`: SI-SDR of the speech, in decibels.

The mean over the utterances, of what the gains make of the noisy audio, against the clean one.
"""

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from audio import frames, restored, sisdr


def quality(outputs, data):
    """outputs: gains [batch, frames, bands]. data: noisy, clean [batch, samples], of int16."""
    (gains,) = outputs.values()
    pairs = zip(np.asarray(gains, np.float64), data["noisy"], data["clean"], strict=True)
    return float(
        np.mean(
            [
                sisdr(restored(frames(noisy / 32768), gain), clean / 32768)
                for gain, noisy, clean in pairs
            ]
        )
    )
