r"""How answers are written, and how they are written alike: the table of :mod:`effrl.reward.normal`.

A rule changes the notation of a value and never the value. A new kind of answer is a new row, with an example.
"""

# ruff: noqa: RUF001 (signs that look like others are what this table is about)

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from effrl.reward.numerals import number_of_words, scaled


@dataclass(frozen=True, slots=True)
class Rule:
    """What a pattern matches is replaced."""

    name: str
    pattern: str
    change: str | Callable[[re.Match[str]], str]
    examples: dict[str, str]
    """Answers, and what all rules make of them."""

    def apply(self, answer: str) -> str:
        return re.sub(self.pattern, self.change, answer)


SIGNS = str.maketrans(
    {
        **dict.fromkeys("−‐‑–﹣－", "-"),
        **dict.fromkeys("\u00a0\u2006\u2007\u2009\u200a\u202f", r"\,"),
        **dict.fromkeys("\u200b\u200e\u200f\ufeff", ""),
        **dict.fromkeys("‘’ʹ′", "'"),
        **dict.fromkeys("“”", '"'),
        **dict.fromkeys("·⋅", r"\cdot "),
        **dict.fromkeys("⁄∕", "/"),
        "×": r"\times ",
        "÷": r"\div ",
        "∗": "*",
        "∞": r"\infty ",
        "≤": r"\le ",
        "≥": r"\ge ",
        "≠": r"\ne ",
        "≈": r"\approx ",
        "±": r"\pm ",
        "∪": r"\cup ",
        "∩": r"\cap ",
        "∈": r"\in ",
        "∅": r"\emptyset ",
        "ℝ": r"\mathbb{R}",
        "ℤ": r"\mathbb{Z}",
        "°": r"^{\circ}",
        "π": r"\pi ",
        "α": r"\alpha ",
        "β": r"\beta ",
        "γ": r"\gamma ",
        "θ": r"\theta ",
        "λ": r"\lambda ",
        "μ": r"\mu ",
        "φ": r"\phi ",
        "ω": r"\omega ",
        "。": ".",
        "、": ",",
    }
)
"""Signs of Unicode as LaTeX, or as the sign on the keyboard."""
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_ROOTS = {"√": r"\sqrt", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]"}
_LARGEST_POWER = 60
"""Digits that a power of ten may have when it is written out."""


def _vulgar(found: re.Match[str]) -> str:
    above, _, below = unicodedata.normalize("NFKC", found[0]).partition("⁄")
    return rf"\frac{{{above}}}{{{below}}}"


def _root(found: re.Match[str]) -> str:
    inside = next(part for part in found.groups()[1:] if part is not None)
    return f"{_ROOTS[found[1]]}{{{inside}}}"


def _power_of_ten(found: re.Match[str]) -> str:
    exponent = int(found[2].replace(" ", ""))
    return found[0] if abs(exponent) > _LARGEST_POWER else format(Decimal(found[1]).scaleb(exponent), "f")


def _repeating(found: re.Match[str]) -> str:
    sign, whole, fixed = found[1], found[2] or "0", found[3]
    repeated = next(part for part in found.groups()[3:] if part is not None)
    begin = int(whole + fixed)
    value = Fraction(int(whole + fixed + repeated) - begin, (10 ** len(repeated) - 1) * 10 ** len(fixed))
    above, below = value.as_integer_ratio()
    return f"{sign}{above}" if below == 1 else rf"{sign}\frac{{{above}}}{{{below}}}"


def _mixed(found: re.Match[str]) -> str:
    sign, *parts = found.groups()
    whole, above, below = (int(part) for part in parts if part is not None)
    return found[0] if below == 0 else rf"{sign}\frac{{{whole * below + above}}}{{{below}}}"


def _words(found: re.Match[str]) -> str:
    """A number in words, and what it counts after it."""
    words = found[0].split()
    for end in range(len(words), 0, -1):
        if (value := number_of_words(" ".join(words[:end]))) is not None:
            return " ".join([str(value), *words[end:]])
    return found[0]


_FONT = (
    r"\\(?:boldsymbol|p?mb|bm|underline|emph|[mf]box|boxed|math(?:bf|rm|it|sf|tt)|text(?:bf|it|rm|tt|sf|normal)?)\s*"
)
_DIGIT = r"\s?(?:\{ ?([0-9]+) ?\}|([0-9]))"
"""A part of a fraction: ``{12}``, or one digit without braces."""

UNICODE = (
    Rule("vulgar fractions", "[¼-¾⅐-⅞]", _vulgar, {"½": r"\frac{1}{2}", "2½": r"\frac{5}{2}"}),
    Rule("raised digits", "[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+", lambda found: f"^{{{found[0].translate(_RAISED)}}}", {"x²": "x^{2}"}),
    Rule("lowered digits", "[₀-₉]+", lambda found: f"_{{{found[0].translate(_LOWERED)}}}", {"x₁": "x_{1}"}),
    Rule(
        "wide forms, and digits of other scripts",
        r"[^\x00-\x7f]",
        lambda found: str(digit) if (digit := unicodedata.decimal(found[0], None)) is not None else _narrow(found[0]),
        {"４２％": "42%", "٤٢": "42"},
    ),
    Rule(
        "roots",
        r"([√∛∜])\s*(?:\{([^{}]*)\}|\(([^()]*)\)|([0-9]+(?:\.[0-9]+)?|[a-zA-Z]))",
        _root,
        {"2√5": r"2\sqrt{5}", "∛(x+1)": r"\sqrt[3]{x+1}"},
    ),
)
"""What is left of Unicode after :data:`SIGNS`."""


def _narrow(sign: str) -> str:
    return sign if sign in _ROOTS else unicodedata.normalize("NFKC", sign)


MARKUP = (
    Rule(
        "sizes",
        r"\\(?:left|right|[bB]igg?|displaystyle|textstyle|[lL]arge|bf|rm|it)(?![a-zA-Z])\s?|\\!",
        "",
        {r"\left(1,2\right)": "(1,2)", r"{\bf 46}": "46"},
    ),
    Rule("colours", r"\\(?:text)?color\s*\{\s*\w+\s*\}\s*", "", {r"\textcolor{red}{31}": "31"}),
    Rule("text of a numeral", r"\\(?:text|mathrm)\s*\{([0-9A-F]+)\}(?=\s?_)", r"\1", {r"\text{BEE}_{16}": "BEE_{16}"}),
    Rule(
        "fonts around a number",
        _FONT + r"\{\s*(\\?\$?[-+0-9.,/% ]*[0-9%][-+0-9.,/% ]*|\\?\$)\s*\}",
        r"\1",
        {r"\boldsymbol{46}": "46", r"\mathbf{4}6": "46"},
    ),
    Rule(
        "fonts around all of it",
        rf"^{_FONT}\{{([^{{}}]*(?:\{{[^{{}}]*\}}[^{{}}]*)*)\}}$",
        r"\1",
        {r"\boxed{x+1}": "x+1", r"\text{10:15}": "10:15", r"\text{5 apples}": "5 apples", r"\text{eleven}": "11"},
    ),
    Rule(
        "quotients of units",
        r"\\frac\{\s*\\(?:text|mathrm)\{([^{}]*)\}\s*\}\{\s*\\(?:text|mathrm)\{([^{}]*)\}\s*\}",
        r"\\text{\1/\2}",
        {r"80\frac{\text{km}}{\text{h}}": r"80\text{km/h}"},
    ),
    Rule(
        "signs of degrees",
        r"\\text\s*\{\s*\^\s*\{\\circ\s*\}\s*\}|\^\s?(?:\{\s?o\s?\}|o$)",
        r"^{\\circ}",
        {"90^o": r"90^{\circ}"},
    ),
    Rule("an upright i", r"\\mathrm\s*\{\s*i\s*\}", "i", {r"2+3\mathrm{i}": "2+3i"}),
    Rule("named opening braces", r"\\lbrace(?![a-zA-Z])\s?", r"\\{", {}),
    Rule("named closing braces", r"\\rbrace(?![a-zA-Z])\s?", r"\\}", {r"\lbrace 1,2\rbrace": r"\{1,2\}"}),
    Rule("names of fractions", r"\\[cdt]frac(?![a-zA-Z])", r"\\frac", {r"\cfrac{1}{2}": r"\frac{1}{2}"}),
    Rule(
        "fractions by over",
        r"^\{?\s*([^{}\\]+?)\s*\\over\s*([^{}\\]+?)\s*\}?$",
        r"\\frac{\1}{\2}",
        {r"{1 \over 2}": r"\frac{1}{2}"},
    ),
    Rule(
        "fractions in matrices",
        r"(?<=[&\\}\s])([0-9]+)/([0-9]+)(?=\s*(?:&|\\\\|\\end))",
        r"\\frac{\1}{\2}",
        {r"\begin{pmatrix}1/2&1\end{pmatrix}": r"\begin{pmatrix}\frac{1}{2}&1\end{pmatrix}"},
    ),
    Rule("degrees of roots", r"\\sqrt\s*(\[[^\[\]]*\])\s*(\w)", r"\\sqrt\1{\2}", {r"\sqrt[3]2": r"\sqrt[3]{2}"}),
    Rule("exponents without braces", r"\^\s?(-[0-9]+)", r"^{\1}", {"10^-3": "10^{-3}"}),
    Rule("exponents of one half", r"\^\s?\{\s?0?\.5\s?\}", r"^{\\frac{1}{2}}", {"2^{0.5}": r"2^{\frac{1}{2}}"}),
    Rule("names of angles", r"^m?\s?\\angle\s?(?=[A-Z])", "", {r"\angle A = 45": "A = 45"}),
    Rule("the empty set", r"\\varnothing|\\\{\s*\\\}", r"\\emptyset ", {r"\varnothing": r"\emptyset"}),
)

SPACES = (
    Rule("braces around a comma", r"\{\s*(,|\\[,;:! ])\s*\}", r"\1", {"12{,}345": "12345"}),
    Rule(
        "spaces of LaTeX",
        r"(?<!\\)\\[,;: ]|~|\\q?quad(?![a-zA-Z])|\\(?:thin|med|thick)space(?![a-zA-Z])|\\[hv]space\{[^{}]*\}|\s+",
        " ",
        {r"(1,\,2)": "(1, 2)", "1~cm": "1 cm"},
    ),
)

NUMBERS = (
    Rule("semicolons between numbers", r"\s?;", ",", {"(0; 3]": "(0, 3]"}),
    Rule(
        "separators of thousands",
        r"(?<![\w.,'(\[{\\])(?<![\w,'(\[{] )([1-9][0-9]{0,2}(?:([,' ])[0-9]{3})(?:\2[0-9]{3})*)"
        r"(?![\w']|[, ] ?[0-9])(?!\s?/)",
        lambda found: re.sub("[,' ]", "", found[1]),
        {"1,234.5": "1234.5", r"12\,345": "12345", "12'345": "12345", "(1,234)": "(1,234)", "1,234,5": "1,234,5"},
    ),
    Rule(
        "lakhs and crores",
        r"^([-+]?)([0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3})(?=\.|$)",
        lambda found: found[1] + found[2].replace(",", ""),
        {"12,34,567": "1234567"},
    ),
    Rule(
        "points of thousands",
        r"^([-+]?)([0-9]{1,3}(?:\.[0-9]{3}){2,})$",
        lambda found: found[1] + found[2].replace(".", ""),
        {"1.234.567": "1234567", "1.234": "1.234"},
    ),
    Rule(
        "decimal commas, where points or spaces separate thousands",
        r"^([-+]?(?:[€£]\s?)?)([0-9]{1,3}(?:\.[0-9]{3})+|[0-9]{4,}|[0-9]{1,3}(?: [0-9]{3})+)"
        r",([0-9]{1,2})(?=\s?[€£a-zA-Z]|$)",
        lambda found: f"{found[1]}{re.sub('[. ]', '', found[2])}.{found[3]}",
        {"12.345,67": "12345.67", "1.500,00 €": "1500.00 €", "12 345,67": "12345.67", "1,5": "1,5"},
    ),
    Rule(
        "powers of ten",
        r"(?<![\w.^{])([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s?(?:[eE]|(?:\\times|\\cdot|\*|x)\s?10\s?\^\s?(?=[-+{0-9]))"
        r"\{?\s?([-+]?\s?[0-9]{1,9})\s?\}?(?![\w.^])",
        _power_of_ten,
        {"2.5e-3": "0.0025", r"3 \times 10^5": "300000", "2×10⁻³": "0.002"},
    ),
    Rule(
        "dots over the first and the last digit",
        r"\\dot\s?\{?([0-9])\}?([0-9]*)\s?\\dot\s?\{?([0-9])\}?",
        r"\\overline{\1\2\3}",
        {r"0.\dot{4}\dot{5}": r"\frac{5}{11}"},
    ),
    Rule(
        "repeating decimals",
        r"(?<![\w.])(-?)([0-9]*)\.([0-9]*)(?:\\(?:overline|bar|dot)\s*(?:\{([0-9]+)\}|([0-9]))|\(([0-9]+)\))(?![\w.])",
        _repeating,
        {r"0.1\overline{6}": r"\frac{1}{6}", r"0.\overline{9}": "1", "0.(3)": r"\frac{1}{3}"},
    ),
    Rule(
        "mixed numbers",
        rf"(?<![\w.}}/^])(-?)\s?([0-9]+)(?: ?\\frac{_DIGIT}{_DIGIT}| ([0-9]+) ?/ ?([0-9]+))(?![\w/])",
        _mixed,
        {"3 1/2": r"\frac{7}{2}", r"-2\frac34": r"-\frac{11}{4}"},
    ),
)

WORDS = (
    Rule(
        "ordinals",
        r"\b([0-9]+)\s?(?:\^\s?\{?\s?)?(?:\\text\{\s?)?(?:st|nd|rd|th)\b(?:\s?\})*",
        r"\1",
        {"21st": "21", r"21^{\text{st}}": "21"},
    ),
    Rule("hours of the day", r"(?i)(?<![a-z])([ap])\.\s?m\b\.?", r"\1m", {"3:30 p.m.": "3:30 pm"}),
    Rule(
        "numbers in words", r"^[a-zA-Z][a-zA-Z -]*$", _words, {"forty-six": "46", "five apples": "5 apples", "no": "no"}
    ),
    Rule(
        "counts in words",
        r"([0-9]+(?:\.[0-9]+)?)\s*(\\text\s*\{\s*)?(hundred|thousand|million|billion|trillion)s?\b",
        lambda found: scaled(found[1], found[3]) + (found[2] or ""),
        {"1.5 million": "1500000"},
    ),
    Rule("empty text", r"\\(?:text|mathrm|mbox)\s*\{\s*\}", "", {r"3\text{ million}": "3000000"}),
)

RULES = (*UNICODE, *MARKUP, *SPACES, *NUMBERS, *WORDS)
"""In this order: each rule reads what those before it wrote."""
