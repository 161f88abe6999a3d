"""Exceptions that nobody foresaw: logged once, here, with a name that the client is told."""

from __future__ import annotations

import logging
from typing import Final

from daemon import request_id
from daemon.problem import ApiError, as_api_error

log: Final = logging.getLogger(__name__)


def answer_for(error: Exception) -> ApiError:
    """Return the answer for any exception; one that is a bug is logged with its traceback."""
    known = as_api_error(error)
    if known is not None:
        return known
    name = request_id.CURRENT.get()
    log.error("request %s failed unexpectedly", name, exc_info=error)
    return ApiError(500, "internal", f"an unexpected error: request {name}", hint="the log has it by this name")
