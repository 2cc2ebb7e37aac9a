r"""Answers as models and data sets write them, and what a verifier must make of them.

Each row of the tables says why its value is right. ``same`` puts answers into a box: ``same(why, "15", right=("15
dollars",), wrong=("16 dollars",))``; ``said`` takes whole completions.
"""

from itertools import chain

from case import Case
from cases_later_values import LATER_VALUES
from cases_later_words import LATER_WORDS
from cases_of_choices import CHOICES
from cases_of_numbers import NUMBERS
from cases_of_places import PLACES, RUNNING_TEXT
from cases_of_quantities import MARKUP, QUANTITIES, WORDS
from cases_of_structures import STRUCTURES, WORK
from cases_unseen import UNSEEN

CASES: tuple[Case, ...] = tuple(
    chain.from_iterable(
        chain(
            QUANTITIES,
            NUMBERS,
            STRUCTURES,
            WORDS,
            MARKUP,
            WORK,
            PLACES,
            CHOICES,
            RUNNING_TEXT,
            UNSEEN,
            LATER_VALUES,
            LATER_WORDS,
        )
    )
)
