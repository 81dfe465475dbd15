"""Every damage of a model or checkpoint is detected, and the checkpoint before a damaged one is used.

damage.c damages every byte in the process; some damages also go through the program."""

import re

import disk
import harness
from harness import run

MODEL = 4


def every_damage_is_detected(name, folder):
    disk.prepare(folder)
    disk.train(folder).exits(0)
    command = [disk.BUILD / "damage", folder / "out/run" / name, folder / "copy.h5"]
    result = harness.execute(folder, *command).exits(0)
    tried, detected = map(int, re.search(r"(\d+) damages .*, (\d+) detected", result.out).groups())
    result.must(tried == detected > 10000, "all damages are detected")
    print(f"{name}: {result.out.strip()}")


def flip(path):
    harness.flip_byte(path, path.stat().st_size // 2)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def empty(path):
    path.write_bytes(b"")


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"\0")


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


DAMAGES = (flip, cut, empty, lengthen, zero)
FEW = (flip, empty)


def run_uses_the_previous_checkpoint(folder):
    """The newest checkpoint is damaged; the run gives the same result."""
    disk.prepare(folder)
    calm = disk.uninterrupted(folder)
    for damage in DAMAGES:
        disk.train(folder, "--overwrite", *disk.sets("train.max_steps=5")).exits(0)
        damage(folder / "out/run/checkpoints/step-00000005.h5")
        result = disk.train(folder).exits(0).reports("warning: ", "step-00000005.h5")
        result.reports(harness.RESUMED, "out/run/checkpoints/step-00000004.h5")
        wrong = disk.Result(folder).different(calm)
        result.must(not wrong, f"{damage.__name__}: the result must be the same: {wrong}")


def no_valid_checkpoint_is_an_error(folder):
    disk.prepare(folder)
    for damage in DAMAGES:
        disk.train(folder, "--overwrite").exits(0)
        for path in (folder / "out/run/checkpoints").glob("step-*.h5"):
            damage(path)
        before = harness.snapshot(folder)
        result = disk.train(folder).exits(MODEL).reports("error: ", "2", "out/run/checkpoints")
        result.says("step-00000005.h5: ")
        result.must(harness.snapshot(folder) == before, "no file may change")


def commands_reject_a_damaged_model(folder):
    disk.prepare(folder)
    disk.train(folder).exits(0)
    whole = (folder / "out/run/model.h5").read_bytes()
    for damage in FEW:
        (folder / "m.h5").write_bytes(whole)
        damage(folder / "m.h5")
        for words in (("evaluate", "m.h5", "data.h5"), ("predict", "m.h5", "data.h5", "-o", "y.csv"),
                      ("train", "config.yaml", "-o", "new", "--init-from", "m.h5")):
            run(folder, *words).exits(MODEL).reports("error: ", "m.h5: ")
        result = run(folder, "info", "m.h5")
        result.must(result.code in (3, MODEL) and "m.h5: " in result.err, "info rejects it too")


def lost_best_is_created_again(folder):
    """A damaged best.h5 is reported and replaced by that of the next epoch; a damaged model.h5 is replaced from best.h5."""
    disk.prepare(folder)
    for name, parts in (("checkpoints/best.h5", ("out/run", harness.NO_BEST)),
                        ("model.h5", ("out/run/model.h5", harness.REBUILT, "out/run/checkpoints/best.h5"))):
        for damage in FEW:
            disk.train(folder, "--overwrite", *disk.sets("train.max_steps=4")).exits(0)
            damage(folder / "out/run" / name)
            disk.train(folder).exits(0).reports(*parts)
            run(folder, "info", f"out/run/{name}").exits(0).says("digest")


def all_tests():
    for name in ("model.h5", "checkpoints/step-00000006.h5"):
        yield f"every damage of {name} is detected", lambda folder, name=name: every_damage_is_detected(name, folder)
    for test in (run_uses_the_previous_checkpoint, no_valid_checkpoint_is_an_error, commands_reject_a_damaged_model,
                 lost_best_is_created_again):
        yield test.__name__.replace("_", " "), test


if __name__ == "__main__":
    harness.main(all_tests())
