"""A cluster of kind for the suite tests/e2e_kind: what it consists of, what it needs, how it is made and taken away.

Nothing of it but the pure parts (tests/kindrig) has ever run where there is no Docker; docs/testing.md says what has.
"""
