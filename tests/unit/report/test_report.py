import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fake_run import group, rewarded, rollout, write_lines, write_run
from written import write

from effrl.errors import UserError
from effrl.report.page import write_report
from effrl.run import metrics
from effrl.run.checkpoint import Checkpoints

VOID = {"meta", "br", "img", "link", "hr"}


class Page(HTMLParser):
    """Checks that tags are balanced, and keeps the text and what could reach the network or run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def report(tmp_path: Path, *runs: Path) -> Page:
    out = tmp_path / "out" / "report.html"
    write_report(runs, out)
    html = out.read_text(encoding="utf-8")
    page = Page(html)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert all(link.startswith("#") for link in page.links), "nothing outside the page"
    assert "@import" not in html and not re.search(r"url\((?!#)", html)
    return page


def edit(run: Path, **changes: Any) -> None:
    """Set a metric in every row of a run."""
    rows = [{**row, **changes} for row in metrics.read(run / "metrics.jsonl")]
    write_lines(run / "metrics.jsonl", rows)


def test_one_run(tmp_path: Path) -> None:
    page = report(tmp_path, write_run(tmp_path / "quickstart", 12))
    for words in ("all 12 steps done", "0.301 → 0.434", "+0.133", "3,072", "384", "all 12 verified"):
        assert words in page.text
    for title in ("Reward", "Evaluation", "Rollouts", "Tokens", "Time by stage", "Groups by fate", "Memory by role"):
        assert title in page.text
    assert page.tags.count("svg") == 11
    assert page.text.count("Step ") == 3 and "Step 1 " in page.text and "Step 7 " in page.text
    assert "12+34=46;46-7=39;#39" in page.text
    assert "per_prompt: 8" in page.text


def test_what_was_rolled_out_to_choose_and_to_label_is_counted_by_itself(tmp_path: Path) -> None:
    run = write_run(tmp_path / "quickstart", 12)
    assert "Rollouts to choose or label" not in report(tmp_path, run).text
    edit(run, **{"scout/rollouts": 10, "scout/tokens": 100, "prepare/rollouts": 1, "prepare/tokens": 2_000_000})
    page = report(tmp_path, run)
    assert "Rollouts 3,072" in page.text and "Rollouts to choose or label 143" in page.text  # 13 rows, the base's too
    assert "Tokens 26" in page.text


def test_plots_take_their_colours_from_the_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "quickstart", 12)
    write_report([run], tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text()
    svgs = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert "prefers-color-scheme: dark" in html
    assert set(re.findall(r"(?:fill|stroke): ([^;\"]+)", svgs)) <= {"none"} | set(re.findall(r"var\(--\w+\)", svgs))
    used = set(re.findall(r"var\(--(\w+)\)", svgs))
    assert {"c0", "ink", "faint", "grid"} - {"ink"} <= used
    defined = re.findall(r"--(\w+):", html)
    assert all(defined.count(name) >= 2 for name in used), "each colour is defined for light and dark"


def test_several_runs_are_compared(tmp_path: Path) -> None:
    done, going = write_run(tmp_path / "gold", 6), write_run(tmp_path / "care", 3, total=6, seed=2, lr=2e-4)
    page = report(tmp_path, done, going)
    assert "unfinished: 3 of 6 steps" in page.text
    assert "What differs" in page.text and "learn.lr 0.0001 0.0002" in page.text and "run.seed 1 2" in page.text
    assert "gold · accuracy" in page.text and "care · pass@4" in page.text


def test_a_diagnostic_is_called_one(tmp_path: Path) -> None:
    """Its result would be taken for that of a method."""
    runs = [write_run(tmp_path / name, 2) for name in ("oracle", "care")]
    edit(runs[0], **{"label/diagnostic": 1.0})
    assert "reads labels that nobody bought" in report(tmp_path, runs[0]).text
    assert "reads labels that nobody bought" not in report(tmp_path, runs[1]).text
    assert "oracle : a diagnostic" in report(tmp_path, *runs).text


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    one, two = write_run(tmp_path / "a" / "demo", 2), write_run(tmp_path / "b" / "demo", 2)
    assert f"{one}" in report(tmp_path, one, two).text
    assert str(one) not in report(tmp_path, one, one).text, "a run given twice is one run"


def test_what_a_model_writes_stays_text(tmp_path: Path) -> None:
    run = write_run(tmp_path / "demo", 2)
    nasty = "<script>alert(1)</script><b onclick=x>\x1b\ud800 & </pre>"
    bad = group(1, 0, prompt=nasty, answer=nasty, reason=nasty, prompt_id=nasty, rollouts=[rollout(1.0, text=nasty)])
    write_lines(run / "groups" / "step_000001.jsonl", [bad])
    (run / "config.yaml").write_text(f"model: {{path: {json.dumps('</pre><script>')}}}\n")
    page = report(tmp_path, run)
    assert page.text.count("<script>alert(1)</script><b onclick=x>\\x1b\\ud800 & </pre>") == 5


def test_the_best_checkpoint_and_further_sets(tmp_path: Path) -> None:
    run = write_run(tmp_path / "demo", 4)
    assert "best checkpoint" not in report(tmp_path, run).text and "further sets" not in report(tmp_path, run).text
    edit(run, **{"eval/test/accuracy": 0.25, "eval/test/pass@4": 0.5})
    for step, accuracy in ((2, 0.625), (4, 0.5)):
        write(Checkpoints(run / "checkpoints", keep=1), step, accuracy)
    page = report(tmp_path, run)
    assert "best checkpoint: step 2, 0.625" in page.text
    assert "Evaluation on further sets eval/test/accuracy" in page.text and "eval/test/pass@4" not in page.text


def test_a_run_without_evaluation(tmp_path: Path) -> None:
    page = report(tmp_path, write_run(tmp_path / "demo", 4, evaluate=False))
    assert "— → —" in page.text
    assert "eval/accuracy" not in page.text


@pytest.mark.parametrize("steps", [0, 1])
def test_a_run_that_has_just_begun(tmp_path: Path, steps: int) -> None:
    page = report(tmp_path, write_run(tmp_path / "demo", steps, total=60))
    assert f"unfinished: {steps} of 60 steps" in page.text
    assert ("No groups were kept" in page.text) == (steps == 0)


def test_a_run_without_any_row_or_config(tmp_path: Path) -> None:
    run = tmp_path / "demo"
    run.mkdir()
    (run / "metrics.jsonl").touch()
    page = report(tmp_path, run)
    assert "Nothing to draw yet" in page.text and "No config.yaml was kept" in page.text


def test_null_and_missing_metrics(tmp_path: Path) -> None:
    run = write_run(tmp_path / "demo", 6)
    nulls = dict.fromkeys(("reward/outcome_mean", "mismatch/kl", "rollout/tokens", "time/learn_s", "time/step_s"))
    edit(run, **nulls)
    page = report(tmp_path, run)
    assert "mismatch/kl" not in page.text and "Time by stage" in page.text
    write_lines(run / "metrics.jsonl", [{"step": step} for step in range(3)])
    assert "none recorded" in report(tmp_path, run).text


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        ((True, True), "all 2 verified"),
        ((True, None), "1 of 2 verified, 1 inconclusive"),
        ((False, None), "1 of 2 failed"),
    ],
)
def test_publishes(tmp_path: Path, verdicts: tuple[bool | None, ...], words: str) -> None:
    run = write_run(tmp_path / "demo", 0)
    rows = [{"step": step, "sync/verified": verdict} for step, verdict in enumerate(verdicts, start=1)]
    write_lines(run / "metrics.jsonl", [{"step": 0}, *rows, {"step": 3}])
    assert words in report(tmp_path, run).text


def test_the_page_is_reproducible(tmp_path: Path) -> None:
    run = write_run(tmp_path / "demo", 3)
    for name in ("a.html", "b.html"):
        write_report([run], tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_run_named_like_a_formula(tmp_path: Path) -> None:
    assert "$x_" in report(tmp_path, write_run(tmp_path / "$x_{$", 2), write_run(tmp_path / "b", 2)).text


def test_no_run_directory(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere is not a run directory"):
        write_report([tmp_path / "nowhere"], tmp_path / "report.html")


def test_ages_are_drawn_where_groups_were_replayed(tmp_path: Path) -> None:
    plain, replaying = write_run(tmp_path / "plain", 4), write_run(tmp_path / "replaying", 4)
    edit(replaying, **{"replay/age_mean": 1.5, "replay/age_max": 3})
    assert "Age of replayed groups" not in report(tmp_path, plain).text
    assert "Age of replayed groups" in report(tmp_path, replaying).text


# --- process rewards


RIGHT = rewarded(1.0, ("12+34", 0.002), ("=46;", 0.05), ("\n#39", 0.1))
WRONG = rewarded(0.0, ("12+34", -0.001), ("=45;", -0.1), ("\n#38", -0.05))


def process_run(path: Path, *groups: dict[str, Any], steps: int = 4) -> Path:
    """A run with process rewards whose step 3 kept those of the groups."""
    run = write_run(path, steps)
    with (run / "config.yaml").open("a") as config:
        config.write("process:\n  kind: my_module:MyRewards\n")
    write_lines(run / "groups" / "step_000003.jsonl", [group(3, 0), *groups])
    return run


def test_a_right_and_a_wrong_solution_show_their_process_rewards(tmp_path: Path) -> None:
    run = process_run(tmp_path / "demo", group(3, 1, rollouts=[RIGHT, RIGHT, WRONG]))
    page = report(tmp_path, run)
    assert "Process rewards Step 3 chain/0301 reward of a token" in page.text
    assert "right outcome 1.00 · 3 tokens · rewards sum to +0.152" in page.text
    assert page.text.count("Largest and smallest rewards") == 2
    assert "+0.1 ⏎ #39 3 +0.05 =46; 2 +0.002 12+34 1" in page.text
    assert "-0.001 12+34 1 -0.05 ⏎ #38 3 -0.1 =45; 2" in page.text
    html = (tmp_path / "out" / "report.html").read_text()
    coloured = re.findall(r'<span(?: class="(\w+)")? title="token (\d): ([-+.\d]+)">', html)
    assert coloured == [
        ("", "1", "+0.002"), ("up2", "2", "+0.05"), ("up3", "3", "+0.1"),
        ("", "1", "-0.001"), ("down3", "2", "-0.1"), ("down2", "3", "-0.05"),
    ]  # fmt: skip


def test_rewards_are_drawn_beside_the_outcomes(tmp_path: Path) -> None:
    run = process_run(tmp_path / "demo")
    edit(run, **{f"process/{name}": 0.5 for name in ("reward_mean", "accuracy", "accuracy_matched", "advantage_share")})
    text = report(tmp_path, run).text
    assert text.index("Reward reward/outcome_mean") < text.index("process/reward_mean") < text.index("Evaluation eval/")
    for title in (
        "Pairs that the PRM orders rightly process/accuracy, process/accuracy_matched",
        "share of the advantage",
    ):
        assert title in text
    assert "Process rewards Step" not in text, "none were kept"


def test_runs_side_by_side_have_their_solutions_by_name(tmp_path: Path) -> None:
    one, two = process_run(tmp_path / "one", group(3, 1, rollouts=[RIGHT, WRONG])), write_run(tmp_path / "two", 4)
    text = report(tmp_path, two, one).text
    assert "Process rewards one Step 3 chain/0301" in text and text.count("chain/0301") == 2, "and in its samples"


def test_what_a_model_writes_into_its_tokens_stays_text(tmp_path: Path) -> None:
    nasty = [("</pre><script>alert(1)</script>", 0.5), ('"><b onclick=x>', -0.5), ("\x1b[2J\u202e", 0.1), ("", 0.0)]
    run = process_run(tmp_path / "demo", group(3, 1, rollouts=[rewarded(1.0, *nasty), rewarded(0.0)]))
    text = report(tmp_path, run).text
    assert text.count("</pre><script>alert(1)</script>") >= 2 and "\\x1b[2J\\u202e" in text


def test_a_step_before_anything_was_learned_has_rewards_of_0(tmp_path: Path) -> None:
    run = process_run(
        tmp_path / "demo", group(3, 1, rollouts=[rewarded(1.0, ("#39", 0.0)), rewarded(0.0, ("#38", 0.0))])
    )
    assert "chain/0301 all rewards are 0" in report(tmp_path, run).text


def test_a_long_solution_keeps_its_end(tmp_path: Path) -> None:
    long = rewarded(1.0, *[(f"<{place}>", 0.1) for place in range(1, 2001)])
    text = report(tmp_path, process_run(tmp_path / "demo", group(3, 1, rollouts=[long, WRONG]))).text
    assert "<1000> [… 500 more tokens …] <1501>" in text and "2000 tokens · rewards sum to +200" in text


def test_process_rewards_that_are_hacked_are_a_caution(tmp_path: Path) -> None:
    run = process_run(tmp_path / "demo", steps=60)
    rows = metrics.read(run / "metrics.jsonl")
    for row in rows:
        row |= {
            "process/reward_mean": 0.01 * (1 + (row["step"] > 30)),
            "reward/outcome_mean": 0.5 - 0.2 * (row["step"] > 30),
        }
    write_lines(run / "metrics.jsonl", rows)
    assert "looks like hacking its process rewards" in report(tmp_path, run).text
    edit(run, **{"reward/outcome_mean": 0.5})
    assert "looks like hacking" not in report(tmp_path, run).text
