"""labkit: an Azure Route Server laboratory on one Linux machine."""

__version__ = "0.1.0"
