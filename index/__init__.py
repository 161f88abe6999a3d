"""What we believe about each asset. Imports neither tiering nor daemon."""
