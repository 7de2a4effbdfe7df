"""Draws pages of text, slides and screenshots, for the bench `image_types`.

    pip install pillow==12.0.0
    python benches/text_pages.py FOLDER [NUMBER_OF_EACH]

Each of the templates below is rendered by Chromium several times, with other words, fonts, sizes, colours and sizes of
the window. The name of a file begins with its template, so that a rule can be tested on templates that it was not
fitted to. CHROMIUM is the program that renders; /usr/bin/chromium by default.
"""

import html
import os
import pathlib
import random
import subprocess
import sys
import tempfile

from PIL import Image

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
SOURCES = sorted(pathlib.Path(__file__).resolve().parent.parent.glob("src/**/*.rs"))
WORDS = """the of and to a in is that for it as was with be by on not he his but at are this have from or had an they
which one you were all her she there would their we him been has when who will no more if out so up said what its about
than into them can only other time new some could these two may first then do any like my now over such our man me even
most made after also did many off before must well back through years much where your way down should because long each
just state people those too how little good world very year still see own work men day get here between both life being
under three never know same last another while us might great go come since against right came take used himself few
house use during without again place around however small found thought went say part once general high upon school
every water night system project number office report index picture memory value search folder file update result""".split()
FONTS = ["DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono", "Inter", "Liberation Sans", "Liberation Serif",
         "Liberation Sans Narrow", "Liberation Mono"]
SIZES = [(1280, 800), (1920, 1080), (1366, 768), (800, 600), (1024, 1400), (850, 1100), (390, 844), (412, 915), (768, 1024)]
SLIDES = [(1280, 720), (1024, 768), (1600, 900)]
PALETTES = [("#ffffff", "#1c1c1c", "#1a5fb4"), ("#fdf6e3", "#586e75", "#b58900"), ("#1e1e1e", "#d4d4d4", "#569cd6"),
            ("#0d1117", "#c9d1d9", "#58a6ff"), ("#f5f5f5", "#333333", "#d32f2f"), ("#282a36", "#f8f8f2", "#ff79c6"),
            ("#ffffff", "#000000", "#006633"), ("#eef3f8", "#203040", "#7a3fb0")]


def words(r, low, high):
    text = " ".join(r.choices(WORDS, k=r.randint(low, high)))
    return text[0].upper() + text[1:]


def sentence(r):
    return words(r, 6, 18) + "."


def paragraph(r):
    return " ".join(sentence(r) for _ in range(r.randint(3, 8)))


def article(r):
    body = "".join(f"<h2>{words(r, 2, 5)}</h2>" + "".join(f"<p>{paragraph(r)}</p>" for _ in range(r.randint(1, 4))) for _ in range(6))
    return f"<h1>{words(r, 3, 7)}</h1>{body}"


def columns(r):
    body = "".join(f"<p>{paragraph(r)}</p>" for _ in range(16))
    return f"<h1>{words(r, 3, 6)}</h1><div style='columns:{r.randint(2, 3)};column-gap:2em;text-align:justify'>{body}</div>"


def code(r):
    lines = r.choice(SOURCES).read_text().splitlines()
    start = r.randrange(max(1, len(lines) - 60))
    def line(n, text):
        shown = html.escape(text)
        for word in ("fn", "let", "pub", "use", "impl", "match", "self", "for", "if"):
            shown = shown.replace(word + " ", f"<b style='color:var(--a)'>{word}</b> ")
        return f"<span style='opacity:.5'>{n:4} </span>{shown}"
    return "<pre style='margin:0'>" + "\n".join(line(n, text) for n, text in enumerate(lines[start:start + 60], start + 1)) + "</pre>"


def table(r):
    columns = r.randint(3, 8)
    def cell():
        return r.choice([words(r, 1, 3), f"{r.uniform(0, 9999):.2f}", str(r.randint(0, 999))])
    rows = "".join("<tr>" + "".join(f"<td>{cell()}</td>" for _ in range(columns)) + "</tr>" for _ in range(30))
    head = "<tr>" + "".join(f"<th>{words(r, 1, 2)}</th>" for _ in range(columns)) + "</tr>"
    return f"<h2>{words(r, 2, 4)}</h2><style>td,th{{border:1px solid #8888;padding:.3em .6em}}table{{border-collapse:collapse}}tr:nth-child(odd){{background:#8882}}</style><table>{head}{rows}</table>"


def form(r):
    fields = "".join(f"<p><label>{words(r, 1, 3)}<br><input style='width:60%;font:inherit;padding:.3em' value='{words(r, 1, 3)}'></label></p>" for _ in range(8))
    return f"<h2>{words(r, 2, 4)}</h2>{fields}<p><input type=checkbox checked> {words(r, 4, 9)}</p><button style='background:var(--a);color:#fff;font:inherit;padding:.5em 1.5em;border:0;border-radius:4px'>{words(r, 1, 2)}</button>"


def slide(r):
    points = "".join(f"<li style='margin:.6em 0'>{words(r, 3, 9)}</li>" for _ in range(r.randint(3, 6)))
    bar = r.choice(["", "<div style='position:fixed;left:0;top:0;width:100%;height:.6em;background:var(--a)'></div>"])
    return f"{bar}<div style='font-size:{r.uniform(1.6, 2.6):.1f}em;padding:1em 2em'><h1 style='font-size:1.5em;color:var(--a)'>{words(r, 2, 5)}</h1><ul>{points}</ul></div>"


def title_slide(r):
    return f"<div style='text-align:center;padding-top:18%;font-size:2em'><h1 style='color:var(--a)'>{words(r, 3, 6)}</h1><p>{words(r, 4, 8)}</p><p><small>{words(r, 2, 4)}</small></p></div>"


def terminal(r):
    lines = []
    for _ in range(40):
        lines.append(r.choice([f"<span style='color:#4e9a06'>{r.choice(WORDS)}@host</span>:~$ {words(r, 1, 4).lower()}", sentence(r).lower(), f"-rw-r--r-- 1 {r.choice(WORDS)} {r.randint(10, 99999):6} {r.choice(WORDS)}.txt"]))
    return "<pre style='font-family:DejaVu Sans Mono;margin:0'>" + "\n".join(lines) + "</pre>"


def chat(r):
    def bubble():
        mine = r.random() < 0.5
        style = "background:var(--a);color:#fff;margin-left:auto" if mine else "background:#8883"
        return f"<div style='max-width:65%;width:fit-content;border-radius:1em;padding:.5em 1em;margin:.5em 0;{style}'>{words(r, 2, 20)}</div>"
    return "".join(bubble() for _ in range(14))


def settings(r):
    menu = "".join(f"<p>{words(r, 1, 2)}</p>" for _ in range(10))
    rows = "".join(f"<div style='display:flex;justify-content:space-between;border-bottom:1px solid #8884;padding:.8em 0'><span>{words(r, 2, 4)}<br><small style='opacity:.6'>{words(r, 5, 9)}</small></span><span style='width:2.6em;height:1.4em;border-radius:1em;background:{r.choice(['var(--a)', '#888'])}'></span></div>" for _ in range(9))
    return f"<div style='display:flex;gap:2em'><nav style='width:22%;background:#8882;padding:1em'>{menu}</nav><main style='flex:1'><h2>{words(r, 1, 3)}</h2>{rows}</main></div>"


def mail(r):
    rows = "".join(f"<div style='border-bottom:1px solid #8884;padding:.6em;display:flex;gap:1em'><b style='width:18%'>{words(r, 2, 2)}</b><span style='flex:1;white-space:nowrap;overflow:hidden'><b>{words(r, 2, 5)}</b> {sentence(r)}</span><span>{r.randint(1, 12)}:{r.randint(10, 59)}</span></div>" for _ in range(22))
    return f"<div style='background:var(--a);color:#fff;padding:1em;margin:-8px -8px 8px'>{words(r, 1, 2)}</div>{rows}"


def dashboard(r):
    def card():
        bars = "".join(f"<div style='flex:1;background:var(--a);height:{r.randint(10, 90)}%'></div>" for _ in range(8))
        return f"<div style='border:1px solid #8885;border-radius:8px;padding:1em;width:28%'><small>{words(r, 2, 3)}</small><h2>{r.randint(10, 99999)}</h2><div style='display:flex;align-items:end;gap:4px;height:5em'>{bars}</div><p>{sentence(r)}</p></div>"
    return f"<h1>{words(r, 2, 3)}</h1><div style='display:flex;flex-wrap:wrap;gap:1em'>{''.join(card() for _ in range(9))}</div>"


def receipt(r):
    lines = "".join(f"<div style='display:flex;justify-content:space-between'><span>{words(r, 1, 3).upper()}</span><span>{r.uniform(1, 99):.2f}</span></div>" for _ in range(r.randint(8, 22)))
    return f"<div style='width:20em;margin:1em auto;font-family:DejaVu Sans Mono;background:#fff;color:#222;padding:1em'><center><b>{words(r, 2, 3).upper()}</b><br>{words(r, 3, 5)}</center><hr>{lines}<hr><b>TOTAL {r.uniform(20, 400):.2f}</b></div>"


def editor(r):
    side = "".join(f"<div>{r.choice(WORDS)}.{r.choice(['rs', 'py', 'md'])}</div>" for _ in range(24))
    return f"<div style='display:flex'><div style='width:16%;background:#8882;padding:.5em'>{side}</div><div style='flex:1;padding:.5em;overflow:hidden'>{code(r)}</div></div>"


TEMPLATES = {"article": SIZES, "columns": SIZES, "code": SIZES, "table": SIZES, "form": SIZES, "slide": SLIDES, "title_slide": SLIDES,
             "terminal": SIZES, "chat": SIZES, "settings": SIZES, "mail": SIZES, "dashboard": SIZES, "receipt": SIZES[-5:], "editor": SIZES}


def page(r, template):
    paper, ink, accent = r.choice(PALETTES)
    font, size = r.choice(FONTS), r.randint(12, 22)
    style = f"body{{background:{paper};color:{ink};--a:{accent};font:{size}px/{r.uniform(1.2, 1.7):.2f} '{font}';margin:0;padding:{r.choice([8, 16, 40])}px}}h1,h2{{line-height:1.15}}"
    return f"<!doctype html><meta charset=utf-8><style>{style}</style><body>{globals()[template](r)}"


def main(folder, number):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        source, shot = pathlib.Path(scratch, "page.html"), pathlib.Path(scratch, "page.png")
        for at in range(number):
            for template, sizes in TEMPLATES.items():
                r = random.Random(f"{template} {at}")
                target = folder / f"{template}-{at:02}.png"
                width, height = r.choice(sizes)
                source.write_text(page(r, template))
                command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                           "--hide-scrollbars", f"--user-data-dir={scratch}/profile", f"--window-size={width},{height}",
                           f"--screenshot={shot}", source.as_uri()]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
                Image.open(shot).convert("RGB").save(target)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8)
