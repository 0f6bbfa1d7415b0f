"""Features of more speech and what the LSTM makes of them, for examples/tune.py.

    python examples/silero/tuning.py --frontend frontend.onnx --data data

FRONTEND: what prepare.py has written. DATA: the recordings of asterisk-core-sounds-*-wav, 8 kHz, of
which none is in the test; see examples/denoiser/README.md. Needs scipy.
"""

import argparse
import pathlib
import wave

import numpy as np
import onnxruntime
from scipy.signal import resample_poly
from speech import FRAME, PAUSE, frames

from sparnn.sim.network.arrays import write_npz

HERE = pathlib.Path(__file__).parent
SEQUENCES, LENGTH = 64, 96
SEED = 1


def speech(folder, random):
    """One recording after the other with silence between, 16 kHz, at different loudness."""
    files = sorted(folder.rglob("*.wav"))
    pieces, samples = [], 0
    while samples < SEQUENCES * LENGTH * FRAME:
        with wave.open(str(files[int(random.integers(len(files)))])) as opened:
            audio = np.frombuffer(opened.readframes(opened.getnframes()), "<i2") / 32768
        piece = resample_poly(audio, 2, 1) * random.uniform(0.3, 1.2)
        pieces += [piece, np.zeros(int(random.integers(PAUSE // 4, PAUSE * 2)) * FRAME)]
        samples += sum(map(len, pieces[-2:]))
    return np.concatenate(pieces)[: SEQUENCES * LENGTH * FRAME].astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frontend", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    found = parser.parse_args()
    front = onnxruntime.InferenceSession(found.frontend)
    (x,) = front.run(["x"], {"audio": frames(speech(found.data, np.random.default_rng(SEED)))})
    x = x.reshape(SEQUENCES, LENGTH, -1).transpose(1, 0, 2)
    (y,) = onnxruntime.InferenceSession(HERE / "lstm.onnx").run(["y"], {"x": x})
    place = pathlib.Path("build/zoo")
    place.mkdir(parents=True, exist_ok=True)
    write_npz(place / "silero.npz", {"x": x, "target": y.transpose(1, 0, 2)})
    print(f"{SEQUENCES} sequences of {LENGTH} frames")


if __name__ == "__main__":
    main()
