"""Speak the words of the radio alphabet by synthesizers, for train.py.

    python examples/keywords/synthesize.py data

DATA: the folder into which `synthesized/VOICE/LETTER.wav` go. Needs espeak-ng, flite and festival
with its voices kal and slt.
"""

import pathlib
import string
import subprocess
import sys
from functools import partial

WORDS = (
    *("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india"),
    *("juliett", "kilo", "lima", "mike", "november", "oscar", "papa", "quebec", "romeo"),
    *("sierra", "tango", "uniform", "victor", "whiskey", "x-ray", "yankee", "zulu"),
)

ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "es", "fr", "de", "ru", "pl")
SPEAKERS = ("m1", "m3", "m5", "m7", "f1", "f2", "f4", "f5")
FLITE = ("kal16", "awb", "rms", "slt")
FESTIVAL = ("kal_diphone", "cmu_us_slt_arctic_hts")


def run(*command, text=None):
    subprocess.run(command, input=text, check=True, capture_output=True)


def voices():
    """(name, function of text and file) of each voice."""
    for accent in ACCENTS:
        for speaker in SPEAKERS:
            name = f"{accent}+{speaker}"
            yield name, partial(espeak, name)
    for name in FLITE:
        yield f"flite-{name}", partial(flite, name)
    for name in FESTIVAL:
        yield f"festival-{name}", partial(festival, name)


def espeak(voice, text, file):
    run("espeak-ng", "-v", voice, "-w", file, text)


def flite(voice, text, file):
    run("flite", "-voice", voice, "-t", text, "-o", file)


def festival(voice, text, file):
    run("text2wave", "-eval", f"(voice_{voice})", "-o", file, text=text.encode())


def main():
    folder = pathlib.Path(sys.argv[1]) / "synthesized"
    for name, speak in voices():
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        for letter, word in zip(string.ascii_lowercase, WORDS, strict=True):
            speak(word, str(place / f"{letter}.wav"))
        print(name, flush=True)


if __name__ == "__main__":
    main()
