"""Everything that an operator can change in a model of Azure."""
