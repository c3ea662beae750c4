"""The lab file as text: YAML with line numbers, the schema, variants, and mistakes with their places.

`schema` puts the sections of all kinds together, `draft` keeps what is sound of a file, `problems` is how a mistake is
reported (file, line, what is wrong, what to do). Every mistake is collected, and none stops the search for others. A
new key needs a docstring in its kind, a golden error, and a place in the guide. May not import `kinds` or `plan`.
"""
