"""The rules of Azure routing: pure functions over the objects of `labkit.azure.model`.

One module for each question: what a route server accepts (`acceptance`), which path wins (`decision`, `selection`),
what is advertised to whom (`advertisement`, `gateway_policy`), which routes a NIC has (`effective`), what Azure
refuses (`validation`). Every rule cites its evidence in docs/fidelity.yml; change both together. May import
`azure.model`.
"""
