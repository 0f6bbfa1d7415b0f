"""Features of noisy speech for RNNoise, and what quantizing it does to the speech.

    python examples/rnnoise/prepare.py --recordings FOLDER           # writes the npz files
    python examples/rnnoise/prepare.py --recordings FOLDER --judge y.npz

FOLDER holds the 48 kHz WAV files of Debian's alsa-utils (see ../silero/README.md). Noise is drawn
(seed 0) and filtered to fall by 6 dB an octave, at 10 dB of signal to noise. With --judge, gains
that `sparnn golden` or `sparnn simulate` gave for input.npz are applied, and the distance to the
clean speech is printed beside that of the float network's gains and of no gains.
"""

import argparse
import pathlib
import sys
import wave

import numpy as np
import onnxruntime
from features import FRAME, RATE, analyse, features, synthesize

HERE = pathlib.Path(__file__).parent
CALIBRATION = ("Front_Center", "Rear_Left", "Side_Right")
INPUT = ("Front_Left", "Front_Right", "Rear_Center", "Side_Left", "Rear_Right")
SNR_DB = 10


def read(path):
    with wave.open(str(path)) as file:
        if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, RATE):
            raise ValueError(f"{path} is not 16 bits, mono, {RATE} Hz")
        return np.frombuffer(file.readframes(-1), "<i2").astype(np.float64)


def noisy(folder, names, seed):
    """Clean speech with pauses, and the same in noise: whole frames."""
    pause = np.zeros(25 * FRAME)
    pieces = [pause]
    for name in names:
        pieces += [read(pathlib.Path(folder) / f"{name}.wav"), pause]
    clean = np.concatenate(pieces)
    clean = clean[: len(clean) // FRAME * FRAME]
    white = np.random.default_rng(seed).normal(size=len(clean))
    noise = np.zeros_like(white)
    level = 0.0
    for k, value in enumerate(white):
        noise[k] = level = 0.95 * level + value
    noise *= np.sqrt((clean**2).mean() / (noise**2).mean() / 10 ** (SNR_DB / 10))
    return clean, clean + noise


def si_sdr(clean, estimate):
    """Scale-invariant signal to distortion ratio in decibels (Le Roux et al., 2019)."""
    target = (estimate @ clean) / (clean @ clean) * clean
    return 10 * np.log10((target @ target) / ((estimate - target) @ (estimate - target)))


def judge(clean, mixed, gains):
    audio = synthesize(analyse(mixed), gains)
    return si_sdr(clean[: len(audio) - FRAME], audio[: len(clean)][: len(audio) - FRAME])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", required=True)
    parser.add_argument("--judge", help="npz file with the array `gains` for input.npz")
    arguments = parser.parse_args()
    try:
        sets = [noisy(arguments.recordings, n, s) for n, s in ((CALIBRATION, 0), (INPUT, 1))]
    except (OSError, ValueError, wave.Error) as error:
        print(f"prepare: error: {error}", file=sys.stderr)
        return 2
    clean, mixed = sets[1]
    if arguments.judge:
        session = onnxruntime.InferenceSession(HERE / "rnnoise.onnx")
        with np.load(HERE / "input.npz") as file:
            (exact,) = session.run(["gains"], {"x": file["x"]})
        with np.load(arguments.judge) as file:
            given = file["gains"]
        print(f"no gains       {judge(clean, mixed, np.ones_like(exact[:, 0])):.2f} dB SI-SDR")
        print(f"float          {judge(clean, mixed, exact[:, 0]):.2f} dB")
        print(f"given          {judge(clean, mixed, given[:, 0]):.2f} dB")
        print(f"gains          {np.abs(given - exact).mean():.4f} apart on average")
        return 0
    for name, (_, audio) in zip(("calibrate", "input"), sets, strict=True):
        x = features(audio)[:, np.newaxis]
        np.savez_compressed(HERE / f"{name}.npz", x=x.astype(np.float16).astype(np.float32))
        print(f"{name:14} {len(x)} frames")
    return 0


if __name__ == "__main__":
    sys.exit(main())
