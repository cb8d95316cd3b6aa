"""The small wrong changes that are tried on a module: each is one expression, changed one way.

Annotations and decorators are left alone: they decide nothing at run time, or everything.
"""

import ast
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import CodeType

LEFT_ALONE = {"annotation", "returns", "decorator_list"}

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
}
SHOWN_CHARACTERS = 80
OPPOSITES = {"min": "max", "max": "min"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """`file` with one change, compiled. `change` shows the expression before and after."""

    file: str
    line: int
    function: str
    change: str
    code: CodeType

    @property
    def key(self) -> str:
        """What names it in the list of allowed survivors; line numbers move, this does not."""
        return f"{self.file}:{self.function}:{self.change}"


@dataclass(frozen=True, slots=True)
class _Site:
    """Where an expression hangs in the tree: `parent.field`, or an element of that list."""

    parent: ast.AST
    field: str
    place: int | None
    node: ast.expr
    function: str

    def put(self, node: ast.expr) -> None:
        if self.place is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.place] = node

    def shown(self) -> str:
        """The expression as it stands; a constant, which says little alone, with what is around."""
        if isinstance(self.node, ast.Constant) and isinstance(self.parent, ast.expr | ast.keyword):
            return shorten(ast.unparse(self.parent))
        held = getattr(self.parent, self.field)
        return shorten(ast.unparse(held if self.place is None else held[self.place]))


def shorten(expression: str) -> str:
    """Long expressions keep their beginning and their end."""
    if len(expression) <= SHOWN_CHARACTERS:
        return expression
    half = SHOWN_CHARACTERS // 2
    return f"{expression[:half]} ... {expression[-half:]}"


def mutants_of(repository: Path, file: str) -> Iterator[Mutant]:
    """Every mutant of `repository/file`, in the order of its source."""
    tree = ast.parse((repository / file).read_text(encoding="utf-8"))
    for site in _sites(tree, "module"):
        before = site.shown()
        for changed in _alternatives(site):
            site.put(ast.fix_missing_locations(ast.copy_location(changed, site.node)))
            code = compile(tree, f"<mutant of {file}>", "exec")
            change = f"{before} -> {site.shown()}"
            site.put(site.node)
            yield Mutant(file, site.node.lineno, site.function, change, code)


def _sites(node: ast.AST, function: str) -> Iterator[_Site]:
    for field, value in ast.iter_fields(node):
        if field in LEFT_ALONE:
            continue
        held = value if isinstance(value, list) else [value]
        for place, child in enumerate(held):
            if isinstance(child, ast.expr):
                where = place if isinstance(value, list) else None
                yield _Site(node, field, where, child, function)
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                yield from _sites(child, child.name)
            elif isinstance(child, ast.AST):
                yield from _sites(child, function)


def _alternatives(site: _Site) -> Iterator[ast.expr]:
    """The wrong expressions to try where `site.node` stands."""
    node = site.node
    match node:
        case ast.Compare(ops=[sign]):
            for other in COMPARISONS[type(sign)]:
                yield ast.Compare(node.left, [other()], node.comparators)
        case ast.BinOp() if type(node.op) in ARITHMETIC:
            yield ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
        case ast.BoolOp():
            other_op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield ast.BoolOp(other_op, node.values)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.IfExp():
            yield ast.IfExp(node.test, node.orelse, node.body)
        case ast.Call():
            yield from _calls(node)
        case ast.Constant(value=bool()):
            yield ast.Constant(operator.not_(node.value))
        case ast.Constant(value=int() | float() as number):
            yield ast.Constant(number + 1)
    yield from _branches(site)


def _calls(node: ast.Call) -> Iterator[ast.expr]:
    match node:
        case ast.Call(func=ast.Name(id="min" | "max" as name)):
            yield ast.Call(ast.Name(OPPOSITES[name], ast.Load()), node.args, node.keywords)
        case ast.Call(func=ast.Name(id="Decimal"), args=[ast.Constant(value=str(text))]):
            yield ast.Call(node.func, [ast.Constant(str(Decimal(text) + 1))], [])


def _branches(site: _Site) -> Iterator[ast.expr]:
    """A condition turned round (a comparison has had that already), a result forgotten."""
    match site.parent:
        case ast.If() | ast.While() if not isinstance(site.node, ast.Compare):
            yield ast.UnaryOp(ast.Not(), site.node)
        case ast.Return() if not (isinstance(site.node, ast.Constant) and site.node.value is None):
            yield ast.Constant(None)
