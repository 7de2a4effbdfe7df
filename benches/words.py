#!/usr/bin/env python3
"""How well words find photographs whose names do not say what they show.

    python3 benches/words.py IMGIDX FOLDER [WORD]...

FOLDER has photographs that are named `nXXXXXXXX_class_name.JPEG` after their class of ImageNet. They are copied to a
temporary folder under other names and indexed with the program IMGIDX. For each word, prints how many pictures show it
(by the names and kinds of their class, in `labels.tsv` and `everyday.tsv`), how many `search` finds, and how many of
these are right.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DATA = Path(__file__).parent.parent / "crates/imgidx-model/data"
WORDS = """dog puppy cat kitten bird insect bug snake fish fruit vegetable flower vehicle car truck boat ship airplane bike
train phone computer tv camera furniture chair glasses clothes hat musical_instrument tool food man grass""".split()


def read_kinds():
    """For each label, everything that it may be called, in lower case."""
    kinds = {}
    for line in (DATA / "labels.tsv").read_text("utf-8").lower().splitlines():
        label, others, above = line.split("\t")
        names = [name for kind in above.split("|") for name in kind.partition("=")[2].split("/")]
        kinds.setdefault(label, set()).update([label, *others.split("|"), *names])
    for line in (DATA / "everyday.tsv").read_text("utf-8").lower().splitlines():
        word, targets, _ = line.split("\t")
        for names in kinds.values():
            names.discard(word)
            if names & set(targets.split("|")):
                names.add(f"={word}")
    return {label: {name.lstrip("=") for name in names} for label, names in kinds.items()}


def copy_under_neutral_names(photos, folder):
    """Copies the photographs to `folder`/pictures. Returns the path of each copy with the names of what it shows."""
    kinds, shown = read_kinds(), {}
    for at, path in enumerate(sorted(Path(photos).glob("n*_*"))):
        copy = Path(folder) / "pictures" / f"q{at:04}.jpg"
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
        shown[str(copy)] = kinds.get(path.stem.partition("_")[2].replace("_", " ").lower(), set())
    return shown


def main(program, photos, *words):
    with tempfile.TemporaryDirectory() as folder:
        shown = copy_under_neutral_names(photos, folder)

        def run(*arguments):
            command = [program, "--db", f"{folder}/words.db", *arguments]
            return subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout

        run("add", f"{folder}/pictures")
        print("| word | shown | found | right |\n|---|---|---|---|")
        for word in words or [word.replace("_", " ") for word in WORDS]:
            hits = [hit["path"] for hit in json.loads(run("search", word, "--exact-words", "--json"))["hits"]]
            right = [path for path in hits if word in shown[path]]
            print(f"| `{word}` | {sum(word in names for names in shown.values())} | {len(hits)} | {len(right)} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
