"""`sparnn evaluate --metric examples/rnnoise/judge.py:apart`: gains beside the original's.

Without the recordings, which are not in the repository; with them prepare.py judges the speech.
"""

import pathlib

import numpy as np
import onnxruntime

HERE = pathlib.Path(__file__).parent


def apart(outputs, data):
    """The mean difference from the gains of the float network, which are from 0 to 1."""
    session = onnxruntime.InferenceSession(HERE / "rnnoise.onnx")
    (gains,) = session.run(["gains"], {"x": data["x"]})
    return float(np.abs(outputs["gains"] - gains).mean())
