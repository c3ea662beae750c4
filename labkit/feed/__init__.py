"""The messages between a lab's processes, and how they travel."""
