"""Everything that an operator can change in Azure, each change as a value.

A change is a frozen dataclass that makes another model (`apply`), describes itself (`describe`) and has one form in
JSON; `registry` has the closed set, `outcome` carries a list out, all or nothing, `difference` finds the changes
between two models. API, event log, state on disk, `changes`, `reset`, `apply` and `whatif` all use these values, so
that whatever can be done can be tried first. May import `azure.model`, `azure.rules` and `errors`.
"""
