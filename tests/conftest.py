"""Fixtures that many tests share."""

from hypothesis import settings

pytest_plugins = ["servers", "emulators", "buckets", "daemon_process", "torture_table"]

# How long one example takes says nothing on a busy machine.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")
