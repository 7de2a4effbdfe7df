"""Compares the decoders of imgidx with the libraries that other programs use: their time on one core, their pixels.

    pip install pillow==13.0.0 pillow-heif==1.8.1 pillow-jxl-plugin==1.3.8 numpy==2.3.5
    cargo bench -p imgidx-media --bench formats --no-run [--features asm]
    python benches/formats.py speed PROGRAM PHOTOS
    python benches/formats.py pixels PROGRAM FOLDER

PROGRAM is the program that Cargo built. `speed` tiles twice enlarged PHOTOS to large pictures, encodes them in each
format, and decodes them with both in turn. The libraries are libheif (libde265), libavif (dav1d), libjxl and
libjpeg-turbo. "ours" and "theirs" are medians of processor time in milliseconds, "small" those of
decoding for the built-in model, where libjpeg-turbo scales while it decodes, and "dB" is the PSNR of both pictures. `pixels` reads all files of FOLDER
and prints those that only one of both reads, that differ in size, or whose PSNR is below 35 dB.
"""

import io
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import pillow_heif
import pillow_jxl
from PIL import AvifImagePlugin, Image, ImageCms, ImageOps

ROUNDS = 7
# As many pixels as imgidx keeps at least: twice the side of the model's input.
SMALL = 512
LEAST_DB = 35

Image.MAX_IMAGE_PIXELS = None
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
pillow_jxl.JpegXLImagePlugin.DECODE_THREADS = 0
pillow_heif.options.DECODE_THREADS = 1
pillow_heif.options.THUMBNAILS = False
pillow_heif.register_heif_opener()


def mosaic(photos, width, height):
    """Photographs of twice their size, in rows, with as much detail as cameras record."""
    canvas, at, (x, y, row) = Image.new("RGB", (width, height)), 0, (0, 0, 0)
    while y < height:
        photo = Image.open(photos[at % len(photos)]).convert("RGB")
        photo = photo.resize((photo.width * 2, photo.height * 2), Image.Resampling.LANCZOS)
        canvas.paste(photo, (x, y))
        at, x, row = at + 1, x + photo.width, max(row, photo.height)
        if x >= width:
            x, y, row = 0, y + row, 0
    return canvas


def encode(photos, folder):
    phone, camera = mosaic(photos, 4000, 3000), mosaic(photos[16:], 6000, 4000)
    for name, picture, options in [
        ("12mp.heic", phone, {"quality": 60}),
        ("12mp.avif", phone, {"quality": 75}),
        ("11mp.jxl", mosaic(photos, 4000, 2750), {"quality": 90}),
        ("24mp.jpg", camera, {"quality": 92}),
        ("24mp-progressive.jpg", camera, {"quality": 92, "progressive": True}),
    ]:
        picture.save(folder / name, **options)
        yield folder / name


def ours(program, files, *options):
    """What the program says of each file: format, size and times, or a dash and the reason."""
    printed = subprocess.run([program, *options, *map(str, files)], stdout=subprocess.PIPE, text=True, check=True)
    return [line.split("\t")[1:] for line in printed.stdout.splitlines()]


def timed(content, small):
    start = time.process_time()
    image = Image.open(io.BytesIO(content))
    if small:
        image.draft("RGB", (SMALL, SMALL))
    image.load()
    return (time.process_time() - start) * 1e3


def reference(file):
    """The pixels by Pillow and its plugins: upright, in sRGB and on white, as those of imgidx are."""
    image = Image.open(file)
    profile = image.info.get("icc_profile")
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if profile and image.mode in ("RGB", "L"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            image = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except ImageCms.PyCMSError:
            pass
    return image.convert("RGB")


def psnr(one, other):
    error = np.mean((np.asarray(one, np.float32) - np.asarray(other, np.float32)) ** 2)
    return 99.0 if error == 0 else 10 * np.log10(255**2 / error)


def difference(pixels, file):
    """The PSNR in decibels, or both sizes if they differ."""
    one, other = Image.open(pixels), reference(file)
    return psnr(one, other) if one.size == other.size else f"size {one.size} and {other.size}"


def speed(program, photos, folder):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    files = list(encode(photos, folder))
    contents = [file.read_bytes() for file in files]
    times = {}
    for _ in range(ROUNDS):
        for file, content, (_, _, full, small) in zip(files, contents, ours(program, files, "--rounds=3")):
            for kind, value in [
                ("ours", float(full)), ("theirs", timed(content, False)),
                ("ours, small", float(small)), ("theirs, small", timed(content, True)),
            ]:
                times.setdefault((file, kind), []).append(value)
    ours(program, files, "--rounds=1", f"--pixels={folder}")
    print(f"{'file':22} {'MB':>5} {'ours':>6} {'theirs':>6} {'ratio':>5} {'small':>6} {'theirs':>6} {'ratio':>5} {'dB':>5}")
    for at, (file, content) in enumerate(zip(files, contents)):
        row = [statistics.median(times[file, kind]) for kind in ("ours", "theirs", "ours, small", "theirs, small")]
        one, other, small, other_small = row
        print(f"{file.name:22} {len(content) / 1e6:5.1f} {one:6.0f} {other:6.0f} {one / other:5.2f} "
              f"{small:6.0f} {other_small:6.0f} {small / other_small:5.2f} {difference(folder / f'{at}.ppm', file):5.1f}")


def pixels(program, files, folder):
    read = {"both": 0, "ours": 0, "theirs": 0, "neither": 0, "alike": 0}
    for file in files:
        ((kind, *said),) = ours(program, [file], "--rounds=1", f"--pixels={folder}")
        try:
            found, reason = difference(folder / "0.ppm", file) if kind != "-" else reference(file), None
        except Exception as error:
            found, reason = None, error
        who = ("both" if reason is None else "ours") if kind != "-" else ("theirs" if reason is None else "neither")
        read[who] += 1
        is_alike = who == "both" and not isinstance(found, str) and found >= LEAST_DB
        read["alike"] += is_alike
        if who != "neither" and not is_alike:
            print(file, who, *{"both": [found], "ours": [reason], "theirs": said}[who], sep="\t", flush=True)
    print(read)


def main():
    what, program, folder = sys.argv[1:]
    files = sorted(file for file in pathlib.Path(folder).rglob("*") if file.is_file())
    with tempfile.TemporaryDirectory() as work:
        {"speed": speed, "pixels": pixels}[what](program, files, pathlib.Path(work))


main()
