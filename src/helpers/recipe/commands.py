"""A recipe's commands and flags, as written."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Flag:
    """One flag as written: `words` are what the shell would pass on, `line` is 1-based."""

    words: tuple[str, ...]
    line: int
    empty: bool = False  # YAML's null

    @property
    def name(self) -> str:
        """The flag without dashes and value, `-` as `_`."""
        return self.words[0].split("=", 1)[0].lstrip("-–—").replace("-", "_")

    @property
    def values(self) -> tuple[str, ...]:
        _, given, value = self.words[0].partition("=")
        return ((value,) if given else ()) + self.words[1:]


@dataclass(frozen=True)
class Command:
    """One call of a tool, `swift sft` or `lmdeploy serve api_server` for instance."""

    tool: str
    line: int
    flags: tuple[Flag, ...]
    positional: tuple[str, ...] = ()
    env: dict = field(default_factory=dict)
    cut_off: tuple[Flag, ...] = ()  # lines that look like flags of this command, and that the shell never passes to it
    from_file: int = 0  # so many of the flags stand in a file that the command names
    kind: str = "shell"  # shell | flags | yaml | profile
