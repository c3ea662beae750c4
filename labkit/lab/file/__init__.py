"""The lab file: YAML with lines, schema, problems, variants."""
