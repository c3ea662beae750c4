"""The rules of Azure routing: pure functions over the objects of `labkit.azure.model`."""
