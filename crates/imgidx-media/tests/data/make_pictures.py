"""Makes the small pictures of this folder: pip install pillow pillow-heif pillow-jxl-plugin

Each is 64 pixels wide and 40 high: red on the left, blue on the right, and a white square in the upper left corner.
`thumbnail.heic` is 640 × 480, with a disc on the red and thin lines on the blue, and has a thumbnail of 320 × 240.
"""

import pillow_heif
import pillow_jxl  # noqa: F401, registers the format
from PIL import Image, ImageDraw

pillow_heif.register_heif_opener()

picture = Image.new("RGB", (64, 40), (200, 30, 30))
picture.paste((30, 30, 200), (32, 0, 64, 40))
picture.paste((255, 255, 255), (0, 0, 8, 8))
exif = Image.Exif()
exif[0x8769] = {0x9003: "2024:05:12 23:59:01"}

picture.save("plain.avif", quality=90, exif=exif)
turned = Image.Exif()
turned[0x0112] = 6
picture.save("turned.avif", quality=90, exif=turned)
half = picture.convert("RGBA")
half.putalpha(Image.linear_gradient("L").resize((64, 40)).point(lambda value: 0 if value < 128 else 255))
half.save("alpha.avif", quality=95)
frames = [picture, picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
frames[0].save("animation.avif", quality=90, save_all=True, append_images=frames[1:], duration=100)
picture.save("plain.heic", quality=90, exif=exif.tobytes())
picture.save("turned.heic", quality=90)
# The writer does not turn pictures: the property with the bit depths becomes a turn, and comes after the crop.
heic = open("turned.heic", "rb").read()
assert b"pixi\0" in heic and b"\x05\x81\x02\x03\x05\x84" in heic
heic = heic.replace(b"pixi\0", b"irot\3").replace(b"\x05\x81\x02\x03\x05\x84", b"\x05\x81\x02\x03\x84\x85")
open("turned.heic", "wb").write(heic)
picture.save("plain.jxl", quality=95, exif=exif.tobytes())
picture.convert("L").save("gray.jxl", lossless=True)
half.save("alpha.jxl", lossless=True)
picture.save("plain.jp2", irreversible=False)
picture.save("codestream.j2k", no_jp2=True)
picture.convert("L").save("gray.jp2")
half.save("alpha.jp2")
large = picture.resize((640, 480), Image.Resampling.NEAREST)
drawing = ImageDraw.Draw(large)
for x in range(352, 624, 16):
    drawing.line((x, 160, x, 440), (240, 220, 40), 2)
drawing.ellipse((60, 180, 260, 380), (240, 220, 40))
file = pillow_heif.from_pillow(large)
file.info["thumbnails"] = [320]
file.save("thumbnail.heic", quality=50, exif=exif.tobytes())
