"""One look at a whole source before a run starts, so that row 900,000 cannot end it hours later."""

from dataclasses import dataclass

from effrl.config.data import Source, location
from effrl.config.template import PLAIN, Form
from effrl.data import doubts
from effrl.data.labels import has_work
from effrl.data.reader import Pool, pools, read_pool, with_label
from effrl.data.rows import likely_label
from effrl.data.samples import Conversations
from effrl.types import Prompt

EXAMPLE = "file.jsonl?label=answer"


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass over a source found: ``Survey(7473, 7473, 985, "train:4012")``."""

    rows: int
    labelled: int
    """Rows with a label."""
    longest_bytes: int
    """Length of the longest prompt, in UTF-8 bytes: an upper bound of its tokens, near enough to warn early."""
    longest_id: str
    conversations: int = 0
    """Rows whose prompt is messages, which need a chat template."""
    without_labels: tuple[str, ...] = ()
    """Where there is not a single label: the source, or parts of a mix."""
    samples: tuple[Prompt, ...] = ()
    """Prompts that are messages, to try a chat template on."""
    prefilled: int = 0
    """Rows whose prompt ends with the assistant's turn."""
    doubtful: int = 0
    """Rows whose label is a word for no label."""
    label_hint: str = EXAMPLE
    """Where labels are missing: the source with the key that may be theirs, or an example."""
    worked: int = 0
    """Rows whose label is a worked solution (:func:`effrl.data.labels.has_work`); 0 where nobody asked."""

    @property
    def mostly_worked(self) -> bool:
        """Whether more than half of the labels are worked solutions."""
        return 2 * self.worked > self.labelled

    def notes(self, name: str) -> list[str]:
        """What is legal and probably not meant, a line each; ``name`` is the source's."""
        found = []
        if self.prefilled:
            found.append(
                f"{name}: {self.prefilled:,} of {self.rows:,} prompts {doubts.PREFILLED}, and the policy goes on with"
                " it: if it is the answer, make it the label, such as label=messages.-1"
            )
        if self.doubtful:
            found.append(
                f"{name}: {self.doubtful:,} of {self.labelled:,} labels {doubts.DOUBTFUL}: if that is no answer, leave"
                " them out"
            )
        return found


def survey(source: Source, form: Form = PLAIN, work: bool = False) -> Survey:
    """Read ``source`` once, to the end; raises as :func:`effrl.data.reader.read` does.

    With ``work``, count labels that are worked solutions too: that takes as long as the rest, so only who asks pays.
    """
    found = [_survey(pool, form, work) for pool in pools(source)]
    longest = max(found, key=lambda part: part.longest_bytes)
    return Survey(
        rows=sum(part.rows for part in found),
        labelled=sum(part.labelled for part in found),
        longest_bytes=longest.longest_bytes,
        longest_id=longest.longest_id,
        conversations=sum(part.conversations for part in found),
        without_labels=tuple(name for part in found for name in part.without_labels),
        samples=tuple(prompt for part in found for prompt in part.samples),
        prefilled=sum(part.prefilled for part in found),
        doubtful=sum(part.doubtful for part in found),
        label_hint=next((part.label_hint for part in found if part.label_hint != EXAMPLE), EXAMPLE),
        worked=sum(part.worked for part in found),
    )


def size_of(prompt: Prompt) -> int:
    """Length of a prompt in UTF-8 bytes, without what a chat template adds."""
    texts = [prompt.content] if isinstance(prompt.content, str) else [message["content"] for message in prompt.content]
    return sum(len(text.encode()) for text in texts)


def _survey(pool: Pool, form: Form, work: bool) -> Survey:
    rows = labelled = prefilled = doubtful = worked = 0
    conversations, longest, likely = Conversations(), (-1, ""), None
    for row in read_pool(pool, form):
        rows += 1
        labelled += row.label is not None
        worked += work and row.label is not None and has_work(row.label)
        conversations.add(row.prompt)
        prefilled += doubts.prefilled(row)
        doubtful += doubts.doubtful(row)
        if row.label is None and likely is None:
            likely = likely_label(row)
        if (length := size_of(row.prompt)) > longest[0]:
            longest = length, row.prompt.id
    return Survey(
        rows,
        labelled,
        *longest,
        conversations.count,
        () if labelled else (location(pool.source),),
        tuple(conversations.kept),
        prefilled,
        doubtful,
        EXAMPLE if likely is None else with_label(pool.source, likely),
        worked,
    )
