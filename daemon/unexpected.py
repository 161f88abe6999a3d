"""Exceptions that nobody foresaw: logged once, here, with a name that the client is told."""

from __future__ import annotations

import logging
import secrets
from typing import Final

from daemon.problem import ApiError, as_api_error

log: Final = logging.getLogger(__name__)


def answer_for(error: Exception) -> ApiError:
    """Return the answer for any exception; one that is a bug is logged with its traceback."""
    known = as_api_error(error)
    if known is not None:
        return known
    request_id = secrets.token_hex(4)
    log.error("request %s failed unexpectedly", request_id, exc_info=error, extra={"request": request_id})
    return ApiError(500, "internal", f"an unexpected error: request {request_id}", hint="the log has it by this name")
