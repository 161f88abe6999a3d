"""Fixtures that many tests share."""

import os
import signal

from hypothesis import settings

pytest_plugins = ["servers", "emulators", "buckets", "daemon_process", "torture_table"]

# Where the tests run in the background a shell may have had interrupts ignored, and every command inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Nor do the settings of whoever runs the tests count.
for name in [name for name in os.environ if name.startswith("TIERD_")]:
    del os.environ[name]

# How long one example takes says nothing on a busy machine.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")
