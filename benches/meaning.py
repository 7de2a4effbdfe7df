#!/usr/bin/env python3
"""How well texts find photographs by what they mean.

    python3 benches/meaning.py IMGIDX FOLDER

FOLDER has photographs that are named `nXXXXXXXX_class_name.JPEG` after their class of ImageNet. They are copied to a
temporary folder under other names and indexed with the program IMGIDX. `texts/seen.tsv` has texts about things in
photographs with the names and kinds of classes that are right for each; the first 12 are printed singly, and of the
others every second one was used to choose the constants of the rule. `texts/unseen.txt` has texts about nothing that can
be seen. For each set, prints the share of right pictures among the first five, or among as many as there are, with and
without `--exact-words`, and how many texts list anything.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import words

TEXTS = Path(__file__).parent / "texts"
SINGLE = 12


def main(program, photos):
    with tempfile.TemporaryDirectory() as folder:
        names = words.copy_under_neutral_names(photos, folder)

        def run(*arguments):
            command = [program, "--db", f"{folder}/meaning.db", *arguments]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout

        def hits(text, *options):
            return [hit["path"] for hit in json.loads(run("search", text, *options, "--json"))["hits"]]

        def share(text, wanted, *options):
            """The share of right pictures among the first five; `None` if no picture is right."""
            right = {path for path, shown in names.items() if shown & wanted}
            found = hits(text, *options)[:5]
            count = sum(path in right for path in found)
            return (count / min(5, len(right)), count, len(found)) if right else None

        run("add", f"{folder}/pictures")
        seen = [line.split("\t") for line in (TEXTS / "seen.tsv").read_text("utf-8").splitlines()]
        seen = [(text, set(wanted.lower().split("|"))) for text, wanted in seen]
        print("| text | first five | right |\n|---|---|---|")
        for text, wanted in seen[:SINGLE]:
            _, right, found = share(text, wanted) or (0, 0, 0)
            print(f"| `{text}` | {found} | {right} |")
        print("\n| texts | with a right photograph | right, exact words | right, with the meaning |\n|---|---|---|---|")
        sets = {"the 12": seen[:SINGLE], "to choose with": seen[SINGLE::2], "to test with": seen[SINGLE + 1 :: 2]}
        for title, texts in sets.items():
            exact = [share(*text, "--exact-words") for text in texts]
            meant = [share(*text) for text in texts]
            means = [sum(one[0] for one in all if one) / sum(map(bool, all)) for all in (exact, meant)]
            print(f"| {title}: {len(texts)} | {sum(map(bool, meant))} | {means[0]:.3f} | {means[1]:.3f} |")
        unseen = (TEXTS / "unseen.txt").read_text("utf-8").splitlines()
        listed = [text for text in unseen if hits(text)]
        print(f"\n{len(listed)} of {len(unseen)} texts about nothing that can be seen list something: {', '.join(listed)}")
        silent = [text for text, _ in seen if not hits(text)]
        print(f"{len(silent)} of {len(seen)} texts about things list nothing: {', '.join(silent)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
