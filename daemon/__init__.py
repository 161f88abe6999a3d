"""The process: settings, signals, sockets, metrics, command line."""
