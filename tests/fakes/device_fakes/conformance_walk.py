"""Walks one file as one version would run it, and holds what it touches against a record.

Conditions made of capabilities are decided, all others go both ways. A private function is walked
only if live code names it, so that a guard around its only call guards it too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass

from device_fakes.conformance_api import UNKNOWN, Form, Kind, NotInRecord
from device_fakes.conformance_values import Values


@dataclass
class Walk:
    """The statements of one file in one version.

    Attributes:
        values: its expressions, and what was found.
    """

    values: Values

    def file(self, tree: ast.Module) -> None:
        """Walk a whole file."""
        functions = {item.name: item for item in tree.body if isinstance(item, ast.FunctionDef)}
        self.values.functions = functions
        waiting = self.values.named = [name for name in functions if not name.startswith("_")]
        walked: set[str] = set()
        scope: dict[str, Kind] = {}
        self._block([item for item in tree.body if not isinstance(item, ast.FunctionDef)], scope)
        while waiting:
            name = waiting.pop()
            if name not in walked:
                walked.add(name)
                self._function(functions[name], scope)

    def _block(self, body: Iterable[ast.stmt], scope: dict[str, Kind]) -> bool:
        """Walk statements; True if what follows them cannot be reached."""
        return any(self._statement(item, scope) for item in body)

    def _statement(self, item: ast.stmt, scope: dict[str, Kind]) -> bool:
        if isinstance(item, ast.If):
            return self._if(item, scope)
        if isinstance(item, ast.Return | ast.Raise):
            self._inside(item, scope)
            return True
        if isinstance(item, ast.Continue | ast.Break):
            return True
        if isinstance(item, ast.FunctionDef):
            self._function(item, dict(scope))
        elif isinstance(item, ast.ClassDef):
            self._class(item, scope)
        elif isinstance(item, ast.Assign):
            value = self.values.kind(item.value, scope)
            for target in item.targets:
                self.values.bind(target, value, scope, source=item.value)
        elif isinstance(item, ast.AnnAssign):
            told = self.values.annotated(item.target, item.annotation)
            value = self.values.kind(item.value, scope) if item.value else UNKNOWN
            self.values.bind(
                item.target, value if value.sort not in ("unknown", "plain") else told, scope
            )
        elif isinstance(item, ast.AugAssign):
            self.values.kind(item.value, scope)
        elif isinstance(item, ast.For):
            self.values.bind(
                item.target,
                self.values.item_of(self.values.kind(item.iter, scope), item.iter),
                scope,
            )
            self._block(item.body, scope)
            self._block(item.orelse, scope)
        elif isinstance(item, ast.With):
            for part in item.items:
                value = self.values.kind(part.context_expr, scope)
                if part.optional_vars is not None:
                    self.values.bind(part.optional_vars, value, scope)
            return self._block(item.body, scope)
        elif isinstance(item, ast.Try):
            ends = self._block(item.body, scope)
            for handler in item.handlers:
                self._handler(handler, scope)
            self._block([*item.orelse, *item.finalbody], scope)
            return ends and not item.handlers
        elif isinstance(item, ast.Import | ast.ImportFrom):
            self.values.note_import(item, scope)
        elif isinstance(item, ast.While):
            self.values.kind(item.test, scope)
            self._block(item.body, scope)
        else:
            self._inside(item, scope)
        return False

    def _if(self, item: ast.If, scope: dict[str, Kind]) -> bool:
        truth = self.values.truth(item.test, scope)
        ends = []
        for live, body in ((True, item.body), (False, item.orelse)):
            if truth in (None, live):
                ends.append(self._block(body, scope))
        return bool(ends) and all(ends)

    def _handler(self, handler: ast.ExceptHandler, scope: dict[str, Kind]) -> None:
        if handler.type is not None:
            self.values.kind(handler.type, scope)
        inner = {**scope, handler.name: UNKNOWN} if handler.name else scope
        self._block(handler.body, inner)

    def _function(self, item: ast.FunctionDef, outer: dict[str, Kind]) -> None:
        scope = dict(outer)
        arguments = [*item.args.posonlyargs, *item.args.args, *item.args.kwonlyargs]
        for argument in arguments:
            scope[argument.arg] = self.values.annotated(argument, argument.annotation)
        for default in [*item.args.defaults, *item.args.kw_defaults]:
            if default is not None:
                self.values.kind(default, outer)
        self._block(item.body, scope)

    def _class(self, item: ast.ClassDef, scope: dict[str, Kind]) -> None:
        bases = [self.values.kind(base, scope) for base in item.bases]
        library = next((base for base in bases if base.sort == "class"), None)
        inner = dict(scope)
        methods = [part for part in item.body if isinstance(part, ast.FunctionDef)]
        self._block([part for part in item.body if part not in methods], inner)
        # The fields that the first method sets are known in the others.
        for method in sorted(methods, key=lambda part: part.name != "__init__"):
            self._function(method, {**scope, "self": UNKNOWN})
            if library is not None and not method.name.startswith("_"):
                self._override(method, library)
        scope[item.name] = UNKNOWN
        if library is not None:
            own = next((part for part in methods if part.name == "__init__"), None)
            forms = library.forms if own is None else (_form_of(own),)
            scope[item.name] = Kind("class", library.name, library.inner, forms)

    def _override(self, method: ast.FunctionDef, library: Kind) -> None:
        count = len(method.args.args) - 1
        try:
            forms = self.values.api.override_forms(library, method.name)
            if not any(len(form.names) == count for form in forms):
                raise NotInRecord(
                    f"{library.name} calls {method.name} with {len(forms[0].names)} arguments, it "
                    f"takes {count}"
                )
        except NotInRecord as error:
            self.values.find(method, str(error))

    def _inside(self, item: ast.AST, scope: dict[str, Kind]) -> None:
        for part in ast.iter_child_nodes(item):
            if isinstance(part, ast.stmt):
                self._statement(part, scope)
        self.values.inside(item, scope)


def _form_of(method: ast.FunctionDef) -> Form:
    names = tuple(argument.arg for argument in method.args.args[1:])
    return Form(names, len(names) - len(method.args.defaults))
