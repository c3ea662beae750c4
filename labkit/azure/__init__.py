"""The rules of Azure routing, as pure functions over immutable objects."""
