#!/usr/bin/env python3
"""How good traces of real logos are, and how fast: beside vtracer as it comes, tier by tier, and how good estimates are.

    cargo build --release && python3 benches/trace/evaluate.py FOLDER [--tiers fast,balanced,quality] [--sets logos,...]

Needs npm, which gets the sets of logos (https://iconify.design, by the names below) into FOLDER when they are not there:
@iconify-json/logos (CC0), and held out from all decisions @iconify-json/skill-icons and @iconify-json/token-branded (MIT).
Everything else is done by the program, and by `cargo bench --bench trace`. Of the standard library only.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "target/release/imgidx"
SIDE = 256

# Name: package, and which of its icons, by name.
SETS = {
    "logos": ("logos", lambda names: names[3::9][:256]),
    "fit": ("logos", lambda names: names[0::18]),
    "skill-icons": ("skill-icons", lambda names: names),
    "token-branded": ("token-branded", lambda names: names[0::12]),
}


def svgs(folder, name):
    """The SVGs of a set, fetched if they are not there."""
    package, choose = SETS[name]
    target = folder / "svg" / name
    if target.is_dir():
        return target
    archive = next(folder.glob(f"iconify-json-{package}-*.tgz"), None)
    if archive is None:
        subprocess.run(["npm", "pack", "--silent", f"@iconify-json/{package}"], cwd=folder, check=True)
        archive = next(folder.glob(f"iconify-json-{package}-*.tgz"))
    with tarfile.open(archive) as files:
        icons = json.load(files.extractfile("package/icons.json"))
    target.mkdir(parents=True)
    for icon in choose(sorted(icons["icons"])):
        told = icons["icons"][icon]
        width, height = (told.get(side, icons.get(side, 16)) for side in ("width", "height"))
        left, top = told.get("left", 0), told.get("top", 0)
        (target / f"{icon}.svg").write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}" '
            f'height="{height}" viewBox="{left} {top} {width} {height}">{told["body"]}</svg>'
        )
    return target


def bench(*arguments):
    """What a part of `cargo bench --bench trace` prints."""
    command = ["cargo", "bench", "--quiet", "--bench", "trace", "--", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def imgidx(database, *arguments):
    """What the program answers, the seconds that it took, and the most memory that it had, in MB."""
    command = [PROGRAM, "--direct", "--quiet", "--json", "--db", database, "trace", *arguments]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE) as child:
        answer = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, 3):
        sys.exit(f"imgidx failed: {answer}")
    return json.loads(answer), usage.ru_maxrss / 1024


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))]


def line(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def summary(label, compared, traces=(), memory=None):
    def both(name, digits):
        values = [row[name] for row in compared]
        return f"{statistics.median(values):.{digits}f}, {percentile(values, 0.1):.{digits}f}"

    size = statistics.median(row["bytes"] for row in compared) / 1000
    original = statistics.median(row["original_ssim"] for row in compared)
    seconds = sorted(row["milliseconds"] / 1000 for row in traces)
    time = f"{statistics.median(seconds):.2f}, {percentile(seconds, 0.95):.2f}" if seconds else ""
    mean = f"{statistics.mean(row['score'] for row in traces):.2f}" if traces else ""
    line(label, len(compared), both("ssimulacra2", 1), both("ssim", 4), f"{original:.4f}", f"{size:.1f}", mean, time, f"{memory:.0f}" if memory else "")


def of(answer):
    """The rows of an answer by name of the picture."""
    return {pathlib.Path(row["path"]).stem: row for row in answer}


def evaluate(folder, name, tiers):
    source = svgs(folder, name)
    pictures = folder / "png" / name
    if not pictures.is_dir():
        bench("render", source, SIDE, pictures)
    work = folder / "traced" / name
    work.mkdir(parents=True, exist_ok=True)
    print(f"\n## {name}: {SIDE} pixels, on white\n")
    line("trace", "logos", "SSIMULACRA2 median, p10", "SSIM median, p10", f"SSIM with the SVG at 1024, median", "kB median", "score mean", "seconds median, p95", "peak MB")
    line(*["---"] * 9)
    defaults = work / "defaults"
    if not defaults.is_dir():
        bench("defaults", pictures, defaults)
    summary("vtracer's defaults", json.loads(bench("compare", source, pictures, defaults)))
    scores = {}
    for tier in tiers:
        database = work / f"{tier}.db"
        for stale in work.glob(f"{tier}.db*"):
            stale.unlink() if stale.is_file() else None
        answer, memory = imgidx(database, "--force", "--tier", tier, "-o", work / tier, pictures)
        assert not answer["failed"], answer["failed"]
        traces = answer["traces"]
        scores[tier] = {stem: row["score"] for stem, row in of(traces).items()}
        summary(tier, json.loads(bench("compare", source, pictures, work / tier)), traces, memory)
    print()
    for lower, higher in zip(tiers, tiers[1:]):
        less = [stem for stem in scores[lower] if scores[higher][stem] < scores[lower][stem]]
        print(f"{higher} is worth less than {lower}: {len(less)} of {len(scores[lower])} {less[:5]}")
    return pictures, work, scores


def estimates(folder, pictures, work, scores):
    """How far off the estimates are, beside the median of 128 other logos, and what one candidate alone loses."""
    others = folder / "png" / "fit"
    if not others.is_dir():
        bench("render", svgs(folder, "fit"), SIDE, others)
    traced, _ = imgidx(work / "fit.db", "--force", "--tier", "balanced", "-o", work / "fit", others)
    median = statistics.median(row["score"] for row in traced["traces"])
    predicted = of(imgidx(work / "empty.db", "--force", "--predict", pictures)[0]["estimates"])
    balanced = scores["balanced"]
    mean = lambda difference: statistics.mean(difference(stem) for stem in balanced)
    print(f"\nestimates of the score of balanced, mean error: {mean(lambda stem: abs(balanced[stem] - predicted[stem]['estimate']['score'])):.2f}, "
          f"with the median of {len(traced['traces'])} others {mean(lambda stem: abs(balanced[stem] - median)):.2f}")
    print(f"score lost by trying one candidate only, mean: {mean(lambda stem: balanced[stem] - scores['fast'][stem]):.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--tiers", default="fast,balanced,quality")
    parser.add_argument("--sets", default="logos,skill-icons,token-branded")
    args = parser.parse_args()
    if not PROGRAM.is_file():
        sys.exit("`cargo build --release` has to come first")
    args.folder.mkdir(parents=True, exist_ok=True)
    folder = args.folder.resolve()
    for name in args.sets.split(","):
        pictures, work, scores = evaluate(folder, name, args.tiers.split(","))
        if {"fast", "balanced"} <= scores.keys():
            estimates(folder, pictures, work, scores)


if __name__ == "__main__":
    main()
