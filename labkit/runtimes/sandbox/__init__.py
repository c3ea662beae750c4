"""The embedded runtime: one init process, a namespace set per node, no root and no Docker needed."""
