"""What can be said of the scripts without running them: fresh, plain, and within Pine's limits.

The compiler of the tests lets pass what TradingView's refuses; these look for the commonest of it.
"""

import re
from collections.abc import Iterator
from dataclasses import fields

import pytest

from backtest.pine_alerts import DATE_NAMES, INPUT_NAMES
from backtest.pine_emulator import REPOSITORY
from scripts.make_pine import FOLDER, make_scripts
from tests.fixtures.pine_parity import SCOUTS, SCRIPTS, shipped_params

NAMES = sorted(make_scripts())
STRATEGIES = sorted(f"{name}.pine" for name in SCRIPTS.values())
MOST_PLOTS = 64
NOT_ASCII = {"✓", "✗"}
# Namespaces and variables of Pine that a name of ours would hide.
TAKEN = """
    alert array bar_index barmerge barstate box chart close color currency dayofmonth
    dayofweek dividends earnings format high hl2 hlc3 hour input label last_bar_time line
    linefill location log low map math matrix minute month na open order plot polyline
    position request runtime scale second session shape size splits str strategy syminfo ta
    table text ticker time timeframe timenow timestamp volume weekofyear xloc year yloc
"""
_DECLARED = re.compile(
    r"^ *(?:(?:var|varip) )?(?:(bool|int|float|string|color|table|array<\w+>) )?(\w+) = ", re.M
)
_FUNCTION = re.compile(r"^(\w+)\(([^)]*)\) =>", re.M)
_INPUT = re.compile(r"^(\w+) = input\.(\w+)\((.*)\)$", re.M)


def text_of(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def code_of(name: str) -> Iterator[tuple[int, str]]:
    """Lines with their number, without comments and with the text inside quotes left out."""
    for number, line in enumerate(text_of(name).splitlines(), start=1):
        without_text = re.sub(r"\"[^\"]*\"|'[^']*'", '""', line)
        code = without_text.split("//")[0].rstrip()
        if code:
            yield number, code


def inputs_in(name: str) -> dict[str, tuple[str, str]]:
    """The kind and the arguments of each input, by its variable."""
    return {found[1]: (found[2], found[3]) for found in _INPUT.finditer(text_of(name))}


def test_the_committed_scripts_are_those_of_the_source() -> None:
    """Else: python -m scripts.make_pine, and look at what became of it."""
    assert {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.pine")} == make_scripts()


def test_there_is_a_strategy_and_a_scout_for_each_instrument() -> None:
    assert {f"{name}.pine" for name in (*SCRIPTS.values(), *SCOUTS.values())} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_is_plain_text_of_the_sixth_version(name: str) -> None:
    text = text_of(name)
    assert text.startswith("//@version=6\n")
    assert {letter for letter in text if not letter.isascii()} <= NOT_ASCII
    assert "\t" not in text
    assert "<<" not in text


@pytest.mark.parametrize("name", NAMES)
def test_each_statement_is_one_line_and_each_block_indented_by_four(name: str) -> None:
    """Wrapped lines have rules of their own in Pine: there are none."""
    for number, code in code_of(name):
        assert code.count("(") == code.count(")"), number
        assert code.count("[") == code.count("]"), number
        assert (len(code) - len(code.lstrip())) % 4 == 0, number
        assert not re.search(r"(?:[-+*/%,?:<]|[^=]>|=|\band|\bor|\bnot)$", code), number


@pytest.mark.parametrize("name", NAMES)
def test_no_name_hides_one_of_pines(name: str) -> None:
    text = text_of(name)
    names = {found[2] for found in _DECLARED.finditer(text)}
    for function in _FUNCTION.finditer(text):
        names |= {function[1], *(each.split()[-1] for each in function[2].split(",") if each)}
    assert len(names) > 30
    assert names & set(TAKEN.split()) == set()


@pytest.mark.parametrize("name", NAMES)
def test_only_switches_are_used_as_switches(name: str) -> None:
    """Since version 6 a number is neither true nor false, and a switch is never unknown."""
    kinds = {found[2]: found[1] for found in _DECLARED.finditer(text_of(name))}
    for function in _FUNCTION.finditer(text_of(name)):
        for each in filter(None, function[2].split(",")):
            kind, variable = each.split()
            kinds[variable] = kind
    switches = {variable for variable, kind in kinds.items() if kind == "bool"}
    switches |= {variable for variable, (kind, _) in inputs_in(name).items() if kind == "bool"}
    used = {
        found[1]
        for _, code in code_of(name)
        for found in re.finditer(r"\b(?:if|and|or|not) (\w+)\b(?! *[(.<>=!+\-*/])", code)
    }
    assert used
    assert used - switches - {"not", "true", "false"} == set()
    assert not re.search(r"bool \w+ = na\b", text_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_no_more_is_plotted_than_pine_allows(name: str) -> None:
    """A plot whose colour changes counts twice."""
    plots = [code for _, code in code_of(name) if re.match(r" *plot(?:shape|char)?\(", code)]
    changing = [code for code in plots if re.search(r"color=[^,]*\?", code)]
    assert 0 < len(plots) + len(changing) <= MOST_PLOTS


@pytest.mark.parametrize("name", NAMES)
def test_what_each_condition_looks_at_is_plotted(name: str) -> None:
    text = text_of(name)
    given = {"close", *inputs_in(name)}
    conditions = re.findall(r"^bool \w+(?:Condition|Doji) = (\w+) [<>] (\w+)$", text, re.M)
    assert len(conditions) == 7
    for operand in {each for pair in conditions for each in pair} - given:
        assert f"plot({operand}, " in text, operand


@pytest.mark.parametrize("name", NAMES)
def test_every_input_is_grouped_and_explained(name: str) -> None:
    inputs = inputs_in(name)
    assert len(inputs) > 14
    assert [variable for variable, (_, rest) in inputs.items() if "group=" not in rest] == []
    rows = {re.search(r"inline=(\"\w+\")", rest) for _, rest in inputs.values()} - {None}
    explained = {
        found[0]
        for _, rest in inputs.values()
        if "tooltip=" in rest and (found := re.search(r"inline=(\"\w+\")", rest))
    }
    for _, rest in inputs.values():
        row = re.search(r"inline=(\"\w+\")", rest)
        assert "tooltip=" in rest or (row and row[0] in explained), rest
    assert len(rows) <= len(inputs)


@pytest.mark.parametrize("instrument", sorted(SCRIPTS))
def test_inputs_begin_with_the_configurations_numbers(instrument: str) -> None:
    params = shipped_params(instrument)
    for script in (SCRIPTS[instrument], SCOUTS[instrument]):
        inputs = inputs_in(f"{script}.pine")
        shown = {
            INPUT_NAMES[f.name]: getattr(params, f.name)
            for f in fields(params)
            if f.name not in DATE_NAMES
        }
        for variable, value in shown.items():
            if variable not in inputs:
                assert script == SCOUTS[instrument], variable
                continue
            first = inputs[variable][1].split(",")[0].strip('"')
            assert first == (str(value).lower() if isinstance(value, bool) else str(value))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_looks_ahead_and_no_body_holds_a_secret(name: str) -> None:
    text = text_of(name).lower()
    for word in ("request.", "lookahead", "secret", "token", "password", "http"):
        assert word not in text, word


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_does_not_ask_for_the_time_of_day(name: str) -> None:
    assert "timenow" not in text_of(name)


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_declaration_leaves_nothing_to_defaults_that_change(name: str) -> None:
    [declaration] = re.findall(r"^strategy\(.*\)$", text_of(name), re.M)
    for setting in (
        "overlay=true",
        "initial_capital=5000000",
        "default_qty_type=strategy.fixed",
        "default_qty_value=1",
        "pyramiding=6",
        "process_orders_on_close=true",
        "calc_on_every_tick=false",
        "calc_on_order_fills=false",
        "commission_type=strategy.commission.percent",
        "commission_value=0.05",
        "slippage=0",
        "margin_long=0",
        'close_entries_rule="ANY"',
    ):
        assert f"{setting}," in declaration or f"{setting})" in declaration, setting


def conditions_around(name: str, word: str) -> Iterator[list[str]]:
    """The conditions of the blocks that each line with `word` stands in, the outermost first."""
    blocks: list[tuple[int, str]] = []
    for _, code in code_of(name):
        depth, statement = len(code) - len(code.lstrip()), code.strip()
        blocks = [block for block in blocks if block[0] < depth]
        if re.search(word, statement):
            yield [condition for _, condition in blocks]
        blocks.append((depth, statement))


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_speaks_of_closed_bars_only(name: str) -> None:
    """Whatever "on every tick" in its Properties is set to."""
    speaks = r"\balert\(|\bstrategy\.(?:entry|order|exit|close|close_all|cancel\w*)\("
    around = list(conditions_around(name, speaks))
    assert len(around) == 4
    assert {blocks[0] for blocks in around} == {"if barstate.isconfirmed"}


@pytest.mark.parametrize("name", sorted(f"{name}.pine" for name in SCOUTS.values()))
def test_a_scout_speaks_of_an_unfinished_bar_in_its_reports_only(name: str) -> None:
    report, closed_bar = conditions_around(name, r"\balert\(")
    assert report[0].startswith("if barstate.isrealtime and now >= watchFrom and now < lastEnd")
    assert closed_bar == ["if barstate.isconfirmed and barIsKnown"]


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_alerts_dialog_is_filled_in_with_the_orders_own_message(name: str) -> None:
    """With TradingView's own text there, no order would be understood."""
    annotation = "//@strategy_alert_message {{strategy.order.alert_message}}"
    assert text_of(name).splitlines().count(annotation) == 1


@pytest.mark.parametrize("name", NAMES)
def test_one_function_writes_every_alert(name: str) -> None:
    text = text_of(name)
    bodies = re.findall(r"alert_message=(\w+)\(|\balert\((\w+)\(", text)
    assert len(bodies) == len(re.findall(r"alert_message=|\balert\(", text)) > 0
    assert {first or second for first, second in bodies} == {"alertBody"}
    assert text.count('{"type":') == 1


def test_the_readme_names_every_script() -> None:
    readme = (REPOSITORY / "pine" / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"`{name}`" not in readme] == []
