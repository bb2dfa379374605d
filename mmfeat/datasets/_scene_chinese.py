"""Chinese wording of what a caption says of a scene.

The first word of a row is used most; nouns begin with their measure word.
"""

_NOUNS = {
    "balloon": ("个气球", "只气球"),
    "boat": ("条船", "艘帆船", "只船儿"),
    "butterfly": ("只蝴蝶", "只飞蛾"),
    "car": ("辆汽车", "辆轿车", "辆车子"),
    "cat": ("只猫", "只猫咪", "张猫脸"),
    "crown": ("顶王冠", "顶皇冠"),
    "cup": ("个杯子", "只茶杯", "个马克杯"),
    "fish": ("条鱼", "条鱼儿"),
    "flower": ("朵花", "朵花儿", "朵鲜花"),
    "frame": ("个方框", "个框子"),
    "heart": ("颗爱心", "个心形"),
    "house": ("座房子", "栋房屋", "间屋子"),
    "key": ("把钥匙",),
    "kite": ("只风筝",),
    "mushroom": ("个蘑菇", "朵蘑菇", "朵伞菌"),
    "ring": ("个圆环", "个圆圈"),
    "rocket": ("枚火箭", "艘飞船"),
    "star": ("颗星星", "颗五角星"),
    "tree": ("棵树", "棵树木"),
    "umbrella": ("把雨伞", "把伞", "把阳伞"),
    None: ("个东西", "个物体"),
}
_COLOURS = {
    **{"black": ("黑色", "乌黑"), "blue": ("蓝色",), "brown": ("棕色", "褐色"), "green": ("绿色", "翠绿")},
    **{"orange": ("橙色", "橘色"), "pink": ("粉色", "粉红色"), "purple": ("紫色", "紫罗兰色"), "red": ("红色", "鲜红")},
    **{"white": ("白色", "雪白"), "yellow": ("黄色", "金黄")},
}
_TEXTURES = {
    "plain": ("纯色", "单色"),
    "striped": ("条纹", "带条纹"),
    "dotted": ("圆点", "带斑点"),
    "checked": ("格子", "带方格"),
}
_SIZES = {"small": ("小", "小小", "很小"), "large": ("大", "巨大", "很大")}
_NUMBERS = {1: ("一",), 2: ("两",), 3: ("三",), "several": ("几", "好几")}
_RELATIONS = {
    "left": ("左边", "左侧", "左面"),
    "right": ("右边", "右侧", "右面"),
    "above": ("上方", "上面"),
    "below": ("下方", "下面"),
    "inside": ("里面", "中间"),
    "around": ("周围", "外面"),
}
_BACKGROUNDS = {
    "sky": ("天空中", "云层前"),
    "meadow": ("草地上", "草坪上"),
    "sand": ("沙滩上", "沙地上"),
    "night": ("夜里", "黑夜中"),
    "bricks": ("砖墙前", "一面砖墙前"),
    "confetti": ("彩色纸屑中", "彩色斑点中"),
    "waves": ("水面上", "波浪中"),
}
_OCCLUDED = ("，被遮住了一部分", "，有一部分被挡住")


def say_in_chinese(mention, rng):
    """Word a mention as one Chinese sentence."""
    phrases = [_phrase(group, rng) for group in mention["groups"]]
    background = _pick(_BACKGROUNDS[mention["background"]], rng) if "background" in mention else ""
    occluded = _pick(_OCCLUDED, rng) if "occluded" in mention else ""
    return background + _predicate(phrases, mention, bool(background), rng) + occluded + "。"


def _predicate(phrases, mention, placed, rng):
    if len(phrases) == 1 or "relation" not in mention:
        named = _pick(("和", "与"), rng).join(phrases)
        return ("有" if placed else _pick(("", "图中有", "画面上有"), rng)) + named
    one, other = phrases
    between = _pick(_RELATIONS[mention["relation"]], rng)
    forms = (f"{one}在{other}的{between}", f"{other}的{between}有{one}", f"{one}位于{other}{between}")
    return ("，" if placed else "") + forms[int(rng.integers(len(forms)))]


def _phrase(group, rng):
    counted = _pick(_NOUNS[group.get("kind")], rng)
    measure, noun = counted[0], counted[1:]
    texture = _pick(_TEXTURES[group["texture"]], rng) if "texture" in group else ""
    colour = _pick(_COLOURS[group["colour"]], rng) if "colour" in group else ""
    size = _pick(_SIZES[group["size"]], rng) if "size" in group else ""
    # One or two particles at most: "红色条纹星星", "小小的红色星星", "红色的大星星".
    in_front = f"{size}的" if len(size) > 1 else ""
    at_end = size if len(size) == 1 else ""
    described = colour + texture
    if described and (not in_front or rng.random() < 0.4):
        described += "的"
    return _pick(_NUMBERS[group["count"]], rng) + measure + in_front + described + at_end + noun


def _pick(options, rng):
    return options[0] if rng.random() < 0.35 else options[int(rng.integers(len(options)))]
