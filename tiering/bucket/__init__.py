"""The bucket itself: what is wished of it, what it is like, and what makes the one the other."""
