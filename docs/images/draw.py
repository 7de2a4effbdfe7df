"""Draws the pictures of the contact sheet, seven kinds in six themes, as SVG files: python3 draw.py DIRECTORY"""
import math
import pathlib
import sys

NAMES = "sky sun far mid near main alt pale fur".split()
# A theme is nine colours, the place of the sun, and where the subject stands: x, y and scale (negative is mirrored).
# The layouts differ so that pictures of one kind are alike, but not copies.
THEMES = {
    "day": ("#bfe3f2 #ffd35c #9fd0b0 #62a980 #2f6f5e #e4572e #f3a712 #fff8ea #e39a4f", 376, [(210, 0, 1)]),
    "dawn": ("#ffdcc4 #ff8c61 #e0a09a #a9688a #5b3a5e #3d7ea6 #f2c14e #fff3e6 #8d8794", 110,
             [(368, -34, 0.5), (184, 0, 0.92)]),
    "dusk": ("#65549a #ffb86b #7d5fa0 #4b3a78 #2a2050 #ff6f61 #ffd08a #ffe9cf #3a3350", 130, [(265, 4, -1.1)]),
    "mint": ("#d8f1e4 #f7b538 #a3d9c9 #5fb0a6 #28666e #c44569 #f8a5c2 #fffdf5 #f4ede1", 300,
             [(124, -30, -0.55), (310, 4, -0.9)]),
    "night": ("#22395f #f4f1de #3a5a80 #2b4768 #14233f #e9c46a #e76f51 #e8eef5 #b9a48c", 360, [(190, 2, 1.05)]),
    "autumn": ("#fbe6c2 #e76f51 #ecbd77 #cf8440 #7a4419 #2a7f86 #d1495b #fffaf0 #b5633a", 120, [(280, 2, -1)]),
}


def ridge(colour, y, height, length, phase):
    points = " ".join(f"L{x} {y - height * math.sin(x / length + phase):.0f}" for x in range(0, 481, 8))
    return f"{colour} M0 360 {points} L480 360Z;"


def svg(drawing, colour_of):
    """SVG of `colour path` items, filled, and `colour:width path` items, lines (dots where the path has no length)."""
    elements = []
    for style, path in (item.split(maxsplit=1) for item in drawing.split(";") if item.strip()):
        name, _, width = style.partition(":")
        paint = f'fill="none" stroke-linecap="round" stroke-width="{width}" stroke' if width else "fill"
        elements.append(f'<path {paint}="{colour_of[name]}" d="{path}"/>')
    return "".join(elements)


SUN = "halo:168 MSUN 105h0; halo:124 MSUN 105h0; sun:84 MSUN 105h0;"
CLOUDS = """pale M68 83a14 14 0 0 1 6-27a22 22 0 0 1 40-5a18 18 0 0 1 28 14a9 9 0 0 1 3 18Z;
    pale M366 140a11 11 0 0 1 5-20a17 17 0 0 1 30-4a13 13 0 0 1 20 11a7 7 0 0 1 2 13Z;"""
# A kind is the background, the subject with its foot at (0, 0), the height of the foot, and the foreground.
KINDS = {
    "peak": (SUN + "far M-20 330L100 140L190 250L330 84L520 330Z; pale M330 84L270 155L298 150L322 174L346 148L385 156"
             "M100 140L66 194L84 184L98 200L114 186L140 189Z;" + ridge("mid", 270, 24, 80, 2.2), """
        near M0-96L24-54H11L34-20H6V8H-6V-20H-34L-11-54H-24Z; near M50-46L64-20H57L70 0H54V17H46V0H30L43-20H36Z;
        near M-62-65L-43-31H-53L-35-4H-57V18H-67V-4H-89L-71-31H-81Z""", 312, ridge("near", 318, 12, 90, 1)),
    "boat": (SUN + CLOUDS + ridge("far", 232, 22, 62, 2.6) + ridge("mid", 252, 0, 50, 0), """
        pale M8-178Q78-100 92-22H8Z; alt M-8-150Q-50-80-76-22H-8Z; main M-3-198l-30 9l30 9ZM8-92H64L76-66H8Z;
        near M-3-198H3V-8H-3Z; main M-100-10H104L74 44H-66Z; pale M-95-2H99L94 8H-89Z""", 284,
             ridge("near", 316, 5, 17, 0) + "far:3 M64 338h50M210 346h60M364 336h46"),
    "house": (SUN + ridge("far", 245, 40, 70, 0.6) + ridge("mid", 285, 18, 95, 2.4) + ridge("near", 304, 6, 120, 1), """
        mid M104-150a40 46 0 0 1 8 92v64h-12v-64a40 46 0 0 1 4-92Z; alt M34-176h22v60h-22Z; pale M-84-104H76V6H-84Z;
        main M-104-98L-4-184L96-98Z; alt M-22 6v-56a18 18 0 0 1 36 0V6Z; pale:26 M-4-130h0;
        sky M-68-76h34v34h-34ZM28-76h34v34h-34Z; near:3 M-51-76v34M-68-59h34M45-76v34M28-59h34""", 306, ""),
    "fish": (ridge("far", 290, 22, 60, 0.5) + ridge("mid", 325, 14, 50, 2) + """
        near:9 M50 360q-22-40 0-70t0-60M82 360q18-30 0-56t0-40M420 360q-22-40 0-66t0-50;
        pale:16 M420 60h0M52 110h0; pale:11 M398 104h0M74 70h0;""", """
        alt M-74-70L-132-116Q-118-70-132-24ZM-20-112Q14-160 54-130L40-104ZM-6-30Q10 0 36-4L34-34Z;
        main M-92-70Q-30-136 40-120Q96-104 108-70Q96-36 40-20Q-30-4-92-70Z; pale:24 M78-82h0; near:12 M81-82h0;
        pale M-30-111Q-10-70-30-29L-10-22Q12-70-10-118ZM22-122Q44-70 22-18L38-19Q60-70 38-121Z""", 246, ""),
    "mug": ("halo:220 MSUN 150h0;" + ridge("mid", 278, 0, 9, 0) + ridge("near", 336, 0, 9, 0), """
        pale M-104 0H104Q90 18 60 18H-60Q-90 18-104 0Z; main:18 M66-104h22a28 28 0 0 1 0 64h-28;
        main M-76-132H76V-40Q76 4 32 4H-32Q-76 4-76-40Z; alt M-76-96H76V-62H-76Z;
        fur M-76-132a76 13 0 0 1 152 0a76 13 0 0 1-152 0;
        pale:7 M-28-160q-16-18 0-34t0-34M4-160q-16-18 0-34t0-34M36-160q-16-18 0-34t0-34""", 286, ""),
    "balloon": (SUN + CLOUDS + ridge("far", 310, 24, 55, 0.4) + ridge("mid", 338, 10, 75, 2), """
        near:2.5 M-40-72L-16-18M40-72L16-18M0-60V-18; fur M-20-20H20L15 10H-15Z;
        main M0-252a92 92 0 0 1 92 92Q88-116 30-62H-30Q-88-116-92-160a92 92 0 0 1 92-92Z;
        pale M0-252Q-62-232-62-160Q-58-110-20-62H20Q58-110 62-160Q62-232 0-252Z;
        alt M0-252Q-28-232-28-160Q-26-110-10-62H10Q26-110 28-160Q28-232 0-252Z""", 296, ""),
    "cat": ("far:300 M240 182h0;", """
        fur M-84 80Q-84-30 0-30T84 80Z; fur M-86-110L-84-204L-30-170H30L84-204L86-110Q86-34 0-34T-86-110Z;
        alt M-74-154L-73-184L-48-168ZM74-154L73-184L48-168Z; pale M-36-66a36 24 0 0 1 72 0a36 24 0 0 1-72 0;
        pale:32 M-38-112h0M38-112h0; near M-38-127q14 15 0 30q-14-15 0-30M38-127q14 15 0 30q-14-15 0-30;
        main M-10-82H10L0-70ZM-50-28Q0-10 50-28L44-10Q0 6-44-10Z;
        near:3 M0-70v6q-8 10-18 4M0-64q8 10 18 4M-52-74l-52-10M-52-64l-52 4M52-74l52-10M52-64l52 4""", 300, ""),
}

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for theme, (colours, sun, places) in THEMES.items():
    colour_of = dict(zip(NAMES, colours.split()))
    colour_of["halo"] = colour_of["sun"] + "40"
    for kind, (behind, subject, foot, before) in KINDS.items():
        subjects = "".join(f'<g transform="translate({x} {foot + y}) scale({scale} {abs(scale)})">'
                           f"{svg(subject, colour_of)}</g>" for x, y, scale in places)
        background = svg("sky M0 0H480V360H0Z;" + behind.replace("SUN", str(sun)), colour_of)
        picture = f"{background}{subjects}{svg(before, colour_of)}"
        (folder / f"{kind}-{theme}.svg").write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="40 0 400 360">{picture}</svg>\n', encoding="utf-8")
