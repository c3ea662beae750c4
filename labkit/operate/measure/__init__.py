"""What traffic loses while something breaks."""
