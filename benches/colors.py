"""How well `--with-color NAME` agrees with independent definitions of the eleven basic colours.

    imgidx --db photos.db add PHOTOS...
    pip install numpy==2.3.5 pillow==12.0.0
    python benches/colors.py IMGIDX photos.db PHOTOS...

Each picture is read again, scaled to 256 pixels, and converted to CIE Lab here. A colour is in a picture if it covers at
least 5 % of it. `imgidx` is compared with three definitions that share no code with it:

- hue: regions of hue, chroma and lightness in CIE LCh, with round hue angles, as scripts do it;
- strict: the same with a higher chroma, so that more faint colours have no name;
- survey: the nearest of the 954 colours of the survey of xkcd (Munroe, "Color Survey Results", 2010), as far as their
  names end in a basic one; from matplotlib==3.10.0 (and scipy==1.16.3), without which this definition is left out.

The columns are the number of pictures that have the colour by the definition, precision and recall.
"""

import pathlib
import subprocess
import sys

import numpy as np
from PIL import Image, ImageOps

BASIC = ["black", "white", "grey", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown"]
SHARE = 0.05


def lab(rgb):
    """CIE Lab under D65 of sRGB components, 0 to 255 (IEC 61966-2-1)."""
    x = np.asarray(rgb, float) / 255
    x = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    matrix = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    t = x @ np.transpose(matrix) / [0.95047, 1.0, 1.08883]
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def by_hue(pixels, chroma, warm):
    """Regions of hue, chroma and lightness. `chroma` is the lowest of a colour, and `warm` that of red to yellow."""
    lightness, c = pixels[:, 0], np.hypot(pixels[:, 1], pixels[:, 2])
    hue = np.degrees(np.arctan2(pixels[:, 2], pixels[:, 1])) % 360

    def at(low, high, least=chroma):
        return (hue >= low) & (hue < high) & (c >= least)

    grey = (c < 12) & (lightness >= 22)
    return {
        "black": (lightness < 22) & (c < 15),
        "white": grey & (lightness >= 88),
        "grey": grey & (lightness < 88),
        "red": at(0, 40, warm) & (lightness >= 20) & (lightness < 65),
        "orange": at(40, 70, warm) & (lightness >= 50),
        "yellow": at(70, 105, warm) & (lightness >= 55),
        "green": at(105, 180),
        "blue": at(220, 300),
        "purple": at(300, 330),
        "pink": (at(330, 360) & (lightness >= 30)) | (at(0, 30) & (lightness >= 60)),
        "brown": at(30, 80) & (lightness >= 20) & (lightness < 50),
    }


def by_survey(pixels):
    """The basic name at the end of the nearest name of the survey."""
    from matplotlib.colors import XKCD_COLORS
    from scipy.spatial import cKDTree

    last = {name: name.removeprefix("xkcd:").replace("gray", "grey").split()[-1] for name in XKCD_COLORS}
    known = [(last[name], value) for name, value in XKCD_COLORS.items() if last[name] in BASIC]
    centres = lab([[int(value[i : i + 2], 16) for i in (1, 3, 5)] for _, value in known])
    names = np.array([name for name, _ in known])
    names = names[cKDTree(centres).query(pixels)[1]]
    return {name: names == name for name in BASIC}


DEFINITIONS = {
    "hue": lambda pixels: by_hue(pixels, 15, 20),
    "strict": lambda pixels: by_hue(pixels, 20, 25),
    "survey": by_survey,
}


def pixels_of(path):
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    picture.thumbnail((256, 256), Image.Resampling.BILINEAR)
    return np.asarray(picture).reshape(-1, 3)


def shares(paths, definition):
    """The share of each picture that has each name. Colours are named once, not once for each pixel."""
    cells = [np.unique(pixels_of(path) // 4, axis=0, return_counts=True) for path in paths]
    colors, places = np.unique(np.concatenate([colors for colors, _ in cells]), axis=0, return_inverse=True)
    named = definition(lab(colors * 4 + 1.5))
    ends = np.cumsum([len(counts) for _, counts in cells])
    places = np.split(places.ravel(), ends[:-1])
    return {
        name: np.array([counts[mask[at]].sum() / counts.sum() for (_, counts), at in zip(cells, places)])
        for name, mask in named.items()
    }


def listed(program, database, name):
    command = [program, "--db", database, "list", "--with-color", name]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {str(pathlib.Path(line).resolve()) for line in lines}


def main(program, database, *folders):
    files = [path.resolve() for folder in folders for path in sorted(pathlib.Path(folder).rglob("*")) if path.is_file()]
    paths = [path for path in files if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp")]
    found = {name: listed(program, database, name) for name in BASIC}
    for title, definition in DEFINITIONS.items():
        try:
            measured = shares(paths, definition)
        except ImportError as error:
            print(f"{title}: left out, {error}")
            continue
        print(f"{title}, {len(paths)} pictures:  there  precision  recall")
        for name in BASIC:
            there = {str(path) for path, share in zip(paths, measured[name]) if share >= SHARE}
            both = len(there & found[name])
            precision, recall = both / max(1, len(found[name])), both / max(1, len(there))
            print(f"  {name:>8} {len(there):6} {precision:10.3f} {recall:7.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
