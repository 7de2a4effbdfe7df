#!/usr/bin/env python3
"""Compares features with those of scikit-image, on the same pixels.

    python3 -m venv v && v/bin/pip install scikit-image==0.25.2 pillow
    v/bin/python benches/features.py target/release/imgidx FOLDER_OF_PHOTOS

50 photographs are scaled to at most 256 pixels and stored as PNG, so that the program scales nothing. It exits with 1 if one
figure is further off than the tolerance in `FIGURES`.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import laplace
from skimage.feature import canny
from skimage.filters import sobel
from skimage.measure import shannon_entropy

PHOTOS = 50


def luma(pixels):
    """Rec. 709 in whole numbers, as the `image` crate has it."""
    r, g, b = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    return ((2126 * r + 7152 * g + 722 * b) // 10000).astype(np.uint8)


def inside(values):
    return values[1:-1, 1:-1]


# Each figure with the reference's value for a luma, and the difference that is allowed: absolute, and relative.
FIGURES = {
    "entropy": (lambda y: shannon_entropy(y), 1e-4, 0),
    "brightness": (lambda y: y.mean() / 255, 1e-5, 0),
    "contrast": (lambda y: y.std() / 255, 1e-5, 0),
    "edge_density": (lambda y: canny(y / 255.0, sigma=1, low_threshold=0.1, high_threshold=0.2).mean(), 5e-4, 0.01),
    "gradient_strength": (lambda y: inside(sobel(y / 255.0)).mean(), 1e-5, 1e-4),
    "sharpness": (lambda y: inside(laplace(y.astype(float))).var(), 1e-2, 1e-4),
}


def measured(program, picture, database):
    command = [program, "--db", database, "--json", "show", picture]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["features"]


def main(program, folder):
    photos = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))[:PHOTOS]
    worst = dict.fromkeys(FIGURES, (0.0, ""))
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        picture, database = Path(scratch) / "small.png", Path(scratch) / "none.db"
        for photo in photos:
            image = Image.open(photo).convert("RGB")
            image.thumbnail((256, 256))
            image.save(picture, icc_profile=None)
            ours, y = measured(program, picture, database), luma(np.asarray(image))
            for name, (reference, absolute, relative) in FIGURES.items():
                expected = float(reference(y))
                difference = abs(ours[name] - expected)
                worst[name] = max(worst[name], (difference, f"{ours[name]:.6g} for {expected:.6g}, {photo.name}"))
                wrong += difference > absolute + relative * abs(expected)
    print(f"{len(photos)} photographs; the largest differences:")
    for name, (difference, where) in worst.items():
        print(f"{name:>18} {difference:.2e}  {where}")
    return 1 if wrong or len(photos) < PHOTOS else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
