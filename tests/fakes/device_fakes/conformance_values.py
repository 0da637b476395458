"""What the expressions of a checked file are, and whether all that they touch is in the record."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

from device_fakes.conformance_api import (
    PLAIN,
    UNKNOWN,
    Api,
    Kind,
    NotInRecord,
    instance,
    many,
    unresolved,
)

CAPABILITIES, TENSORRT = Kind("capabilities"), Kind("tensorrt")
NAMELESS = unresolved("something that is annotated Any")
"""What a function of ours gives; the variable that gets it says what it is."""

OF_TENSORRT = {
    "module": Kind("module"),
    "capabilities": CAPABILITIES,
    "logger": instance("ILogger"),
}
BUILTIN_NEEDS = {"len": "__len__", "iter": "__getitem__"}


@dataclass(frozen=True)
class Language:
    """How one kind of file is read.

    Attributes:
        names: variables that are annotated `Any`, to the class they are.
        modules: what an import of these names gives the module.
        hands_over: a function of the library that is an argument is called with what follows it.
        int_enums: values of enums are numbers, so that `|` is theirs.
    """

    names: dict[str, str]
    modules: frozenset[str]
    hands_over: bool = False
    int_enums: bool = False


@dataclass(frozen=True)
class Package:
    """What the other files say.

    Attributes:
        any_fields: fields that are annotated `Any` in any class.
        functions: what each function is annotated to return, by name.
    """

    any_fields: frozenset[str]
    functions: dict[str, str]


@dataclass(frozen=True)
class CallSite:
    """A call of the library.

    Attributes:
        node: of the tree; a call that hands the function over counts.
        room: arguments that could be added.
        needs_last: its last argument by position must be given.
    """

    node: ast.Call
    room: int
    needs_last: bool


@dataclass
class Values:
    """The expressions of one file in one version.

    Attributes:
        api: record to hold them against.
        language: of the file.
        capabilities: that decide the guards; None where there are none.
        package: that the file is part of.
        functions: at the top level of the file, by name.
        named: of these, the ones that live code names.
        findings: what does not conform, "line: what".
        attributes: nodes that touch a name of the library.
        calls: where one is called.
    """

    api: Api
    language: Language
    capabilities: Any
    package: Package
    functions: dict[str, ast.FunctionDef] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    attributes: list[ast.Attribute] = field(default_factory=list)
    calls: list[CallSite] = field(default_factory=list)
    _fields: dict[str, Kind] = field(default_factory=dict)

    def truth(self, test: ast.expr, scope: dict[str, Kind]) -> bool | None:
        """What a condition is in this version; None if that depends on other things."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            inner = self.truth(test.operand, scope)
            return None if inner is None else not inner
        if isinstance(test, ast.BoolOp):
            stops = isinstance(test.op, ast.Or)
            results = []
            for part in test.values:
                results.append(self.truth(part, scope))
                if results[-1] is stops:
                    return stops  # what is behind it does not run
            return None if None in results else not stops
        if isinstance(test, ast.Constant):
            return bool(test.value)
        kind = self.kind(test, scope)
        return kind.truth if kind.sort == "known" else None

    def kind(self, item: ast.expr, scope: dict[str, Kind]) -> Kind:
        """What an expression is; everything in it is checked."""
        if isinstance(item, ast.Name):
            return self._name(item, scope)
        if isinstance(item, ast.Attribute):
            return self._attribute(item, scope)
        if isinstance(item, ast.Call):
            return self._call(item, scope)
        if isinstance(item, ast.IfExp):
            truth = self.truth(item.test, scope)
            live = [
                part
                for part, when in ((item.body, True), (item.orelse, False))
                if truth in (None, when)
            ]
            found = [self.kind(part, scope) for part in live]
            return found[0]
        if isinstance(item, ast.BoolOp):
            self.truth(item, scope)
            return UNKNOWN
        if isinstance(item, ast.UnaryOp) and isinstance(item.op, ast.Not):
            self.truth(item.operand, scope)
            return PLAIN
        if isinstance(item, ast.BinOp):
            return self._arithmetic(item, scope)
        if isinstance(item, ast.Subscript):
            self.kind(item.slice, scope)
            return self.item_of(self.kind(item.value, scope), item)
        if isinstance(item, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
            return self._comprehension(item, scope)
        if isinstance(item, ast.List | ast.Tuple | ast.Set):
            kinds = [self.kind(part, scope) for part in item.elts]
            return many(kinds[0]) if kinds and len(set(kinds)) == 1 else PLAIN
        if isinstance(item, ast.NamedExpr):
            value = self.kind(item.value, scope)
            self.bind(item.target, value, scope)
            return value
        if isinstance(item, ast.Lambda):
            inner = {**scope, **{argument.arg: UNKNOWN for argument in item.args.args}}
            self.kind(item.body, inner)
            return UNKNOWN
        if isinstance(item, ast.Constant):
            return PLAIN
        self.inside(item, scope)
        return PLAIN

    def _name(self, item: ast.Name, scope: dict[str, Kind]) -> Kind:
        if item.id in self.functions and item.id not in scope:
            self.named.append(item.id)
            return UNKNOWN
        return scope.get(item.id, UNKNOWN)

    def _attribute(self, item: ast.Attribute, scope: dict[str, Kind]) -> Kind:
        of = self.kind(item.value, scope)
        if of.sort == "tensorrt":
            return OF_TENSORRT.get(item.attr, UNKNOWN)
        if of.sort == "capabilities":
            return self._capability(item)
        if of.sort == "unknown":
            if isinstance(item.value, ast.Name) and item.value.id == "self":
                own = self._fields.get(item.attr)
                if own is not None:
                    return own
            if item.attr == "tensorrt":
                return TENSORRT
            if item.attr == "capabilities":
                return CAPABILITIES
            return self._by_name(item.attr) if item.attr in self.package.any_fields else UNKNOWN
        if of.sort in ("plain", "known", "many", "function"):
            return PLAIN
        return self._looked_up(item, of, item.attr)

    def _looked_up(self, item: ast.Attribute, of: Kind, name: str) -> Kind:
        self.attributes.append(item)
        try:
            return self.api.attribute(of, name)
        except NotInRecord as error:
            self.find(item, str(error))
            return UNKNOWN

    def _capability(self, item: ast.Attribute) -> Kind:
        if not hasattr(self.capabilities, item.attr):
            self.find(item, f"TensorRTCapabilities has no {item.attr!r}")
            return UNKNOWN
        value = getattr(self.capabilities, item.attr)
        return Kind("known", truth=value) if isinstance(value, bool) else PLAIN

    def _call(self, item: ast.Call, scope: dict[str, Kind]) -> Kind:
        function = self.kind(item.func, scope)
        kinds = [self.kind(argument, scope) for argument in item.args]
        for keyword in item.keywords:
            self.kind(keyword.value, scope)
        if self.language.hands_over:
            self._handed_over(item, kinds)
        if isinstance(item.func, ast.Name) and kinds:
            if item.func.id in BUILTIN_NEEDS:
                self._special(item, kinds[0], BUILTIN_NEEDS[item.func.id])
            if item.func.id in ("list", "tuple", "sorted", "iter", "reversed", "set"):
                return many(self.item_of(kinds[0], item))
            if item.func.id == "enumerate":
                return many(Kind("pair", inner=self.item_of(kinds[0], item)))
            if item.func.id in ("int", "str", "bool", "bytes", "float", "len", "tuple"):
                return PLAIN
        if function.sort == "any":
            self.find(item, f"{function.name} is called, and its class cannot be told")
        if function.sort not in ("function", "class"):
            return self._returned(item, function)
        if any(isinstance(argument, ast.Starred) for argument in item.args) or None in [
            keyword.arg for keyword in item.keywords
        ]:
            self.find(item, f"{function.name} is called with * or **: its arguments cannot be told")
            return function.inner or UNKNOWN
        keywords = {keyword.arg for keyword in item.keywords if keyword.arg}
        self._note_call(item, function, len(item.args), len(keywords))
        try:
            return self.api.require_call(function, len(item.args), keywords)
        except NotInRecord as error:
            self.find(item, str(error))
            return function.inner or UNKNOWN

    def _returned(self, item: ast.Call, function: Kind) -> Kind:
        """What a function of this file gives, if all its returns say the same."""
        if isinstance(item.func, ast.Name) and item.func.id == "load_tensorrt":
            return TENSORRT
        if not isinstance(item.func, ast.Name):
            return UNKNOWN
        if item.func.id not in self.functions:
            return _annotated_result(self.package.functions.get(item.func.id, ""))
        body = self.functions[item.func.id]
        scope: dict[str, Kind] = {}
        for part in ast.walk(body):
            if isinstance(part, ast.Import | ast.ImportFrom):
                self.note_import(part, scope)
        returns = [part.value for part in ast.walk(body) if isinstance(part, ast.Return)]
        kinds = {scope.get(part.id, UNKNOWN) for part in returns if isinstance(part, ast.Name)}
        found = kinds.pop() if len(kinds) == 1 and len(returns) == 1 else UNKNOWN
        told = ast.unparse(body.returns) if body.returns is not None else ""
        return found if found != UNKNOWN else _annotated_result(told)

    def _handed_over(self, item: ast.Call, kinds: list[Kind]) -> None:
        for position, kind in enumerate(kinds):
            if kind.sort == "function":
                self._note_call(item, kind, len(kinds) - position - 1, 0)
                if any(isinstance(argument, ast.Starred) for argument in item.args):
                    self.find(
                        item, f"{kind.name} is handed over with *: its arguments cannot be told"
                    )
                try:
                    keywords = {keyword.arg or "**" for keyword in item.keywords}
                    self.api.require_call(kind, len(kinds) - position - 1, keywords)
                except NotInRecord as error:
                    self.find(item, str(error))

    def _note_call(self, item: ast.Call, function: Kind, positional: int, keywords: int) -> None:
        most = max((len(form.names) for form in function.forms), default=0)
        least = min((form.required for form in function.forms), default=0)
        needs_last = positional > 0 and positional + keywords == least
        self.calls.append(CallSite(item, most - positional, needs_last))

    def _special(self, item: ast.AST, of: Kind, method: str) -> None:
        try:
            self.api.require_special(of, method)
        except NotInRecord as error:
            self.find(item, str(error))

    def _arithmetic(self, item: ast.BinOp, scope: dict[str, Kind]) -> Kind:
        for side in (item.left, item.right):
            kind = self.kind(side, scope)
            if kind.sort == "value" and kind.name and not self.language.int_enums:
                self.find(item, f"a value of {kind.name} takes no arithmetic; write int(...)")
        return PLAIN

    def _comprehension(self, item: Any, scope: dict[str, Kind]) -> Kind:
        inner = dict(scope)
        for part in item.generators:
            self.bind(part.target, self.item_of(self.kind(part.iter, inner), part.iter), inner)
            for test in part.ifs:
                self.truth(test, inner)
        if isinstance(item, ast.DictComp):
            self.kind(item.key, inner)
            self.kind(item.value, inner)
            return PLAIN
        return many(self.kind(item.elt, inner))

    def item_of(self, of: Kind, item: ast.AST) -> Kind:
        """What comes out of a loop over it, or a subscript."""
        if of.sort == "many":
            return of.inner or UNKNOWN
        if of.sort == "instance":
            self._special(item, of, "__getitem__")
            return PLAIN
        return UNKNOWN if of.sort == "unknown" else PLAIN

    # Names.

    def bind(
        self,
        target: ast.expr,
        value: Kind,
        scope: dict[str, Kind],
        *,
        source: ast.expr | None = None,
    ) -> None:
        """Give names what they are assigned, and check attributes that are set."""
        if isinstance(target, ast.Name):
            scope[target.id] = self._by_name(target.id) if value == NAMELESS else value
        elif isinstance(target, ast.Tuple | ast.List):
            parts = source.elts if isinstance(source, ast.Tuple | ast.List) else None
            for position, part in enumerate(target.elts):
                if parts is not None and len(parts) == len(target.elts):
                    inner = self.kind(parts[position], scope)
                elif value.sort == "pair":
                    inner = (PLAIN, value.inner or UNKNOWN)[min(position, 1)]
                else:
                    inner = value.inner if value.sort == "many" and value.inner else UNKNOWN
                self.bind(part, inner, scope)
        elif isinstance(target, ast.Attribute):
            of = self.kind(target.value, scope)
            if isinstance(target.value, ast.Name) and target.value.id == "self":
                if value.sort not in ("unknown", "plain"):
                    self._fields[target.attr] = value
            elif of.sort in ("instance", "any", "module", "class", "enum", "value"):
                self.attributes.append(target)
                try:
                    self.api.require_settable(of, target.attr)
                except NotInRecord as error:
                    self.find(target, str(error))
        elif isinstance(target, ast.Starred):
            self.bind(target.value, many(UNKNOWN), scope)

    def annotated(self, target: Any, annotation: ast.expr | None) -> Kind:
        """What an annotation says, with the name that it is on."""
        told = ast.unparse(annotation) if annotation is not None else ""
        if told == "TensorRT":
            return TENSORRT
        if told == "TensorRTCapabilities":
            return CAPABILITIES
        name = target.arg if isinstance(target, ast.arg) else getattr(target, "id", None)
        if isinstance(target, ast.Attribute):
            name = target.attr.lstrip("_")
        if told in ("Any", "Any | None") and name is not None:
            return self._by_name(name)
        return _annotated_result(told)

    def _by_name(self, name: str) -> Kind:
        told = self.language.names.get(name.lstrip("_"))
        if told is None:
            return unresolved(f"{name!r}")
        return Kind("module") if told == "module" else self.api.named(told)

    def note_import(self, item: ast.Import | ast.ImportFrom, scope: dict[str, Kind]) -> None:
        """Remember what an import of the library binds."""
        for alias in item.names:
            whole = alias.name
            if isinstance(item, ast.ImportFrom):
                whole = f"{item.module}.{alias.name}"
            if whole in self.language.modules:
                scope[alias.asname or alias.name.split(".")[0]] = Kind("module")

    def inside(self, item: ast.AST, scope: dict[str, Kind]) -> None:
        """Every expression directly inside of something that is none of ours."""
        for part in ast.iter_child_nodes(item):
            if isinstance(part, ast.expr):
                self.kind(part, scope)
            elif not isinstance(part, ast.stmt):
                self.inside(part, scope)

    def find(self, item: ast.AST, text: str) -> None:
        """Note what does not conform."""
        finding = f"line {getattr(item, 'lineno', 0)}: {text}"
        if finding not in self.findings:
            self.findings.append(finding)


def _annotated_result(told: str) -> Kind:
    if told in ("Any", "Any | None"):
        return NAMELESS
    return many(NAMELESS) if "[Any" in told and not told.startswith("dict") else UNKNOWN
