"""The command line: one file for each verb, without logic.

A verb reads its arguments, calls `operate` and prints; `output` and `progress` do all printing, so that `--format
json`, pipes and terminals behave alike. May import any room but the node services. Every text here is read by users:
golden files and tests/unit/cli guard it.
"""
