"""Reading features: `name operator value`, joined by `and`, with soft ones among them."""

from typing import Final

from im_client.radl.cursor import Cursor
from im_client.radl.lexer import MAX_DIGITS, Kind, Token
from im_client.radl.model import Feature, FeatureValue, Operator, Soft, Unknown
from im_client.template.findings import Findings, Place
from im_client.template.problems import Code

__all__ = ["FeatureReader"]

_OPERATORS: Final = {o.value: o for o in Operator}


class FeatureReader:
    """Reads from a cursor that it shares with the parser."""

    def __init__(self, cursor: Cursor, findings: Findings) -> None:
        self._cursor = cursor
        self._findings = findings

    def until_closed(self, *, allow_soft: bool) -> tuple[list[Feature], list[Soft]]:
        """Read features to the closing bracket; the opening one is read already."""
        cursor = self._cursor
        opened = cursor.found[cursor.position - 1].at
        features: list[Feature] = []
        softs: list[Soft] = []
        if cursor.accept(")"):
            return features, softs
        while True:
            if cursor.at_section():
                self._findings.add(Code.RADL_SYNTAX, opened, "this ( is never closed", "write ) at the section's end")
                return features, softs
            if cursor.is_word("soft") and cursor.after.kind in {Kind.NUMBER, Kind.MARK}:
                soft = self._soft(allowed=allow_soft)
                softs += [soft] if soft else []
            else:
                feature = self.feature()
                features += [feature] if feature else []
            if not self._joined():
                return features, softs

    def _joined(self) -> bool:
        """Go past `and`; return False behind the closing bracket."""
        cursor = self._cursor
        if cursor.accept(")"):
            return False
        if cursor.at_section():
            return True  # and there it is said that the bracket is open
        if cursor.is_word("and"):
            at = cursor.take().at
            if cursor.is_mark(")"):
                self._findings.add(Code.RADL_SYNTAX, at, "no feature stands behind this and", "remove it")
                cursor.take()
                return False
            return True
        if cursor.is_mark(","):
            self._findings.add(Code.RADL_SYNTAX, cursor.here.at, "features are joined by and, not by a comma")
            cursor.take()
            return True
        if cursor.here.kind is Kind.WORD:
            self._findings.add(Code.RADL_SYNTAX, cursor.here.at, "and is missing in front of this feature")
            return True
        cursor.expected("and or )")
        self._skip()
        if cursor.is_word("and"):
            cursor.take()
        return not cursor.accept(")")

    def _skip(self) -> None:
        """Go to the next `and` or `)` at this level, or the next section."""
        cursor = self._cursor
        depth = 0
        while not cursor.at_section():
            if cursor.is_mark("("):
                depth += 1
            elif cursor.is_mark(")"):
                if depth == 0:
                    return
                depth -= 1
            elif cursor.is_word("and") and depth == 0:
                return
            cursor.position += 1

    def _soft(self, *, allowed: bool) -> Soft | None:
        cursor = self._cursor
        word = cursor.take()
        weight = 0
        if cursor.here.kind is Kind.NUMBER:
            number = cursor.take()
            if "." in number.text or len(number.text) > 9:
                self._findings.add(Code.WRONG_TYPE, number.at, f"{number.text[:40]} is no weight", "write: soft 10 (")
            else:
                weight = int(number.text)
        else:
            cursor.expected("the weight of soft features", "write: soft 10 ( ... )")
        if not cursor.is_mark("("):
            cursor.expected("( behind soft")
            self._skip()
            return None
        if not allowed:
            said = "soft features stand in a system only, and not in one another"
            self._findings.add(Code.RADL_SYNTAX, word.at, said)
            self._skip()
            return None
        cursor.take()
        features, _ = self.until_closed(allow_soft=False)
        return Soft(weight, tuple(features), at=word.at)

    def feature(self) -> Feature | None:
        """Read one feature; None with what is wrong recorded, and the cursor at the next `and` or `)`."""
        cursor = self._cursor
        if cursor.here.kind is not Kind.WORD or cursor.is_word("and"):
            cursor.expected("a feature", "write: name = value")
            self._skip()
            return None
        name = cursor.take()
        if cursor.is_word("contains"):
            cursor.take()
            return self._contained(name)
        token = cursor.here
        if token.kind is not Kind.OPERATOR:
            hint = "operators: =  >=  <=  >  <  contains"
            if token.kind is Kind.BAD and token.text == "!":
                hint = "there is no operator for unequal"
            cursor.expected(f'an operator behind "{name.text}"', hint)
            self._skip()
            return None
        operator = _OPERATORS[cursor.take().text]
        if cursor.is_operator():
            cursor.expected("a value", f"write {operator.value} once")
            cursor.take()
        value_at = cursor.here.at
        value = self._value(name)
        if value is None:
            self._skip()
            return None
        unit = self._unit() if isinstance(value, int | float) else ""
        return Feature(name.text, operator, value, unit, at=name.at, value_at=value_at)

    def _contained(self, name: Token) -> Feature | None:
        cursor = self._cursor
        at = cursor.here.at
        if not cursor.accept("("):
            cursor.expected("( behind contains", "write: contains (name = 'x')")
            self._skip()
            return None
        if cursor.here.kind is Kind.WORD and cursor.after.text == "contains":
            cursor.expected("a plain feature", "contains does not stand in contains")
            self._skip()
            cursor.accept(")")
            return None
        features, _ = self.until_closed(allow_soft=False)
        return Feature(name.text, Operator.CONTAINS, tuple(features), at=name.at, value_at=at)

    def _unit(self) -> str:
        cursor = self._cursor
        token = cursor.here
        is_unit = (
            token.kind is Kind.WORD
            and not token.first
            and not cursor.is_word("and", "soft", "system", "option")
            and cursor.after.kind is not Kind.OPERATOR
            and cursor.after.text != "contains"
        )
        return cursor.take().text if is_unit else ""

    def _value(self, name: Token) -> FeatureValue | None:
        cursor = self._cursor
        token = cursor.here
        match token.kind:
            case Kind.TEXT:
                return cursor.take().text
            case Kind.NUMBER:
                return self._number(cursor.take())
            case Kind.PARAMETER:
                return Unknown(cursor.take().text)
            case Kind.WORD if not cursor.is_word("and"):
                self._bare(name, cursor.take())
                return token.text
            case Kind.MARK if token.text == "[":
                return self._list(cursor.take().at)
            case _:
                cursor.expected(f'a value for "{name.text}"', "text stands in quotes: 'x'")
                return None

    def _bare(self, name: Token, value: Token) -> None:
        said = f'the value of "{name.text}" is text without quotes'
        self._findings.add(Code.RADL_SYNTAX, value.at, said, f"write '{value.text}'")

    def _number(self, token: Token) -> int | float:
        if len(token.text) > MAX_DIGITS:
            self._findings.add(Code.WRONG_TYPE, token.at, f"a number of {len(token.text)} digits is beyond all use")
            return 0
        return float(token.text) if "." in token.text else int(token.text)

    def _list(self, opened: Place) -> tuple[str, ...] | None:
        cursor = self._cursor
        found: list[str] = []
        while not cursor.accept("]"):
            if cursor.here.kind is not Kind.TEXT:
                cursor.expected("a text in quotes or ]", "a list is written: ['a', 'b']")
                return None
            found.append(cursor.take().text)
            if not cursor.is_mark("]") and not cursor.accept(","):
                cursor.expected(", or ]")
                self._findings.add(Code.RADL_SYNTAX, opened, "this [ is never closed", "write ] at the list's end")
                return None
        return tuple(found)
