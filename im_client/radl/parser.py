"""Tokens -> a document. An error is recorded, and reading goes on with the next feature or section."""

import re
from dataclasses import replace
from typing import Final

from im_client.radl.cursor import SECTIONS, Cursor, shown
from im_client.radl.lexer import Kind, Token
from im_client.radl.model import Contextualize, Deploy, Document, Feature, Recipe, Section, Step, Unknown, tool_of
from im_client.radl.reading import FeatureReader
from im_client.template.findings import Findings, Place, meant
from im_client.template.problems import Code

__all__ = ["parse"]

_NAME: Final = re.compile(r"[^\W\d][\w.\-]*")


def parse(found: list[Token], findings: Findings) -> Document:
    """Read all sections."""
    return _Parser(Cursor(found, findings), findings).run()


class _Parser:
    def __init__(self, cursor: Cursor, findings: Findings) -> None:
        self._cursor = cursor
        self._findings = findings
        self._features = FeatureReader(cursor, findings)
        self._sections: dict[str, list[Section]] = {k: [] for k in ("network", "system", "ansible", "description")}
        self._recipes: list[Recipe] = []
        self._deploys: list[Deploy] = []
        self._order: Contextualize | None = None

    def run(self) -> Document:
        cursor = self._cursor
        while cursor.here.kind is not Kind.END:
            if not cursor.is_word(*SECTIONS):
                self._no_section()
                continue
            word = cursor.take()
            match word.text.lower():
                case "configure":
                    self._recipe(word)
                case "contextualize":
                    self._contextualize(word)
                case "deploy":
                    self._deploy(word)
                case kind:
                    self._section(kind)
        return Document(
            descriptions=tuple(self._sections["description"]),
            ansibles=tuple(self._sections["ansible"]),
            networks=tuple(self._sections["network"]),
            systems=tuple(self._sections["system"]),
            recipes=tuple(self._recipes),
            deploys=tuple(self._deploys),
            contextualize=self._order,
        )

    def _no_section(self) -> None:
        cursor = self._cursor
        token = cursor.here
        if token.kind is not Kind.BAD:
            hint = (
                meant(token.text, SECTIONS) if token.kind is Kind.WORD else f"a section begins: {', '.join(SECTIONS)}"
            )
            if token.kind is Kind.MARK and token.text == ")":
                hint = "one ) too many"
            self._findings.add(Code.RADL_SYNTAX, token.at, f"no section begins here: {shown(token)}", hint)
        cursor.position += 1
        cursor.skip_section()

    def _name(self, of: str) -> Token | None:
        """Read the name of a section; None with the section skipped where there is none."""
        cursor = self._cursor
        token = cursor.here
        if token.kind is Kind.WORD and not cursor.at_section():
            return cursor.take()
        if token.kind is Kind.TEXT and _NAME.fullmatch(token.text):
            return cursor.take()
        hint = "a name begins with a letter or _, then letters, digits, dots, dashes and _"
        if token.kind is Kind.PARAMETER:
            return replace(cursor.take(), text=_written(token))
        cursor.expected(f"the name of {of}", hint)
        cursor.skip_section()
        return None

    def _section(self, kind: str) -> None:
        name = self._name(f"the {kind}")
        if name is None:
            return
        if not self._cursor.accept("("):
            if self._ends_here(f'the {kind} "{name.text}"'):
                self._sections[kind].append(Section(name.text, is_reference=True, at=name.at))
            return
        features, softs = self._features.until_closed(allow_soft=kind == "system")
        self._sections[kind].append(Section(name.text, tuple(features), tuple(softs), at=name.at))

    def _ends_here(self, what: str) -> bool:
        """Where a section has no brackets, the next one must follow; what else follows is skipped."""
        if self._cursor.at_section() or self._cursor.is_word(*SECTIONS):
            return True
        self._cursor.expected(f"( behind {what}")
        self._cursor.skip_section()
        return False

    def _recipe(self, word: Token) -> None:
        cursor = self._cursor
        name = self._name("the recipe")
        if name is None:
            return
        if not cursor.accept("("):
            if self._ends_here(f'the recipe "{name.text}"'):
                self._recipes.append(Recipe(name.text, is_reference=True, at=name.at, text_at=name.at))
            return
        body = cursor.take() if cursor.here.kind is Kind.BODY else None
        if not cursor.accept(")"):
            cursor.expected(") behind @end" if body else "@begin or )", "a recipe is written: (@begin ... @end)")
            cursor.skip_section()
        text = body.text.rstrip() if body else ""
        at = body.text_at if body and body.text_at else word.at
        self._recipes.append(Recipe(name.text, text, at=name.at, text_at=at))

    def _deploy(self, word: Token) -> None:
        cursor = self._cursor
        name = self._name("a system")
        if name is None:
            return
        count = self._whole_number(f'how many machines of "{name.text}"', "write: deploy NAME 2")
        if count is None:
            cursor.skip_section()
            return
        cloud = None
        may_be_cloud = cursor.here.kind in {Kind.WORD, Kind.TEXT, Kind.PARAMETER} and not cursor.here.first
        if may_be_cloud and not cursor.is_word(*SECTIONS):
            cloud = _written(cursor.take())
        self._ends_deploy()
        self._deploys.append(Deploy(name.text, count, cloud, at=word.at))

    def _ends_deploy(self) -> None:
        """On the same line nothing follows; what begins the next one is looked at by itself."""
        cursor = self._cursor
        if not cursor.here.first and not cursor.at_section() and not cursor.is_word(*SECTIONS):
            cursor.expected("the next section", "write: deploy SYSTEM COUNT [CLOUD]")
            cursor.skip_section()

    def _whole_number(self, what: str, hint: str = "") -> int | Unknown | None:
        cursor = self._cursor
        if cursor.here.kind is Kind.PARAMETER:
            return Unknown(cursor.take().text)
        token = cursor.here
        if token.kind is not Kind.NUMBER:
            cursor.expected(what, hint)
            return None
        cursor.take()
        if "." in token.text or len(token.text) > 9:
            self._findings.add(Code.WRONG_TYPE, token.at, f"{token.text[:40]} is no number for {what}", hint)
            return 0
        if token.text.startswith("-"):
            self._findings.add(Code.BAD_SCALE, token.at, f"{token.text} stands for {what}", "write 0 or more")
            return 0
        return int(token.text)

    def _contextualize(self, word: Token) -> None:
        cursor = self._cursor
        limit: int | None = None
        if cursor.here.kind in {Kind.NUMBER, Kind.PARAMETER}:
            limit = _known(self._whole_number("the most seconds"))
        if not cursor.accept("("):
            cursor.expected("( behind contextualize")
            cursor.skip_section()
            return
        options: list[Feature] = []
        steps: list[Step] = []
        while not cursor.accept(")"):
            if cursor.here.kind is Kind.END or (cursor.is_word(*SECTIONS) and not cursor.is_word("system")):
                self._never_closed(word.at)
                break
            if cursor.is_word("option"):
                cursor.take()
                option = self._features.feature()
                options += [option] if option else []
            elif cursor.is_word("system"):
                step = self._step(cursor.take())
                steps += [step] if step else []
            else:
                cursor.expected("a line of contextualize", "write: system NAME configure RECIPE step 1")
                self._next_line()
        before = self._order or Contextualize(at=word.at)
        self._order = Contextualize(
            limit or before.max_time_s, (*before.options, *options), (*before.steps, *steps), at=before.at
        )

    def _never_closed(self, at: Place) -> None:
        self._findings.add(Code.RADL_SYNTAX, at, "the ( of this section is never closed", "write ) at its end")

    def _next_line(self) -> None:
        cursor = self._cursor
        cursor.take()
        while cursor.here.kind is not Kind.END and not cursor.here.first and not cursor.is_mark(")"):
            cursor.take()

    def _step(self, word: Token) -> Step | None:
        cursor = self._cursor
        if cursor.here.kind not in {Kind.WORD, Kind.PARAMETER}:
            cursor.expected("the name of a system")
            self._next_line()
            return None
        system = _written(cursor.take())
        if not cursor.is_word("configure") or cursor.after.kind not in {Kind.WORD, Kind.PARAMETER}:
            cursor.expected("configure and the name of a recipe", "write: system NAME configure RECIPE step 1")
            self._next_line()
            return None
        cursor.take()
        recipe = _written(cursor.take())
        number: int | None = None
        tool: str | None = None
        while cursor.is_word("step", "with"):
            if cursor.take().text.lower() == "step":
                number = _known(self._whole_number("a step"))
            elif cursor.here.kind is Kind.WORD:
                tool = cursor.take().text
            else:
                cursor.expected("Ansible or cloud_init")
        return Step(system, recipe, number, tool_of(tool), at=word.at)


def _written(token: Token) -> str:
    """Return a name; a parameter without value as it is written."""
    return f"@input.{token.text}@" if token.kind is Kind.PARAMETER else token.text


def _known(number: int | Unknown | None) -> int | None:
    return number if isinstance(number, int) else None
