"""``label.oracle``: who answers the questions that a labeller asks."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from effrl.config.section import ImportPath, LocalPath, PositiveFloat, PositiveInt, Section, kind_or


class OracleConfig(Section):
    """What every oracle has, and what other parts need to know of it."""

    price: Annotated[float, Field(gt=0)] = 1.0
    """What one label takes of ``label.budget.total``."""

    @property
    def comes_late(self) -> bool:
        """Whether an answer may come steps after its question: then groups are parked."""
        return False

    @property
    def reads_data(self) -> bool:
        """Whether the labels are those of the data: then the data must have some."""
        return False

    @property
    def asks_people(self) -> bool:
        """Whether somebody has to open the inbox."""
        return False


class DatasetOracle(OracleConfig):
    kind: Literal["dataset"] = "dataset"
    """Labels come from the data source's own label column."""

    @property
    def reads_data(self) -> bool:
        return True


class ModelOracle(OracleConfig):
    kind: Literal["model"] = "model"
    """A stronger model answers, behind an OpenAI-compatible endpoint."""
    model: str
    """Its name, as the endpoint knows it."""
    url: str = "https://api.openai.com/v1"
    """The endpoint, up to and with its version."""
    key: str = "OPENAI_API_KEY"
    """Environment variable that holds the API key; never the key itself. An endpoint without keys needs none set."""
    timeout_s: PositiveFloat = 60
    """Longest wait for one reply."""
    retries: Annotated[int, Field(ge=0)] = 4
    """Times that a failed call is made again, after waits that double; then the question is refused and costs
    nothing."""
    concurrent: PositiveInt = 8
    """Calls side by side."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """Of the teacher."""
    max_tokens: PositiveInt = 2048
    """Longest reply."""
    system: str = "Solve the problem. End with a last line of the form 'Answer: ...', with the final answer alone."
    """What the teacher is told before the prompt. What follows the last ``Answer:`` is the label."""


class HumanOracle(OracleConfig):
    kind: Literal["human"] = "human"
    """People answer in a browser or a terminal (``effrl labels serve``), when they can."""
    expires_s: PositiveFloat | None = None
    """Age at which a question that nobody answered is closed and costs nothing; never by default."""
    gold: LocalPath | None = None
    """JSON Lines of questions whose answer is known (``prompt``, ``label``, and ``candidates`` if you like): now and
    then one of them measures whoever answers. They cost nothing."""
    checks: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """Share of gold questions, and again of silent repeats, in what each person gets."""
    weigh: bool = False
    """Whether a label counts less where those who gave it erred on gold questions, repeats and shared questions."""
    guidelines: str = ""
    """What annotators should know; shown beside each question."""

    @property
    def comes_late(self) -> bool:
        return True

    @property
    def asks_people(self) -> bool:
        return True


class PluginOracle(OracleConfig):
    kind: ImportPath
    """Import path of your own oracle (see :class:`effrl.protocols.Answerer`)."""

    @property
    def comes_late(self) -> bool:
        return True


AnyOracle = Annotated[
    Annotated[DatasetOracle, Tag("dataset")]
    | Annotated[ModelOracle, Tag("model")]
    | Annotated[HumanOracle, Tag("human")]
    | Annotated[PluginOracle, Tag("plugin")],
    Discriminator(kind_or("dataset")),
]
