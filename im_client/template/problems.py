"""What can be wrong with a template: every problem is a value, all are reported at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from infracore.errors import InfraError
from infracore.exitcodes import ExitCode

__all__ = ["Code", "InvalidTemplate", "Level", "Problem"]


class Level(StrEnum):
    """Whether a problem stops a deployment."""

    ERROR = "error"
    WARNING = "warning"


class Code(StrEnum):
    """Stable names of problems; `docs/reference/problems.md` explains each, and a test keeps that complete."""

    # reading
    UNREADABLE = "unreadable"  # missing file, directory, no permission, not UTF-8
    YAML_SYNTAX = "yaml-syntax"
    RADL_SYNTAX = "radl-syntax"
    JSON_SYNTAX = "json-syntax"
    EMPTY = "empty"
    TOO_LARGE = "too-large"  # size, nesting or alias bombs
    NOT_A_MAP = "not-a-map"
    DUPLICATE_KEY = "duplicate-key"
    BAD_ARCHIVE = "bad-archive"  # CSAR: no entry, path escapes, broken zip
    # the header and what it imports
    VERSION_MISSING = "version-missing"
    VERSION_UNKNOWN = "version-unknown"
    UNKNOWN_KEY = "unknown-key"
    IMPORT_NOT_FOUND = "import-not-found"
    IMPORT_REFUSED = "import-refused"  # http without TLS, file outside, wrong checksum
    IMPORT_CYCLE = "import-cycle"
    # types
    UNKNOWN_TYPE = "unknown-type"
    TYPE_CYCLE = "type-cycle"
    TYPE_CONFLICT = "type-conflict"
    # values
    UNKNOWN_PROPERTY = "unknown-property"
    MISSING_PROPERTY = "missing-property"
    WRONG_TYPE = "wrong-type"
    BAD_UNIT = "bad-unit"
    CONSTRAINT_VIOLATED = "constraint-violated"
    BAD_CONSTRAINT = "bad-constraint"
    UNKNOWN_CAPABILITY = "unknown-capability"
    UNKNOWN_ATTRIBUTE = "unknown-attribute"
    UNKNOWN_INTERFACE = "unknown-interface"
    UNKNOWN_OPERATION = "unknown-operation"
    UNKNOWN_ARTIFACT = "unknown-artifact"
    # inputs and functions
    UNKNOWN_INPUT = "unknown-input"
    MISSING_INPUT = "missing-input"
    BAD_FUNCTION = "bad-function"  # wrong number or kind of arguments
    UNKNOWN_FUNCTION = "unknown-function"
    FUNCTION_CYCLE = "function-cycle"
    # graph
    UNKNOWN_NODE = "unknown-node"  # a function, group, policy names a node that is not there
    DANGLING_TARGET = "dangling-target"  # a requirement's target does not exist
    UNKNOWN_REQUIREMENT = "unknown-requirement"
    MISSING_REQUIREMENT = "missing-requirement"
    REQUIREMENT_MISMATCH = "requirement-mismatch"  # target lacks the capability, or type not allowed
    OCCURRENCES = "occurrences"
    NO_MATCH = "no-match"  # a node filter that no node fits
    CYCLIC_HOST = "cyclic-host"
    CYCLIC_DEPENDENCY = "cyclic-dependency"
    NO_HOST = "no-host"  # software with operations that no machine hosts
    BAD_SCALE = "bad-scale"  # count outside of min..max, negative
    BAD_POLICY = "bad-policy"
    BAD_PORT = "bad-port"
    BAD_NETWORK = "bad-network"
    BAD_RECIPE = "bad-recipe"  # a configure section of RADL that Ansible cannot run
    IGNORED = "ignored"  # warning: read, understood, and of no effect here


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong: where (counting from 1), what, and what to do."""

    file: str
    line: int
    column: int
    code: Code
    message: str
    hint: str = ""
    level: Level = Level.ERROR
    source_line: str = ""
    """The text of the line itself."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.code}: {self.message}"


class InvalidTemplate(InfraError):
    """The template has errors; `problems` holds them all, warnings included."""

    code = "invalid-template"
    exit_code = ExitCode.INVALID

    def __init__(self, problems: Sequence[Problem]) -> None:
        errors = [p for p in problems if p.level is Level.ERROR]
        super().__init__("\n".join(str(p) for p in errors))
        self.problems = tuple(problems)
