#!/usr/bin/env python3
"""Makes recordings of spoken digits: FOLDER/{train,val,test}/DIGIT/*.wav, of 1 s at 8 kHz.

espeak-ng speaks the digits with voices, accents, speeds and pitches; sox resamples them, shifts them in time and adds noise.
The voices of val and test are not in train. Half of train is spoken by the other voices of espeak-ng, half by random ones, each with
its own formants, pitch and timbre. Recordings in train are also played faster or slower, which moves the formants further (T. Ko et
al., "Audio augmentation for speech recognition", 2015), and have more or less treble. The same seed gives the same recordings with
the same versions of both programs (Debian: espeak-ng sox). Then:

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
# The files of espeak-ng's voices.
VOICES = {"train": ("m1", "m2", "m3", "m4", "m6", "m7", "f1", "f2", "f4", "f5", "adam", "Alex", "Alicia", "Andrea", "anika",
                    "announcer", "antonio", "aunty", "benjamin", "boris", "caleb", "croak", "david", "Denis", "Diogo", "ed",
                    "edward", "Gene", "Gene2", "grandma", "grandpa", "gustave", "Henrique", "Hugo", "iven", "iven2", "iven3",
                    "Jacky", "kaukovalta", "klatt", "klatt2", "klatt3", "klatt4", "Lee", "linda", "marcelo", "Marco", "Mario",
                    "max", "miguel", "Mike", "Nguyen", "norbert", "pablo", "paul", "pedro", "quincy", "RicishayMax", "rob",
                    "robert", "sandro", "shelby", "Storm", "travis", "Tweaky", "victor"),
          "val": ("m8", "Annie", "john", "zac"),
          "test": ("m5", "f3", "Andy", "belinda", "Michael", "steph")}
EACH = {"train": 4, "val": 10, "test": 10} # recordings of each digit by each voice
RANDOM_VOICES = 260 # in train, with one recording of each digit
RATE = 8000
NOISES = ("whitenoise", "pinknoise", "brownnoise")
NOISE_SECONDS = 60


def call(*command, **how):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, **how).stdout


def listed_voices(*options):
    return {word.removeprefix("!v/") for word in call("espeak-ng", *options, "--voices=variant", text=True).split()}


def check_programs():
    for program in ("espeak-ng", "sox"):
        if not shutil.which(program):
            sys.exit(f"{program} is missing; install it (Debian: apt-get install espeak-ng sox)")
    listed = listed_voices()
    missing = [voice for voices in VOICES.values() for voice in voices if voice not in listed]
    if missing:
        sys.exit(f"this version of espeak-ng lacks the voices {', '.join(missing)}")


def describe_voice(seed):
    """A random voice as a file of espeak-ng: frequencies, heights and widths of formants in percent, pitch in Hz."""
    chance = random.Random(seed)
    size, pitch = chance.uniform(0.8, 1.4), chance.randint(60, 240) # formants are higher in a shorter vocal tract
    lines = ["language variant", f"name {seed}", f"pitch {pitch} {pitch * chance.uniform(1.1, 1.6):.0f}"]
    for formant in range(9):
        frequency = size * chance.uniform(0.88, 1.12) if formant else chance.uniform(0.85, 1.15)
        height = chance.uniform(30, 140) if formant < 3 else chance.uniform(0, 140)
        lines.append(f"formant {formant} {100 * frequency:.0f} {height:.0f} {chance.uniform(60, 180):.0f}")
    lines += [f"flutter {chance.randint(0, 12)}", f"roughness {chance.randint(0, 4)}", f"voicing {chance.randint(40, 180)}",
              f"consonants {chance.randint(50, 150)} {chance.randint(50, 150)}"]
    if chance.random() < 0.5:
        lines.append(f"tone 100 255 600 {chance.randint(40, 255)} 1200 {chance.randint(20, 255)} 2500 {chance.randint(10, 255)}")
    return "\n".join(lines) + "\n"


def make_voices(folder, seed):
    """Makes a data folder of espeak-ng that has the random voices only, with links to its other files; returns their names."""
    source = pathlib.Path(call("espeak-ng", "--version", text=True).split("Data at:")[1].strip())
    data = folder / "espeak-ng-data"
    for inner in ("voices/!v", "lang"):
        (data / inner).mkdir(parents=True)
    # espeak-ng ignores voices and languages above 349 in number.
    for path in (*(path for path in source.iterdir() if path.name not in ("voices", "lang")), *source.glob("lang/gmw/en*")):
        (data / path.relative_to(source)).parent.mkdir(exist_ok=True)
        (data / path.relative_to(source)).symlink_to(path)
    names = [f"random{i:03}" for i in range(RANDOM_VOICES)]
    for name in names:
        (data / "voices" / "!v" / name).write_text(describe_voice(f"{seed} {name}"))
    if not set(names) <= listed_voices("--path", folder):
        sys.exit("this version of espeak-ng does not find the random voices")
    return names


def make(path, seed, split, word, voice, workspace):
    """One recording. All of its properties follow from the seed."""
    chance = random.Random(seed)
    accent, noise = chance.choice(ACCENTS), chance.choice(NOISES)
    speed, pitch = chance.randint(110, 210), chance.randint(20, 80)
    start, volume, loudness = chance.uniform(0.02, 0.25), chance.uniform(0.3, 0.9), 10 ** chance.uniform(-3, -1.3)
    at = chance.uniform(0, NOISE_SECONDS - 2)
    changes = ["speed", chance.uniform(0.8, 1.25), "treble", chance.uniform(-10, 10)] if split == "train" else []
    path_option = ["--path", workspace] if voice.startswith("random") else []
    speech = call("espeak-ng", *path_option, "-v", f"{accent}+{voice}", "-s", speed, "-p", pitch, "--stdout", word)
    with tempfile.NamedTemporaryFile(suffix=".wav") as clean:
        # Without --no-dither, sox would add random numbers. --guard reduces the volume where treble would clip.
        call("sox", "-D", "--guard", "-t", "wav", "-", "-r", RATE, "-b", 16, clean.name, *changes, "silence", 1, 0.01, "1%",
             "pad", start, 1, input=speech)
        call("sox", "-D", "-m", "-v", volume, clean.name, "-v", loudness,
             f"|sox {workspace / noise}.wav -p trim {at:.4f} 2", "-b", 16, path, "trim", 0, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", type=pathlib.Path, nargs="?", help="default: wav beside this script",
                        default=pathlib.Path(__file__).resolve().parent / "wav")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    check_programs()
    with tempfile.TemporaryDirectory() as name, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        workspace = pathlib.Path(name)
        voices = [(split, voice, EACH[split]) for split in VOICES for voice in VOICES[split]]
        voices += [("train", voice, 1) for voice in make_voices(workspace, arguments.seed)]
        for noise in NOISES:
            call("sox", "-R", "-n", "-r", RATE, "-c", 1, "-b", 16, workspace / f"{noise}.wav", "synth", NOISE_SECONDS, noise)
        jobs = [(arguments.folder / split / str(digit) / f"{voice}-{i:02}.wav", split, word, voice)
                for split, voice, count in voices for digit, word in enumerate(WORDS) for i in range(count)]
        for folder in {path.parent for path, *_ in jobs}:
            folder.mkdir(parents=True, exist_ok=True)
        futures = [pool.submit(make, path, f"{arguments.seed} {path.relative_to(arguments.folder)}", split, word, voice, workspace)
                   for path, split, word, voice in jobs]
        for done, future in enumerate(futures, 1):
            future.result()
            if done % 500 == 0 or done == len(jobs):
                print(f"{done} of {len(jobs)} recordings", flush=True)


if __name__ == "__main__":
    main()
