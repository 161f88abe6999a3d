"""What moves between the tiers, where to, and how safely. Imports the index only."""
