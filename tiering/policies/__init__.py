"""The orders in which assets leave the disk, one file each; none knows another."""
