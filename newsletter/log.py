"""What the program says while it runs: one line for each event, as JSON for machines or plain at a terminal.

Lines name things by their ids (an edition's, a batch's, an attempt's, a delivery's). Whatever looks like an e-mail
address is cut out of every line before it is written, also of those that libraries write.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor

_ADDRESS = re.compile(r"[^\s<>\"]+@[^\s<>\"]+")

_CHATTY = ("apscheduler", "alembic", "sqlalchemy", "procrastinate", "uvicorn", "psycopg")
"""Libraries whose every step nobody wants to read; their warnings are told."""

_FIRST: tuple[Processor, ...] = (
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)

structlog.configure(
    processors=[structlog.stdlib.filter_by_level, *_FIRST, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
# A command tells its result and nothing else; only what keeps running starts the log.
logging.getLogger("newsletter").addHandler(logging.NullHandler())


def get_log(module: str) -> structlog.stdlib.BoundLogger:
    """The log of a module; what is told goes nowhere before `start_logging`."""
    log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(module)
    return log


def start_logging(level: str, stream: TextIO | None = None) -> None:
    """Write every line of at least a level (debug, info, warning, error) to a stream; stderr when none is given."""
    stream = stream or sys.stderr
    plain: Processor = structlog.dev.ConsoleRenderer(colors=False)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_FIRST,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # The last before a line is written, so that no address comes in behind it.
                mask_addresses,
                plain if stream.isatty() else structlog.processors.JSONRenderer(serializer=_as_json),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def without_addresses(text: str) -> str:
    """A text with every e-mail address in it cut out; a provider's own words often name one."""
    return _ADDRESS.sub("(address)", text)


def mask_addresses(logger: object, method: str, line: EventDict) -> EventDict:
    """Cut every e-mail address out of a line: out of names, values, and whatever they hold."""
    return {str(name): _masked(value) for name, value in line.items()}


def _masked(value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {without_addresses(str(name)): _masked(inner) for name, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_masked(inner) for inner in value]
        case _:
            return without_addresses(str(value))


def _as_json(line: Any, **_: Any) -> str:
    return orjson.dumps(line).decode()
