"""Compares what imgidx reads of pictures' metadata with exiftool.

    cargo build --release -p imgidx-media --example metadata
    python3 benches/metadata.py target/release/examples/metadata FOLDER...

Needs `exiftool` (Debian: libimage-exiftool-perl). Reads all files below the folders with both, and prints each field that
differs, then the number of files, of fields that either of them found, and of equal ones. Raw formats and damaged files are
among those where exiftool finds more. Texts are compared without surrounding spaces, and numbers to 1 in 10,000. Standard
library only.
"""

import json
import os
import subprocess
import sys

# The fields, each with the places where exiftool has them, best first.
FIELDS = {
    "taken": [
        "ExifIFD:DateTimeOriginal", "ExifIFD:CreateDate", "IFD0:DateTimeOriginal", "XMP-exif:DateTimeOriginal",
        "XMP-photoshop:DateCreated", "XMP-exif:DateTimeDigitized", "XMP-xmp:CreateDate",
    ],
    "make": ["IFD0:Make", "XMP-tiff:Make"],
    "model": ["IFD0:Model", "XMP-tiff:Model"],
    "lens": ["ExifIFD:LensModel", "XMP-exifEX:LensModel", "XMP-aux:Lens"],
    "focal_length": ["ExifIFD:FocalLength", "XMP-exif:FocalLength"],
    "aperture": ["ExifIFD:FNumber", "XMP-exif:FNumber"],
    "exposure_time": ["ExifIFD:ExposureTime", "XMP-exif:ExposureTime"],
    "iso": ["ExifIFD:ISO", "XMP-exif:ISO"],
    "lat": ["GPS:GPSLatitude", "XMP-exif:GPSLatitude"],
    "lon": ["GPS:GPSLongitude", "XMP-exif:GPSLongitude"],
    "rating": ["XMP-xmp:Rating", "IFD0:Rating"],
    "title": ["XMP-dc:Title", "IPTC:ObjectName", "IFD0:XPTitle"],
    "description": ["XMP-dc:Description", "IPTC:Caption-Abstract", "IFD0:ImageDescription"],
    "keywords": ["XMP-dc:Subject", "IPTC:Keywords"],
}
AT_ONCE = 200


def files_below(folders):
    for folder in folders:
        for where, _, names in sorted(os.walk(folder)):
            yield from (os.path.join(where, name) for name in sorted(names))


def in_parts(items):
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]


def read_with_imgidx(program, files):
    found = {}
    for part in in_parts(files):
        for line in subprocess.run([program, *part], capture_output=True, text=True, check=True).stdout.splitlines():
            document = json.loads(line)
            if "metadata" in document:
                found[document["path"]] = document["metadata"]
    return found


def read_with_exiftool(files):
    tags = sorted({place.split(":")[1] for places in FIELDS.values() for place in places})
    found = {}
    for part in in_parts(files):
        command = ["exiftool", "-j", "-n", "-G1", "-a", *(f"-{tag}" for tag in tags), *part]
        for document in json.loads(subprocess.run(command, capture_output=True, text=True).stdout or "[]"):
            found[document["SourceFile"]] = document
    return found


def is_equal(field, theirs, ours):
    if theirs is None or ours is None:
        return False
    if field == "taken":
        digits = ["".join(filter(str.isdigit, str(text)))[:14] for text in (theirs, ours)]
        return digits[0] == digits[1]
    if field == "keywords":
        theirs = theirs if isinstance(theirs, list) else [theirs]
        return [str(word).strip() for word in theirs] == ours
    if isinstance(ours, (int, float)):
        try:
            # exiftool gives coordinates of some groups without their hemisphere.
            return abs(abs(float(theirs)) - abs(ours)) <= 1e-4 * max(1, abs(ours))
        except ValueError:
            return False
    return str(theirs).strip() == ours


def main():
    files = list(files_below(sys.argv[2:]))
    ours = read_with_imgidx(sys.argv[1], files)
    theirs = read_with_exiftool(list(ours))
    fields = equal = 0
    for path, metadata in ours.items():
        place = metadata.get("gps") or {}
        document = theirs.get(path, {})
        for field, places in FIELDS.items():
            own = place.get(field) if field in ("lat", "lon") else metadata.get(field)
            other = next((document[place] for place in places if document.get(place) not in (None, "")), None)
            if own in (None, []) and (other is None or not str(other).strip()):
                continue
            fields += 1
            if is_equal(field, other, own):
                equal += 1
            else:
                print(f"{path}\t{field}\texiftool {other!r}\timgidx {own!r}"[:300])
    print(f"{len(ours)} files, {fields} fields, {equal} equal")


if __name__ == "__main__":
    main()
