"""From an approved edition to receipts: once to everybody it is for, and what cannot be known is called uncertain.

To read: `model` has the words, `plan` the rules. `planning` opens a send and cuts it into batches; `worker` takes a
batch its whole way, which `batches` writes down, within `pacing` and `daily`. `steering` is what people say of a send,
`evidence` what provider events prove, `restored` what a backup leaves in doubt. `moves` and `statements` are what these
are made of, and `ledger` adds it all up.
"""
