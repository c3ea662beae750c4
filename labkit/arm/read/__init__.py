"""ARM resources as a lab file: what `az … list` prints of a network, a module for each sort of resource.

`document_of` in `document` is all of it, and `text_of` in `text` its YAML. What a lab has no place for is left out,
each with its reason, and what a lab needs and no resource has is supplied; both are listed. Pure. May import `arm`,
`azure` and `lab`.
"""
