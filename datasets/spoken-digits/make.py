#!/usr/bin/env python3
"""Makes recordings of spoken digits: FOLDER/{train,val,test}/DIGIT/*.wav, of 1 s at 8 kHz.

espeak-ng speaks the digits with voices, accents, speeds and pitches; sox resamples them, shifts them in time and adds noise.
The voices of val and test are not in train. Recordings in train are also played faster or slower, which moves the formants
and gives the network more voices to learn from (T. Ko et al., "Audio augmentation for speech recognition", 2015). The same seed gives the same recordings with the same versions of both programs
(Debian: espeak-ng sox). Then:

  lockstep import FOLDER -o datasets/spoken-digits/spoken-digits.h5
"""

import argparse
import concurrent.futures
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029")
# The files of espeak-ng's voices; those of one family are in one split.
VOICES = {"train": ("m1", "m2", "m3", "m4", "m6", "m7", "f1", "f2", "f4", "f5", "adam", "Alex", "Alicia", "Andrea", "anika",
                    "announcer", "antonio", "aunty", "benjamin", "boris", "caleb", "croak", "david", "Denis", "Diogo", "ed",
                    "edward", "Gene", "Gene2", "grandma", "grandpa", "gustave", "Henrique", "Hugo", "iven", "iven2", "iven3",
                    "Jacky", "kaukovalta", "klatt", "klatt2", "klatt3", "klatt4", "Lee", "linda", "marcelo", "Marco", "Mario",
                    "max", "miguel", "Mike", "Nguyen", "norbert", "pablo", "paul", "pedro", "quincy", "RicishayMax", "rob",
                    "robert", "sandro", "shelby", "Storm", "travis", "Tweaky", "victor"),
          "val": ("m8", "Annie", "john", "zac"),
          "test": ("m5", "f3", "Andy", "belinda", "Michael", "steph")}
EACH = {"train": 6, "val": 10, "test": 10} # recordings of each digit by each voice
RATE = 8000
NOISES = ("whitenoise", "pinknoise", "brownnoise")
NOISE_SECONDS = 60


def call(*command, **how):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, **how).stdout


def check_programs():
    for program in ("espeak-ng", "sox"):
        if not shutil.which(program):
            sys.exit(f"{program} is missing; install it (Debian: apt-get install espeak-ng sox)")
    listed = call("espeak-ng", "--voices=variant", text=True).split()
    missing = [voice for voices in VOICES.values() for voice in voices if f"!v/{voice}" not in listed]
    if missing:
        sys.exit(f"this version of espeak-ng lacks the voices {', '.join(missing)}")


def make(path, seed, split, word, voice, noises):
    """One recording. All of its properties follow from the seed."""
    chance = random.Random(seed)
    accent, noise = chance.choice(ACCENTS), chance.choice(NOISES)
    speed, pitch = chance.randint(110, 210), chance.randint(20, 80)
    start, volume, loudness = chance.uniform(0.02, 0.25), chance.uniform(0.3, 0.9), 10 ** chance.uniform(-3, -1.3)
    at = chance.uniform(0, NOISE_SECONDS - 2)
    factor = chance.uniform(0.8, 1.25) if split == "train" else 1
    speech = call("espeak-ng", "-v", f"{accent}+{voice}", "-s", speed, "-p", pitch, "--stdout", word)
    with tempfile.NamedTemporaryFile(suffix=".wav") as clean:
        # Without --no-dither, sox would add random numbers.
        call("sox", "-D", "-t", "wav", "-", "-r", RATE, "-b", 16, clean.name, "speed", factor, "silence", 1, 0.01, "1%",
             "pad", start, 1, input=speech)
        call("sox", "-D", "-m", "-v", volume, clean.name, "-v", loudness, f"|sox {noises / noise}.wav -p trim {at:.4f} 2",
             "-b", 16, path, "trim", 0, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", type=pathlib.Path, nargs="?", help="default: wav beside this script",
                        default=pathlib.Path(__file__).resolve().parent / "wav")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    check_programs()
    jobs = [(arguments.folder / split / str(digit) / f"{voice}-{i:02}.wav", split, word, voice) for split, voices in VOICES.items()
            for digit, word in enumerate(WORDS) for voice in voices for i in range(EACH[split])]
    for folder in {path.parent for path, *_ in jobs}:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as noises, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for noise in NOISES:
            call("sox", "-R", "-n", "-r", RATE, "-c", 1, "-b", 16, f"{noises}/{noise}.wav", "synth", NOISE_SECONDS, noise)
        futures = [pool.submit(make, path, f"{arguments.seed} {path.relative_to(arguments.folder)}", split, word, voice,
                               pathlib.Path(noises)) for path, split, word, voice in jobs]
        for done, future in enumerate(futures, 1):
            future.result()
            if done % 500 == 0 or done == len(jobs):
                print(f"{done} of {len(jobs)} recordings", flush=True)


if __name__ == "__main__":
    main()
