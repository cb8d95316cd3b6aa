"""Every command that the guides show can be typed: the command is there, and so are its options."""

import re
import shlex
from pathlib import Path

import click
import pytest

from portfolio_manager import main

REPOSITORY = Path(__file__).resolve().parents[2]
GUIDES = (
    "README.md",
    "docs/operations.md",
    "docs/journey-of-an-order.md",
    "docs/recovering-from-a-crash.md",
)
_CODE = re.compile(r"```(?:sh)?\n(.*?)```|`([^`\n]+)`", re.DOTALL)
_COMMAND = re.compile(r"(?:portfolio_manager\.py|(?<![\w./-])\$?pm) ([a-z][^\n|#]*)")


def shown(guide: str) -> list[str]:
    """What is typed after the program's name, in the code of a guide."""
    text = (REPOSITORY / guide).read_text(encoding="utf-8")
    found = []
    for block, inline in _CODE.findall(text):
        found += [match.strip().rstrip(";") for match in _COMMAND.findall(block or inline)]
    return found


def unknown(typed: str) -> list[str]:
    """The words of a command line that no command or option of ours is called."""
    words = shlex.split(typed)
    command: click.Command = main
    context = click.Context(main)
    while words and isinstance(command, click.Group):
        inner = command.get_command(context, words[0])
        if inner is None:
            # A group that is a command of its own too takes its options itself.
            break
        command = inner
        words = words[1:]
    if isinstance(command, click.Group) and words and not command.invoke_without_command:
        return words[:1]
    options = {name for each in command.params for name in each.opts + each.secondary_opts}
    options |= {"--help"}
    return [word for word in words if word.startswith("--") and word.split("=")[0] not in options]


@pytest.mark.parametrize("guide", GUIDES)
def test_every_command_a_guide_shows_exists(guide: str) -> None:
    commands = shown(guide)
    assert len(commands) >= 5
    assert {typed: wrong for typed in commands if (wrong := unknown(typed))} == {}


@pytest.mark.parametrize("typed", ["nonsense", "sync --tag", "emergency close"])
def test_a_command_that_there_is_not_is_found(typed: str) -> None:
    assert unknown(typed)
