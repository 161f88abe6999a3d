"""Fixtures that many tests share."""

pytest_plugins = ["servers", "buckets", "daemon_process", "torture_table"]
