"""Names, phones and identities of synthetic people, drawn by position."""

from __future__ import annotations

import numpy as np

from connectors.sample.dice import Bools, Dice, Ints, Texts
from connectors.sample.facts import Names
from connectors.sample.text import digits, letters, take, text

_TOWNS = ("城关", "河西", "东关", "西关", "南岗", "北庄", "柳林", "石桥", "杨家", "马场")
_VILLAGES = ("李家", "王家", "上营", "下营", "前街", "后街", "新华", "胜利", "团结", "双井")
_MOBILE = np.array([13, 15, 17, 18, 19], dtype=np.int64)


def surnames(dice: Dice, stream: str, names: Names, at: Ints) -> Ints:
    """Index of a surname per position, by frequency."""
    draw = dice.below(f"{stream}.surname", at, int(names.weights[-1]))
    return np.searchsorted(names.weights, draw, side="right").astype(np.int64)


def full_names(dice: Dice, stream: str, names: Names, at: Ints, surname: Ints, male: Bools) -> tuple[Texts, Texts]:
    """(name, pinyin without blanks): a surname and one or two given characters fitting the sex."""
    name, sound = names.surnames[surname], names.surname_sounds[surname]
    two = dice.chance(f"{stream}.two", at, 780)
    for sex, mask in enumerate((male, ~male)):
        given, sounds = names.given[sex], names.given_sounds[sex]
        first = dice.below(f"{stream}.first", at[mask], len(given))
        second = dice.below(f"{stream}.second", at[mask], len(given))
        both = two[mask]
        name[mask] += given[first] + np.where(both, given[second], "")
        sound[mask] += sounds[first] + np.where(both, sounds[second], "")
    return name, sound


def phones(dice: Dice, stream: str, at: Ints) -> Texts:
    """Mobile numbers (YX16)."""
    draw = dice.draw(f"{stream}.phone", at)
    return text(digits(_MOBILE[draw % 5], 2), digits(draw // 5 % 10**9, 9))


def cards(dice: Dice, stream: str, at: Ints) -> Texts:
    """19-digit bank card numbers without a real issuer's check."""
    draw = dice.draw(f"{stream}.card", at)
    return text(letters("6200", len(at)), digits(draw % 10**15, 15))


def mails(dice: Dice, stream: str, at: Ints) -> Texts:
    """Mail addresses under a reserved domain."""
    return text(digits(dice.draw(f"{stream}.mail", at) % 10**9, 9), letters("@example.cn", len(at)))


def places(dice: Dice, stream: str, at: Ints) -> Texts:
    """Street addresses below the county."""
    towns = take(
        [f"{t}镇" for t in _TOWNS],
        dice.below(f"{stream}.t", at, 10),
    )
    villages = take(
        [f"{v}村" for v in _VILLAGES],
        dice.below(f"{stream}.v", at, 10),
    )
    houses = take([f"{n}号" for n in range(1, 300)], dice.below(f"{stream}.h", at, 299))
    result: Texts = towns + villages + houses
    return result
