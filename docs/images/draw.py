"""Draws the pictures of the contact sheet, seven kinds in six themes, as SVG files: python3 draw.py DIRECTORY"""
import math
import pathlib
import sys

NAMES = "sky sun far middle near main second pale fur".split()
# A theme is nine colours, the place of the sun, and where the subject stands: x, y and scale (negative is mirrored).
# The layouts differ so that pictures of one kind are alike, but not copies.
THEMES = {
    "day": ("#bfe3f2 #ffd35c #9fd0b0 #62a980 #2f6f5e #e4572e #f3a712 #fff8ea #e39a4f", 390, [(210, 0, 1)]),
    "dawn": ("#ffdcc4 #ff8c61 #e0a09a #a9688a #5b3a5e #3d7ea6 #f2c14e #fff3e6 #8d8794", 110,
             [(385, -34, 0.5), (200, 0, 0.9)]),
    "dusk": ("#65549a #ffb86b #7d5fa0 #4b3a78 #2a2050 #ff6f61 #ffd08a #ffe9cf #3a3350", 130, [(265, 4, -1.1)]),
    "mint": ("#d8f1e4 #f7b538 #a3d9c9 #5fb0a6 #28666e #c44569 #f8a5c2 #fffdf5 #f4ede1", 300,
             [(115, -30, -0.55), (310, 4, -0.9)]),
    "night": ("#22395f #f4f1de #3a5a80 #2b4768 #14233f #e9c46a #e76f51 #e8eef5 #b9a48c", 360, [(190, 2, 1.05)]),
    "autumn": ("#fbe6c2 #e76f51 #ecbd77 #cf8440 #7a4419 #2a7f86 #d1495b #fffaf0 #b5633a", 120, [(280, 2, -1)]),
}


def ridge(name, y, height, length, phase):
    points = " ".join(f"L{x} {y - height * math.sin(x / length + phase):.0f}" for x in range(0, 481, 8))
    return f'<path class="{name}" d="M0 360 {points} L480 360Z"/>'


SUN = "".join(f'<circle class="sun" cx="SUN" cy="105" r="{r}" opacity="{o}"/>' for r, o in ((84, .2), (62, .3), (42, 1)))
CLOUDS = "".join(f'<path class="pale" opacity=".85" transform="translate({place})" '
                 'd="M-50 16a18 18 0 0 1 8-34a28 28 0 0 1 50-6a22 22 0 0 1 34 18a11 11 0 0 1 4 22Z"/>'
                 for place in ("90 70) scale(.8", "410 130) scale(.6"))
PINES = "".join(f'<path class="near" transform="translate({place})" d="M0-96L24-54H11L34-20H6V8H-6V-20H-34L-11-54H-24Z"/>'
                for place in ("0 0", "-62 12) scale(.8", "50 12) scale(.6"))
# A kind is the background, the subject with its foot at (0, 0), the height of the foot, and the foreground.
KINDS = {
    "mountain": (SUN + '<path class="far" d="M-20 330L100 140L190 250L330 84L520 330Z"/>'
                 '<path class="pale" d="M100 140L66 194L84 184L98 200L114 186L140 189ZM330 84L270 155L298 150L322 174L346 148L385 156Z"/>'
                 + ridge("middle", 270, 24, 80, 2.2), PINES, 312, ridge("near", 318, 12, 90, 1)),
    "boat": (SUN + CLOUDS + ridge("far", 232, 22, 62, 2.6) + ridge("middle", 252, 0, 50, 0),
             '<path class="pale" d="M8-178Q78-100 92-22H8Z"/><path class="second" d="M-8-150Q-50-80-76-22H-8Z"/>'
             '<path class="main" d="M-3-198l-30 9l30 9ZM8-92L64-92L76-66H8Z"/><path class="near" d="M-3-198H3V-8H-3Z"/>'
             '<path class="main" d="M-100-10H104L74 44H-66Z"/><path class="pale" d="M-95-2H99L94 8H-89Z"/>', 284,
             ridge("near", 316, 5, 17, 0) + '<path class="far-line" stroke-width="3" d="M40 338h50M210 346h60M370 336h46"/>'),
    "house": (SUN + ridge("far", 245, 40, 70, 0.6) + ridge("middle", 285, 18, 95, 2.4) + ridge("near", 304, 6, 120, 1),
              '<path class="middle" d="M104-150a40 46 0 0 1 8 92v64h-12v-64a40 46 0 0 1 4-92Z"/>'
              '<path class="second" d="M34-176h22v60h-22Z"/><path class="pale" d="M-84-104H76V6H-84Z"/>'
              '<path class="main" d="M-104-98L-4-184L96-98Z"/><path class="second" d="M-22 6v-56a18 18 0 0 1 36 0V6Z"/>'
              '<path class="sky" d="M-68-76h34v34h-34ZM28-76h34v34h-34Z"/><circle class="pale" cx="-4" cy="-130" r="13"/>'
              '<path class="near-line" stroke-width="3" d="M-51-76v34M-68-59h34M45-76v34M28-59h34"/>', 306, ""),
    "fish": (ridge("far", 290, 22, 60, 0.5) + ridge("middle", 325, 14, 50, 2) + '<path class="near-line" stroke-width="9" '
             'd="M50 360q-22-40 0-70t0-60M82 360q18-30 0-56t0-40M430 360q-22-40 0-66t0-50"/>'
             '<path class="pale-line" stroke-width="16" opacity=".7" d="M420 60h0M398 104h0M52 110h0M74 70h0"/>',
             '<path class="second" d="M-74-70L-132-116Q-118-70-132-24ZM-20-112Q14-160 54-130L40-104ZM-6-30Q10 0 36-4L34-34Z"/>'
             '<path class="main" d="M-92-70Q-30-136 40-120Q96-104 108-70Q96-36 40-20Q-30-4-92-70Z"/>'
             '<path class="pale" d="M-30-111Q-10-70-30-29L-10-22Q12-70-10-118ZM22-122Q44-70 22-18L38-19Q60-70 38-121Z"/>'
             '<circle class="pale" cx="78" cy="-82" r="12"/><circle class="near" cx="81" cy="-82" r="6"/>', 246, ""),
    "mug": ('<circle class="far" cx="SUN" cy="150" r="110" opacity=".5"/>' + ridge("middle", 278, 0, 9, 0)
            + ridge("near", 336, 0, 9, 0),
            '<path class="pale" d="M-104 0H104Q90 18 60 18H-60Q-90 18-104 0Z"/><path class="main-line" stroke-width="18" '
            'd="M66-104h22a28 28 0 0 1 0 64h-28"/><path class="main" d="M-76-132H76V-40Q76 4 32 4H-32Q-76 4-76-40Z"/>'
            '<path class="second" d="M-76-96H76V-62H-76Z"/><ellipse class="fur" cx="0" cy="-132" rx="76" ry="13"/><path '
            'class="pale-line" stroke-width="7" d="M-28-160q-16-18 0-34t0-34M4-160q-16-18 0-34t0-34M36-160q-16-18 0-34t0-34"/>',
            286, ""),
    "balloon": (SUN + CLOUDS + ridge("far", 310, 24, 55, 0.4) + ridge("middle", 338, 10, 75, 2),
                '<path class="near-line" stroke-width="2.5" d="M-40-72L-16-18M40-72L16-18M0-60V-18"/>'
                '<path class="main" d="M0-252a92 92 0 0 1 92 92Q88-116 30-62H-30Q-88-116-92-160a92 92 0 0 1 92-92Z"/>'
                '<path class="pale" d="M0-252Q-62-232-62-160Q-58-110-20-62H20Q58-110 62-160Q62-232 0-252Z"/>'
                '<path class="second" d="M0-252Q-28-232-28-160Q-26-110-10-62H10Q26-110 28-160Q28-232 0-252Z"/>'
                '<path class="fur" d="M-20-20H20L15 10H-15Z"/>', 296, ""),
    "cat": ('<circle class="far" cx="240" cy="170" r="150"/>',
            '<path class="fur" d="M-84 80Q-84-30 0-30T84 80Z"/>'
            '<path class="fur" d="M-86-110L-84-204L-30-170H30L84-204L86-110Q86-34 0-34T-86-110Z"/>'
            '<path class="second" d="M-74-154L-73-184L-48-168ZM74-154L73-184L48-168Z"/>'
            '<ellipse class="pale" cx="0" cy="-66" rx="36" ry="24"/><path class="pale-line" stroke-width="32" '
            'd="M-38-112h0M38-112h0"/><path class="near" d="M-38-127q14 15 0 30q-14-15 0-30M38-127q14 15 0 30q-14-15 0-30"/>'
            '<path class="main" d="M-10-82H10L0-70ZM-50-28Q0-10 50-28L44-10Q0 6-44-10Z"/><path class="near-line" '
            'stroke-width="3" d="M0-70v6q-8 10-18 4M0-64q8 10 18 4M-52-74L-104-84M-52-64L-104-60M52-74L104-84M52-64L104-60"/>',
            300, ""),
}

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for theme, (colours, sun, places) in THEMES.items():
    style = "".join(f".{name}{{fill:{colour}}}.{name}-line{{fill:none;stroke:{colour};stroke-linecap:round}}"
                    for name, colour in zip(NAMES, colours.split()))
    for kind, (behind, subject, foot, before) in KINDS.items():
        subjects = "".join(f'<g transform="translate({x} {foot + y}) scale({s} {abs(s)})">{subject}</g>' for x, y, s in places)
        svg = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 480 360"><style>{style}</style>'
               f'<path class="sky" d="M0 0H480V360H0Z"/>{behind}{subjects}{before}</svg>\n').replace("SUN", str(sun))
        (folder / f"{kind}-{theme}.svg").write_text(svg, encoding="utf-8")
