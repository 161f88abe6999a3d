"""The object stores, one file each; none knows another."""
