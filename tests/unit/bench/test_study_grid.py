"""What a study may say, and which configs it stands for."""

from pathlib import Path

import pytest
from invented import STUDY, write_study

from effrl.errors import UserError
from tests.bench.grid import Cell, Study, fingerprint, read_study

STUDIES = sorted((Path(__file__).parents[2] / "bench" / "studies").glob("*.yaml"))


def read(folder: Path, *changes: tuple[str, str]) -> Study:
    text = STUDY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return read_study(write_study(folder, text))


def test_overrides_of_family_and_arm_win_in_that_order(tmp_path: Path) -> None:
    study = read(tmp_path, ("grpo: []", "grpo: [learn.lr=3e-5]"))
    assert study.config(Cell("strings", "grpo", 2)).learn.lr == 3e-5
    config = study.config(Cell("strings", "double", 2))
    assert (config.learn.lr, config.rollout.per_prompt, config.run.steps, config.run.seed) == (5e-5, 16, 20, 2)


def test_the_pairs_of_a_seed_are_run_together(tmp_path: Path) -> None:
    names = [cell.name for cell in read(tmp_path).cells()]
    assert len(names) == 18
    assert names[:4] == ["chain--grpo--1", "chain--renamed--1", "chain--double--1", "chain--grpo--2"]


def test_a_part_of_the_grid(tmp_path: Path) -> None:
    study = read(tmp_path)
    assert study.select("chain", "double", [3]) == [Cell("chain", "double", 3)]
    assert len(study.select(arm="double")) == 6
    with pytest.raises(UserError, match="no arm doubel; it has: grpo, renamed, double"):
        study.select(arm="doubel")
    with pytest.raises(UserError, match="no seed 4"):
        study.select(seeds=[1, 4])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("baseline: grpo", "baseline: gpro", "baseline 'gpro' is no arm; name one of: grpo, renamed, double"),
        ("[1, 2, 3]", "[]", "seeds"),
        ("[1, 2, 3]", "[1, 2, 1]", "name each seed once"),
        ("renamed:", "../renamed:", "arms"),
        ("renamed:", "re--named:", "arms"),
        ("name: invented", "name: a/b", "name"),
        ("purpose:", "porpoise:", "porpoise"),
        ("[rollout.per_prompt=16]", "[run.seed=7]", "run.seed is set by the study"),
        ("[run.steps=20]", "[run.dir=here]", "run.dir is set by the study"),
        ("baseline: grpo", "baseline: grpo\nmetric: reward/outcome_mean", "metric"),
        (
            "baseline: grpo",
            "baseline: grpo\ncurve: {over: rollouts, series: {all: {16: dubble}}}",
            "curve: dubble is no arm",
        ),
        ("seeds:", "seeds: [", "is not YAML"),
        ("baseline: grpo", "baseline: grpo\nceiling: dubble", "dubble is no arm"),
        ("baseline: grpo", "baseline: grpo\nfewer: {dubble: [1]}", "dubble is no arm"),
        ("baseline: grpo", "baseline: grpo\nfewer: {double: [1, 4]}", "fewer: 4 is none of the study's seeds"),
    ],
)
def test_what_would_be_unfair_or_unsafe_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, (old, new))


def test_a_missing_study(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the study"):
        read_study(tmp_path / "none.yaml")


def test_an_override_that_does_not_fit_names_its_cell(tmp_path: Path) -> None:
    study = read(tmp_path, ("rollout.per_prompt=16", "rollout.per_promt=16"))
    with pytest.raises(UserError, match=r"chain--double--1: .*did you mean 'rollout.per_prompt'"):
        study.config(Cell("chain", "double", 1))


def test_missing_files_are_one_line_with_what_makes_them(tmp_path: Path) -> None:
    made, missing = tmp_path / "made", tmp_path / "missing"
    made.touch()
    study = read(
        tmp_path, ("baseline: grpo", f"baseline: grpo\nneeds: {{{made}: make it, {missing}: python fetch.py}}")
    )
    with pytest.raises(UserError) as caught:
        study.check_needs()
    assert str(caught.value) == f"invented is skipped: it needs {missing}, made by python fetch.py"
    missing.touch()
    study.check_needs()


def test_the_fingerprint_is_that_of_what_is_computed(tmp_path: Path) -> None:
    study = read(tmp_path)
    config = study.config(Cell("chain", "grpo", 1))
    elsewhere = config.model_copy(update={"run": config.run.model_copy(update={"dir": tmp_path})})
    assert fingerprint(config) == fingerprint(elsewhere) == fingerprint(study.config(Cell("chain", "renamed", 1)))
    others = [study.config(cell) for cell in study.cells() if cell.arm != "renamed"]
    assert len({fingerprint(other) for other in others}) == len(others)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_of_the_repository_is_sound(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])  # a recipe of theirs is named from the root
    study = read_study(path)
    assert study.name == path.stem
    for cell in study.select(seeds=[study.seeds[0]]):
        assert study.config(cell).run.seed == cell.seed
