"""Units, money, degrees, percentages; words as answers; markup and marks around an answer."""

# ruff: noqa: RUF001 (signs that look alike are what this is about)

from case import said, same

QUANTITIES = [
    same(
        "a unit or a thing that is counted is no part of the value",
        "15",
        right=(
            "15 dollars",
            "15\\text{ dollars}",
            "15 \\text{ cm}",
            "15\\text{ cm}^2",
            "15 cm",
            "15\\,\\mathrm{km}",
            "15~\\text{km/h}",
            "15 \\text{ m/s}",
            "15 hours",
            "15 apples",
            "15\\mbox{ inches}",
            "15\\ \\text{students}",
            "15 \\text{ square units}",
            "15 \\text{ units}^2",
            "15\\text{ ways}",
            "15 minutes",
        ),
        wrong=("16 dollars", "150 \\text{ cm}", "1.5 cm", "-15 apples", "5 dollars", "16\\,\\mathrm{km}"),
    ),
    same(
        "a sign of money is no part of the value, before or after it",
        "40",
        right=(
            "$40",
            "\\$40",
            "\\$ 40",
            "€40",
            "40€",
            "40 €",
            "£40",
            "¥40",
            "₹40",
            "40\\text{ USD}",
            "40 euros",
            "\\text{\\$}40",
            "\\$40.00",
            "US\\$40",
        ),
        wrong=("€41", "£4", "\\$400", "¥0.40", "-\\$40", "₹39"),
    ),
    same(
        "money with cents is a decimal number",
        "18.50",
        right=("\\$18.50", "$18.5", "18.5 dollars", "€18.50"),
        wrong=("\\$18.05", "\\$1850", "€18"),
    ),
    same(
        "the sign of a debt stands on either side of the dollar",
        "-5",
        right=("-\\$5", "\\$-5", "−\\$5", "-5 dollars"),
        wrong=("\\$5", "5 dollars"),
    ),
    same(
        "degrees are a unit",
        "45",
        right=(
            "45°",
            "45^\\circ",
            "45^{\\circ}",
            "45\\degree",
            "45 degrees",
            "45 \\text{ degrees}",
            "45\\,^\\circ",
            "45 °",
            "45°C",
            "45^\\circ\\text{C}",
            "\\angle A = 45^\\circ",
        ),
        wrong=("46°", "4.5^\\circ", "45.5°", "90^\\circ", "-45°"),
    ),
    same("degrees in a label are a unit as well", "45°", right=("45", "45^\\circ", "45°", "45.0"), wrong=("46", "54°")),
    same(
        "units in a label are no part of its value", "15 \\text{ cm}", right=("15", "15 cm", "15.0"), wrong=("16", "51")
    ),
    same(
        "money in a label is a number",
        "\\$1,250.50",
        right=("1250.5", "1250.50", "$1250.50", "1,250.50 dollars"),
        wrong=("1250", "125.05", "1205.50"),
    ),
    same(
        "minutes in a label, as MATH writes them", "5\\text{ minutes}", right=("5", "5 minutes"), wrong=("6 minutes",)
    ),
    same(
        "a percentage is its hundredth", "0.42", right=("42\\%", "42%", "42.0\\%"), wrong=("43\\%", "4.2\\%", "420\\%")
    ),
    same(
        "asked for a percentage, people answer with the number before the sign",
        "20",
        right=("20\\%", "20%", "20 \\%"),
        wrong=("21\\%", "2\\%", "200%", "0.02\\%"),
    ),
    same(
        "a label with a percent sign is that percentage",
        "50\\%",
        right=("50\\%", "50%", "\\frac{1}{2}", "0.5"),
        wrong=("51%", "5\\%", "\\frac{1}{3}", "0.05"),
    ),
    same(
        "a quantity may be a fraction",
        "\\frac{3}{4}",
        right=("\\frac{3}{4} \\text{ cups}", "3/4 cup", "0.75 cups", "\\dfrac34\\text{ of the pizza}"),
        wrong=("\\frac{4}{3} \\text{ cups}", "3/5 cup"),
    ),
]

WORDS = [
    same(
        "letters are no factors",
        "cat",
        right=("cat", "Cat", "\\text{cat}", "``cat''", '"cat"', "\\mathrm{cat}", "\\textbf{cat}"),
        wrong=("act", "tac", "ca", "cats", "c a t s", "dog"),
    ),
    same("upper case neither", "BAD", right=("BAD", "bad", "\\text{BAD}"), wrong=("ABD", "DAB", "BADD", "BA")),
    same(
        "names of towns",
        "Rome",
        right=("\\text{Rome}", "rome", "**Rome**"),
        wrong=("more", "Romeo", "Paris", "\\text{more}"),
    ),
    same("strings of the tiny models", "qav", right=("qav",), wrong=("vqa", "qva", "qa", "qavv")),
    same("a yes is no no", "no", right=("No", "\\text{no}", "NO", "no."), wrong=("on", "yes", "none", "n", "0")),
    same(
        "truth values",
        "True",
        right=("true", "\\text{True}", "\\textbf{true}", "TRUE"),
        wrong=("False", "\\text{false}", "T", "1"),
    ),
    same(
        "names as MATH writes them",
        "\\text{Evelyn}",
        right=("Evelyn", "\\mbox{Evelyn}", "evelyn"),
        wrong=("Briana", "\\text{Evely}", "E"),
    ),
    same(
        "letters of options as MATH writes them",
        "\\text{(C)}",
        right=("C", "(C)", "\\textbf{(C)}", "\\text{C}", "\\mathrm{(C)}"),
        wrong=("D", "(B)", "A", "CC"),
    ),
    same("weekdays", "Monday", right=("\\text{Monday}", "monday"), wrong=("Tuesday", "Sunday", "\\text{dynamo}")),
    same(
        "numbers in a sentence are no answer to a name",
        "Room 12",
        right=("\\text{Room 12}", "room 12"),
        wrong=("Room 21", "12", "Room", "Moor 12"),
    ),
]

MARKUP = [
    same(
        "what makes a number bold or upright does not change it",
        "46",
        right=(
            "\\boldsymbol{46}",
            "\\mathbf{46}",
            "\\textbf{46}",
            "\\bm{46}",
            "\\mathrm{46}",
            "\\text{46}",
            "**46**",
            "*46*",
            "`46`",
            "\\mathbf{4}6",
            "{\\bf 46}",
            "\\displaystyle 46",
            "\\underline{46}",
            "\\boxed{46}",
            "\\large 46",
            "__46__",
        ),
        wrong=("\\boldsymbol{47}", "\\mathbf{64}", "**47**", "\\bm{-46}", "**4**6**5**"),
    ),
    same(
        "dollar signs and brackets of mathematics",
        "42",
        right=("$42$", "\\(42\\)", "\\[42\\]", "$$42$$", "{42}", "\\left(42\\right)"),
        wrong=("$43$", "\\(24\\)", "$$4$$"),
    ),
    same(
        "marks after the answer end a sentence",
        "42",
        right=("42,", "42.", "42;", "42 .", "42\\,", "42\\ ", "42\\;", "\\,42", " 42 ", "42\\quad", "42:"),
        wrong=("42,5", "43,", "4.2"),
    ),
    said(
        "bold numbers after the marker",
        "73",
        right=(
            "#### **73**",
            "#### *73*",
            "**#### 73**",
            "#### $73$",
            "#### 73 dollars",
            "#### $73.00",
            "#### \\boxed{73}",
            "#### 73.",
        ),
        wrong=("#### **37**", "#### 7**3**4", "#### 74."),
    ),
    said(
        "the box may be bold or in a formula",
        "73",
        right=(
            "**\\boxed{73}**",
            "$\\boxed{73}$",
            "\\[ \\boxed{73} \\]",
            "$$\\boxed{73}.$$",
            "**Answer:** $\\boxed{73}$",
            "\\( \\boxed{73} \\)",
            "\\boxed{\n73\n}",
        ),
        wrong=("**\\boxed{37}**", "$\\boxed{730}$"),
    ),
]
