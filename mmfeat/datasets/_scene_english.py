"""English wording of what a caption says of a scene. The first word of a row is used most."""

_NOUNS = {
    "balloon": ("balloon/balloons",),
    "boat": ("boat/boats", "ship/ships", "sailing boat/sailing boats"),
    "butterfly": ("butterfly/butterflies", "moth/moths"),
    "car": ("car/cars", "automobile/automobiles"),
    "cat": ("cat/cats", "kitten/kittens", "cat face/cat faces"),
    "crown": ("crown/crowns", "royal crown/royal crowns"),
    "cup": ("cup/cups", "mug/mugs", "coffee cup/coffee cups"),
    "fish": ("fish/fish",),
    "flower": ("flower/flowers", "blossom/blossoms"),
    "frame": ("frame/frames", "square frame/square frames"),
    "heart": ("heart/hearts",),
    "house": ("house/houses", "cottage/cottages", "hut/huts"),
    "key": ("key/keys", "door key/door keys"),
    "kite": ("kite/kites",),
    "mushroom": ("mushroom/mushrooms", "toadstool/toadstools"),
    "ring": ("ring/rings", "hoop/hoops"),
    "rocket": ("rocket/rockets", "spaceship/spaceships"),
    "star": ("star/stars",),
    "tree": ("tree/trees",),
    "umbrella": ("umbrella/umbrellas", "parasol/parasols"),
    None: ("thing/things", "object/objects"),
}
_COLOURS = {
    **{
        "black": ("black", "jet-black"),
        "blue": ("blue",),
        "brown": ("brown", "chestnut"),
        "green": ("green", "emerald"),
    },
    **{"orange": ("orange",), "pink": ("pink", "rosy"), "purple": ("purple", "violet"), "red": ("red", "crimson")},
    **{"white": ("white", "snow-white"), "yellow": ("yellow", "golden")},
}
_TEXTURES = {
    "plain": ("plain", "plain", "solid"),
    "striped": ("striped", "stripy", " with stripes"),
    "dotted": ("dotted", "spotted", " with dots"),
    "checked": ("checked", "chequered", " with checks"),
}
_SIZES = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}
_NUMBERS = {1: ("a", "a", "one", "a single"), 2: ("two", "a pair of"), 3: ("three",), "several": ("several", "some")}
_RELATIONS = {
    "left": ("to the left of", "on the left of", "left of"),
    "right": ("to the right of", "on the right of", "right of"),
    "above": ("above", "over"),
    "below": ("below", "under", "beneath"),
    "inside": ("inside", "within", "in"),
    "around": ("around", "surrounding"),
}
_BACKGROUNDS = {
    "sky": ("in the sky", "in front of the clouds"),
    "meadow": ("on a meadow", "on the grass"),
    "sand": ("on the sand", "on a beach"),
    "night": ("at night", "in the dark"),
    "bricks": ("in front of a brick wall", "by some bricks"),
    "confetti": ("among confetti", "amid coloured specks"),
    "waves": ("on the water", "among waves"),
}
_OCCLUDED = (", partly hidden", ", partly covered")


def say_in_english(mention, rng):
    """Word a mention as one English sentence."""
    phrases = [_phrase(group, rng) for group in mention["groups"]]
    background = _pick(_BACKGROUNDS[mention["background"]], rng) if "background" in mention else ""
    in_front = bool(background) and rng.random() < 0.3
    sentence = _predicate(phrases, mention, rng)
    if in_front and not sentence.startswith("a picture"):
        sentence = f"{background}, {sentence}"
    elif background:
        sentence = f"{sentence} {background}"
    if "occluded" in mention:
        sentence += _pick(_OCCLUDED, rng)
    return sentence[0].upper() + sentence[1:] + "."


def _predicate(phrases, mention, rng):
    is_are = "is" if phrases[0].startswith(("a ", "an ", "one ")) else "are"
    if len(phrases) == 1:
        return (phrases[0], f"there {is_are} {phrases[0]}", f"a picture of {phrases[0]}")[int(rng.integers(3))]
    one, other = phrases
    if "relation" not in mention:
        return (f"{one} and {other}", f"{one} with {other}")[int(rng.integers(2))]
    between = _pick(_RELATIONS[mention["relation"]], rng)
    forms = (
        f"{one} {between} {other}",
        f"there {is_are} {one} {between} {other}",
        f"{one} {is_are} {between} {other}",
        f"{between} {other} there {is_are} {one}",
    )
    return forms[int(rng.integers(len(forms)))]


def _phrase(group, rng):
    singular, plural = _pick(_NOUNS[group.get("kind")], rng).split("/")
    texture = _pick(_TEXTURES[group["texture"]], rng) if "texture" in group else ""
    before, after = ("", texture) if texture.startswith(" ") else (texture, "")
    adjectives = [_pick(_SIZES[group["size"]], rng)] if "size" in group else []
    colour = [_pick(_COLOURS[group["colour"]], rng)] if "colour" in group else []
    described = [before, *colour] if group.get("texture") == "plain" or rng.random() < 0.4 else [*colour, before]
    words = [word for word in (*adjectives, *described, singular if group["count"] == 1 else plural) if word]
    number = _pick(_NUMBERS[group["count"]], rng)
    if number == "a" and words[0][0] in "aeiou":
        number = "an"
    return " ".join([number, *words]) + after


def _pick(options, rng):
    return options[0] if rng.random() < 0.35 else options[int(rng.integers(len(options)))]
