"""Everything that an operator can change in Azure, each change as one model made of another.

The same functions serve the controller's API, `labkit changes`, `labkit reset` and `labkit whatif`, so that whatever
can be done can be tried first. May import `azure.model`, `azure.rules` and `errors`. A new change belongs here, and
never in the API or a verb.
"""
